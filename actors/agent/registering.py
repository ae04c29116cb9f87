"""How a session comes to hold an agent: registering, and resuming a registration."""

from __future__ import annotations

from msgspec import UNSET

from actors.agent.fencing import refusal_of_principal, refusal_of_token
from actors.agent.messages import Register, Resume
from actors.agent.outcomes import (
    NEWER_SESSION,
    Lease,
    gone,
    held_by_another,
    taken_over_too_often,
)
from actors.agent.parts import AgentParts
from actors.ports.store import Operation
from actors.rules.liveness import Liveness
from actors.rules.records import amend, head_of, new_record
from actors.rules.states import State
from actors.rules.tokens import issue_token
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import AgentRecord


def register(agent: AgentParts, ask: Register) -> None:
    """Propose a new lease under this identity, even if another session holds it now.

    Unless it belongs to another principal, programs take it from each other, or it is to be
    exclusive: then the session that holds it now stays. An exclusive one is a claim, which the
    store takes only if nothing has happened to the agent that is not known here: of two claims, at
    whichever hubs, one wins.
    """
    context, writer = agent.context, agent.writer
    if writer.current is not None:
        not_allowed = refusal_of_principal(agent, writer.current, ask.principal)
        if not_allowed is not None:
            ask.reply(not_allowed)
            return
    if ask.exclusive and _lives(agent):
        ask.reply(held_by_another())
        return
    if connected(agent):
        refusal = context.takeovers.refuse(writer.agent_id, context.now())
        if refusal is not None:
            context.takeover_refused(writer.agent_id, refusal)
            ask.reply(taken_over_too_often(refusal.times, refusal.wait))
            return
    over_http = ask.session is None
    state = State.POLLING if over_http else State.CONNECTED
    status = Liveness(state, ask.spec.status, context.now()).derived_status()
    now, field = context.timestamp(), "metadata" if over_http else "agent.metadata"
    try:
        record = new_record(writer.agent_id, ask.spec, status, now, field)
        head = head_of(record)
        context.admit(record, len(head), writer.current)
    except ProtocolError as error:
        ask.reply(error)
        return
    agent.asks.under_way = [ask]
    hub, liveness = "" if over_http else context.hub_id, agent.monitor.liveness
    # Nobody else may have taken meanwhile what is nobody's since its principal was revoked.
    freed = context.revoked(context.owner_of(writer.agent_id))
    operation: Operation = "claim" if ask.exclusive or freed else "register"
    writer.commit(
        operation,
        "registered",
        record,
        liveness,
        hub=hub,
        born=ask.at,
        head=head,
        principal=ask.principal,
    )


def connected(agent: AgentParts) -> bool:
    """Whether a session holds the agent over a connection that lives, at any hub.

    A connection at another hub counts until its loss is known here.
    """
    return agent.writer.committed is not None and agent.monitor.liveness.state is State.CONNECTED


def _lives(agent: AgentParts) -> bool:
    """Whether the agent lives and its connection does, if it has one, as far as is known here."""
    living = (State.CONNECTED, State.POLLING)
    return agent.writer.committed is not None and agent.monitor.liveness.state in living


def resume(agent: AgentParts, ask: Resume) -> None:
    """Propose to hold the registration that the token is of, from a new connection."""
    context, writer, monitor = agent.context, agent.writer, agent.monitor
    record = writer.current
    if record is None:
        ask.reply(gone())
        return
    refusal = refusal_of_token(agent, record, ask.token, ask.principal)
    if refusal is not None:
        ask.reply(refusal)
        return
    status = None if ask.changes.status is UNSET else ask.changes.status
    resumed = monitor.liveness.resumed(status, context.now())
    try:
        amended = amend(record, ask.changes, "agent.metadata")
        context.check_growth(record, amended)
    except ProtocolError as error:
        ask.reply(error)
        return
    record = writer.refreshed(amended, resumed)
    agent.asks.under_way = [ask]
    liveness = monitor.liveness
    writer.commit("resume", "resumed", record, liveness, hub=context.hub_id, born=ask.at)


def begin_lease(
    agent: AgentParts, ask: Register | Resume, record: AgentRecord, *, took_over: bool
) -> None:
    """The registration or resumption is durable: fence off the older session, and answer.

    `took_over`: a session held the agent until then.
    """
    context, monitor = agent.context, agent.monitor
    if took_over and isinstance(ask, Register):
        context.takeovers.taken_over(record.id, context.now())
    older, monitor.session = monitor.session, ask.session
    if older is not None and older is not ask.session:
        context.count_fenced()
        older.end(CloseCode.FENCED, NEWER_SESSION)
    monitor.liveness = monitor.liveness.attached(
        record.health.reported, context.now(), over_http=ask.session is None
    )
    monitor.arm()
    lease = Lease(
        agent_id=record.id,
        session_token=_token(agent, ask, record),
        epoch=record.epoch,
        resumed=isinstance(ask, Resume),
        registered_at=record.registered_at,
        log=context.log,
        revision=record.revision,
        took_over=took_over,
    )
    agent.asks.answer(lease)


def _token(agent: AgentParts, ask: Register | Resume, record: AgentRecord) -> str:
    """The token of the registration; it stays the same for as long as that lasts."""
    if isinstance(ask, Resume):
        return ask.token
    return issue_token(agent.context.secret, record.id, record.registered_at, record.epoch)


def give_up_lease(agent: AgentParts, record: AgentRecord, *, newborn: bool) -> None:
    """It became durable after its ask had been answered that it did not.

    A `newborn` agent is removed again, and an older one may resume.
    """
    context, monitor = agent.context, agent.monitor
    monitor.end_session(CloseCode.FENCED, NEWER_SESSION)
    liveness = Liveness(State.CONNECTED, record.health.reported, context.now())
    monitor.liveness = liveness
    if newborn and not agent.asks.waiting:
        agent.writer.commit("remove", "unregistered", record, liveness)
    else:
        liveness.lost(context.now(), agent.writer.timing)
        monitor.lost()
