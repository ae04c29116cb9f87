"""The brain's refusals, each in its one wording."""

from __future__ import annotations

from homeport_protocol.errors import ProtocolError

NEWER_SESSION = "a newer session of this agent was registered"


def gone() -> ProtocolError:
    """There is no such agent, or not any more."""
    return ProtocolError("not_found", "no such agent: its lease is over; register anew")


def fenced() -> ProtocolError:
    """The session holds the agent no more."""
    return ProtocolError("fenced", NEWER_SESSION)


def bad_token(*, superseded: bool) -> ProtocolError:
    """The token is none of the agent's, or of a registration that a newer one superseded."""
    if superseded:
        return fenced()
    return ProtocolError(
        "unauthorized", "session_token: not of this agent's registration", field="session_token"
    )


def unavailable(reasons: list[str]) -> ProtocolError:
    """The hub cannot do this now."""
    return ProtocolError("unavailable", f"the hub is not ready: {'; '.join(reasons)}")
