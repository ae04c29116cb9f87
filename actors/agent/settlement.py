"""What becomes of a proposal once the store has answered, and of the asks it was made for.

Other hubs may change the record too. A change made from an older record is refused as stale; by
then the newer one has been folded, and what was asked is done again from there.
"""

from __future__ import annotations

from typing import assert_never

from actors.agent import foreign, ownership, registering
from actors.agent.fencing import refusal_over_http
from actors.agent.messages import Ask, Heartbeat, Register, Renewed, Resume, Settled
from actors.agent.outcomes import (
    NEWER_SESSION,
    Acknowledged,
    Outcome,
    changed_elsewhere,
    fenced,
    not_sent,
    unknown_outcome,
)
from actors.agent.parts import AgentParts
from actors.log.proposal import AnyProposal
from actors.ports.store import BEGIN_SESSIONS, Away, Change, Refusal
from actors.rules.liveness import Liveness
from actors.rules.permissions import not_its_own
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import AgentRecord


def renewed(agent: AgentParts, news: Renewed) -> None:
    """The renewal under way has ended."""
    writer, asks, result = agent.writer, agent.asks, news.result
    writer.proposal = None
    if isinstance(result, AgentRecord):
        writer.applied(result, logged=False)
        by_heartbeat = bool(asks.under_way) and isinstance(asks.under_way[0], Heartbeat)
        if not by_heartbeat and not writer.dirty:
            agent.monitor.liveness.set_reported(result.health.reported)
        _acknowledge(agent, result)
    else:
        _refused(agent, news.proposal, result)


def settled(agent: AgentParts, news: Settled) -> None:
    """The change under way has ended."""
    agent.writer.proposal = None
    if isinstance(news.result, AgentRecord):
        _applied(agent, news.proposal.change, news.result)
    else:
        _refused(agent, news.proposal, news.result)


def sweep(agent: AgentParts) -> None:
    """Answer the asks that have waited too long."""
    context, late = agent.context, agent.context.now() - agent.context.change_timeout
    proposal = agent.writer.proposal
    sent = proposal is not None and proposal.sent > 0

    def too_late(ask: Ask, *, under_way: bool) -> Outcome:
        return _too_late(agent, ask, sent=under_way and sent)

    if agent.asks.expire(late, too_late, away=context.store_is_away):
        agent.writer.withdraw()


# --- applied -------------------------------------------------------------------------------------


def _applied(agent: AgentParts, change: Change, record: AgentRecord) -> None:
    writer = agent.writer
    if change.operation == "remove":
        _removed(agent)
        return
    newborn, was_connected = writer.is_newborn(change), registering.connected(agent)
    writer.applied(record, logged=bool(change.kind))
    writer.take_times()
    if not writer.dirty:  # else it has reported something newer
        agent.monitor.liveness.set_reported(record.health.reported)
    if change.kind:
        agent.context.set_recently_lost(record.id, lost=record.health.connection == "lost")
    match agent.asks.under_way:
        case [Register() | Resume() as ask]:
            registering.begin_lease(agent, ask, record, took_over=was_connected)
        case [] if change.operation == "adopt":
            foreign.adopted(agent, record)
        case [] if change.operation in BEGIN_SESSIONS:
            registering.give_up_lease(agent, record, newborn=newborn)
        case _:
            _acknowledge(agent, record)


def _acknowledge(agent: AgentParts, record: AgentRecord) -> None:
    """What was asked is durable in this record, whose `last_seen` says when it came."""
    agent.asks.answer(Acknowledged(record.revision, True, record.last_seen))


def _removed(agent: AgentParts) -> None:
    monitor = agent.monitor
    monitor.liveness.ended()
    by_session = any(ask.session is not None for ask in agent.asks.under_way)
    now = agent.context.timestamp()
    agent.asks.answer(Acknowledged(agent.writer.revision, True, now))
    if by_session:
        monitor.session = None  # it closes once it has answered its peer
    else:
        monitor.end_session(CloseCode.DONE, "unregistered")
    ownership.release(agent)


# --- refused -------------------------------------------------------------------------------------


def _refused(agent: AgentParts, proposal: AnyProposal, result: Refusal | Away) -> None:
    writer, context = agent.writer, agent.context
    sent = proposal.sent > 0  # before this time, and it may have been applied then
    change = proposal.change
    if isinstance(result, Away):
        writer.not_made()
        agent.asks.answer_each(lambda ask: _too_late(agent, ask, sent=sent))
        return
    if sent and result not in ("missing", "deleted"):
        agent.asks.answer_each(lambda ask: _too_late(agent, ask, sent=True))
    match result:
        case "missing" | "deleted" | "fenced" if writer.committed is None:
            agent.asks.again()  # another hub ended its lease
        case "deleted" if foreign.ended_unheard(agent, proposal):
            pass
        case "missing" | "deleted":
            writer.write_again(proposal, agent.monitor.liveness)
        case "stale" if isinstance(change, Change) and change.operation == "claim":
            _claim_overtaken(agent, change)
        case "stale":
            _stale(agent, proposal)
        case "fenced":
            _fenced(agent, proposal)
        case "owned" if context.revoked(context.owner_of(writer.agent_id)):
            writer.refused()  # not known here before, and nobody's
            agent.asks.again()
        case "owned":
            writer.refused()
            agent.asks.answer(not_its_own())
        case "poisoned":
            words = f"the store holds something other than a record for {writer.agent_id}"
            agent.asks.answer(ProtocolError("conflict", words))
            writer.give_up()
        case _:
            assert_never(result)


def _stale(agent: AgentParts, proposal: AnyProposal) -> None:
    """Another hub was faster: do what was asked again, from what it made of the record."""
    writer, monitor, context = agent.writer, agent.monitor, agent.context
    committed = writer.committed
    writer.refused()
    agent.asks.again()
    if committed is None:
        return
    if monitor.session is None:
        monitor.liveness = Liveness.carried_over(
            committed,
            monitor.liveness,
            context.now(),
            wall=context.wall(),
            owned=context.owns(committed),
            timing=writer.timing,
        )
    if committed.revision > proposal.change.revision:
        writer.mark_dirty()
        monitor.arm()
    else:
        if isinstance(proposal.change, Change) and proposal.change.operation == "restore":
            writer.mark_dirty()
        monitor.read_stored()  # what overtook it is not in the log


def _claim_overtaken(agent: AgentParts, claim: Change) -> None:
    """Another hub was faster: decide again from what it made of the agent, which may live now."""
    committed = agent.writer.committed
    agent.writer.refused()
    if committed is not None and committed.revision > claim.revision:
        agent.asks.again()
    else:
        agent.asks.answer(changed_elsewhere())  # what overtook it is not in the log


def _fenced(agent: AgentParts, proposal: AnyProposal) -> None:
    """Another hub holds a newer session: the agent is not the one of this hub's session."""
    committed, epoch = agent.writer.committed, proposal.change.epoch
    if committed is not None and committed.epoch > epoch:
        agent.writer.refused()  # that session has been folded already
        if all(ask.session is None for ask in agent.asks.under_way):
            agent.asks.again()  # callers over HTTP have no session that could be fenced off
        else:
            agent.asks.answer(fenced())
        return
    agent.asks.answer(fenced())
    agent.monitor.end_session(CloseCode.FENCED, NEWER_SESSION)
    ownership.release(agent)
    agent.context.superseded(agent.writer.agent_id, epoch)


def _too_late(agent: AgentParts, ask: Ask, *, sent: bool) -> Outcome:
    """The answer to an ask that the store kept waiting; a heartbeat counts all the same.

    What has been `sent` may happen, and stays then; anything else is withdrawn, and does not.
    """
    writer = agent.writer
    if not isinstance(ask, Heartbeat) or writer.committed is None:
        why = agent.context.why_unanswered
        return unknown_outcome(why) if sent else not_sent(why)
    if ask.caller is not None:
        refusal = refusal_over_http(agent, writer.committed, ask.caller)
        if refusal is not None:
            return refusal
    if ask.session is None or ask.session is agent.monitor.session:
        agent.monitor.take_report(ask)
        writer.keep_unwritten(ask.changes)
    return Acknowledged(writer.revision, False, agent.context.timestamp())
