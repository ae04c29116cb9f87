"""Who may speak for an agent: its session, or a caller over HTTP that belongs to its registration.

- A session may while it holds the agent.
- A caller over HTTP that shows a session token may while that registration is the newest one,
  whatever connection the agent has and whomever the caller acts for, unless the principal that the
  agent belongs to was revoked.
- One that shows none, as callers of the legacy service do, may as long as the agent itself comes
  over HTTP, and belongs to the principal that the caller acts for. An agent that a websocket
  session holds, or held when it was last heard of, may have been registered anew by that session; a
  caller without a token cannot tell.
"""

from __future__ import annotations

from typing import assert_never

from actors.agent.messages import Ask, Heartbeat, HttpCaller, Unregister
from actors.agent.outcomes import bad_token, fenced, gone, held_by_websocket, owner_revoked
from actors.agent.parts import AgentParts
from actors.rules.permissions import NOBODY, Principal, check_owner
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
    if record is None or not isinstance(ask, Heartbeat | Unregister) or ask.caller is None:
        return False
    return refusal_over_http(agent, record, ask.caller) is None


def refusal_over_http(
    agent: AgentParts, record: AgentRecord, caller: HttpCaller
) -> ProtocolError | None:
    """Why a caller over HTTP may not speak for the agent of this record; None when it may."""
    if caller.token is not None:
        return refusal_of_token(agent, record, caller.token, caller.principal)
    refusal = refusal_of_principal(agent, record, caller.principal)
    if refusal is None and record.health.connection != "http":
        return held_by_websocket()
    return refusal


def refusal_of_principal(
    agent: AgentParts, record: AgentRecord, principal: Principal
) -> ProtocolError | None:
    """Why the principal may not act for the agent of this record; None when it may.

    An agent of a principal that was revoked is nobody's: its program may register it anew at once.
    """
    context, owner = agent.context, agent.context.owner_of(record.id)
    try:
        check_owner(principal, NOBODY if context.revoked(owner) else owner, record.name)
    except ProtocolError as error:
        return error
    return None


def refusal_of_token(
    agent: AgentParts, record: AgentRecord, token: str, principal: Principal
) -> ProtocolError | None:
    """Why who shows this token may not speak for the agent of this record; None when it may.

    Where the store has lost the registration, the agent is told to register anew, and not that a
    newer session has taken its place. While the store is away, that cannot be known.
    """
    context = agent.context
    validity = check_token(context.secret, record.id, record.registered_at, record.epoch, token)
    match validity:
        case "valid":
            revoked = context.revoked(context.owner_of(record.id))
            return owner_revoked() if revoked else None
        case "lost" if context.store_is_away:
            return ProtocolError("unavailable", "the registration is not known at this hub yet")
        case "lost":
            context.registration_lost(record.id, record.epoch)
            return gone()
        case "superseded":
            return bad_token(superseded=True)
        case "invalid":
            return refusal_of_principal(agent, record, principal) or bad_token(superseded=False)
        case _:
            assert_never(validity)


def not_held(agent: AgentParts) -> ProtocolError:
    """Why a session that believes to hold the agent does not."""
    if agent.monitor.liveness.cause == "draining":
        return ProtocolError("unavailable", "the hub is stopping: resume at the next one")
    return fenced()
