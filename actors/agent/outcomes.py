"""The outcomes of asks: every ask ends in one of these, or in a ProtocolError."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from actors.ports.conditions import Reason
from homeport_protocol.errors import ProtocolError


class Lease(Struct, frozen=True, gc=False):
    """A registration or resumption is durable; `took_over`: a session held the agent until then."""

    agent_id: str
    session_token: str
    epoch: int
    resumed: bool
    registered_at: str
    log: str
    revision: int
    took_over: bool = False


class Acknowledged(Struct, frozen=True, gc=False):
    """A heartbeat, change or unregistration was accepted.

    `revision` is the directory change that last touched the record. `durable` is false when the
    hub received it and the store could not be reached; only a heartbeat's outcome may be so.
    """

    revision: int
    durable: bool
    timestamp: str


Outcome = Lease | Acknowledged | ProtocolError
Reply = Callable[[Outcome], None]
"""Called exactly once, now or later."""

NEWER_SESSION = "a newer session of this agent was registered"


def gone() -> ProtocolError:
    """There is no such agent, or there is none any more."""
    return ProtocolError("not_found", "no such agent: its lease is over; register anew")


def no_such_agent() -> ProtocolError:
    """The agent that an operator names does not exist."""
    return ProtocolError("not_found", "no such agent")


def fenced() -> ProtocolError:
    """The session does not hold the agent any more."""
    return ProtocolError("fenced", NEWER_SESSION)


def bad_token(*, superseded: bool) -> ProtocolError:
    """The token is not the agent's, or belongs to a registration that a newer one superseded."""
    if superseded:
        return fenced()
    return ProtocolError(
        "unauthorized", "session_token: not of this agent's registration", field="session_token"
    )


def owner_revoked() -> ProtocolError:
    """Whoever shows the session token of an agent whose principal was revoked."""
    return ProtocolError("forbidden", "the token that registered this agent was revoked")


def not_sent(why: str) -> ProtocolError:
    """The change could not be sent to the store in time, and is not made; `why` not."""
    return ProtocolError("unavailable", f"{why}; nothing was changed")


def unknown_outcome(why: str) -> ProtocolError:
    """The change has been sent to the store, which has not confirmed it; `why` not."""
    words = f"{why}; whether the change was made is not known"
    return ProtocolError("unavailable", words, outcome="unknown")


def held_by_websocket() -> ProtocolError:
    """A caller over HTTP without a session token may not speak for the agent."""
    words = (
        "a websocket session holds this agent: send the session_token of its registration in the "
        "header Homeport-Session-Token"
    )
    return ProtocolError("conflict", words)


def held_by_another() -> ProtocolError:
    """An exclusive registration, while another session of the agent lives."""
    words = (
        "another living session holds this id, and the registration is exclusive: end that "
        "program, or register without `exclusive` to take its place"
    )
    return ProtocolError("conflict", words)


def changed_elsewhere() -> ProtocolError:
    """Whether another session of the agent lives cannot be told now."""
    return ProtocolError("unavailable", "another hub is changing this agent; nothing was changed")


def taken_over_too_often(times: int, wait: float) -> ProtocolError:
    """Programs take the id from each other, and the one that holds it stays."""
    words = (
        f"another living session holds this id, which was taken over {times} times within a "
        "minute: give each program its own agent_id"
    )
    return ProtocolError("conflict", words, retry_after=wait)


def unavailable(reasons: list[Reason]) -> ProtocolError:
    """The hub cannot do this now."""
    phrases = "; ".join(each.phrase for each in reasons)
    return ProtocolError("unavailable", f"the hub is not ready: {phrases}")
