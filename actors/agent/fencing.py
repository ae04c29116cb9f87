"""Who may speak for an agent: its session, or a caller over HTTP that belongs to its registration.

- A session may while it holds the agent.
- A caller over HTTP that shows a session token may while that registration is the newest one,
  whatever connection the agent has.
- One that shows none, as callers of the legacy service do, may as long as the agent itself comes
  over HTTP. An agent that a websocket session holds, or held when it was last heard of, may have
  been registered anew by that session; a caller without a token cannot tell.
"""

from __future__ import annotations

from typing import assert_never

from actors.agent.messages import Ask, Heartbeat, Unregister
from actors.agent.outcomes import bad_token, fenced, gone, held_by_websocket
from actors.agent.parts import AgentParts
from actors.rules.tokens import check_token
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentRecord


def speaks_for(agent: AgentParts, ask: Ask) -> bool:
    """Whether the ask is a sign of life of the agent, and not of an older session of it.

    Registering and resuming are not: only when they are done does the agent live anew.
    """
    if ask.session is not None:
        return ask.session is agent.monitor.session
    record = agent.writer.current
    if record is None or not isinstance(ask, Heartbeat | Unregister):
        return False
    return refusal_over_http(agent, record, ask) is None


def refusal_over_http(
    agent: AgentParts, record: AgentRecord, ask: Heartbeat | Unregister
) -> ProtocolError | None:
    """Why a caller over HTTP may not speak for the agent of this record; None when it may."""
    if ask.token is None:
        return None if record.health.connection == "http" else held_by_websocket()
    return refusal_of_token(agent, record, ask.token)


def refusal_of_token(agent: AgentParts, record: AgentRecord, token: str) -> ProtocolError | None:
    """Why who shows this token may not speak for the agent of this record; None when it may.

    Where the store has lost the registration, the agent is told to register anew, and not that a
    newer session has taken its place. While the store is away, that cannot be known.
    """
    context = agent.context
    validity = check_token(context.secret, record.id, record.registered_at, record.epoch, token)
    match validity:
        case "valid":
            return None
        case "lost" if context.store_is_away:
            return ProtocolError("unavailable", "the registration is not known at this hub yet")
        case "lost":
            context.registration_lost(record.id, record.epoch)
            return gone()
        case "superseded" | "invalid":
            return bad_token(superseded=validity == "superseded")
        case _:
            assert_never(validity)


def not_held(agent: AgentParts) -> ProtocolError:
    """Why a session that believes to hold the agent does not."""
    if agent.monitor.liveness.cause == "draining":
        return ProtocolError("unavailable", "the hub is stopping: resume at the next one")
    return fenced()
