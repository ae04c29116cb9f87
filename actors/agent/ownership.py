"""Which hub owns an agent, and what other hubs make of it.

A hub owns an agent when its silence is for this hub to watch; `AgentContext.owns` says which.
What another hub wrote counts here too, unless the agent has its session here: then it is put right.
"""

from __future__ import annotations

from msgspec import structs

from actors.agent.messages import Overtaken, RenewedElsewhere
from actors.agent.outcomes import NEWER_SESSION
from actors.agent.parts import AgentParts
from actors.log.proposal import AnyProposal, Proposal
from actors.ports.clock import INFINITE
from actors.ports.store import Stored
from actors.rules.liveness import Liveness, renewed_at
from actors.rules.records import supersedes
from actors.rules.states import State
from actors.rules.stored_records import read_record
from homeport_protocol.bounds import Status
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentRecord


def adopt(agent: AgentParts, record: AgentRecord, log: str) -> None:
    """Know the stored record; `log` is the log that has it, "" if none does."""
    agent.writer.adopt(record, log)
    _follow(agent, record)


def take_over(agent: AgentParts, record: AgentRecord, log: str, grace: float) -> None:
    """Own an agent whose websocket, if it had one, is gone with its hub.

    It has `grace` seconds to come back. Its entry is written in any case: what is listed from
    now on must not run out in the store before.
    """
    agent.writer.adopt(record, log)
    _watch(agent, record, grace)
    if agent.context.store_is_away:
        agent.writer.mark_dirty()
    else:
        agent.writer.put_back(agent.monitor.liveness)


def taken_over_during_ask(agent: AgentParts, record: AgentRecord) -> None:
    """This hub has come to own the agent while it had an actor here for an ask."""
    _watch(agent, record, agent.writer.timing.resume_window)
    agent.writer.mark_dirty()


def overtaken(agent: AgentParts, news: Overtaken) -> None:
    """Another hub changed the record, or ended the lease."""
    writer, monitor, record = agent.writer, agent.monitor, news.record
    writer.take_times()  # perhaps it was told others
    if writer.committed is None:
        if not news.removed and (writer.proposal is None or _claims(writer.proposal)):
            adopt(agent, record, agent.context.log)
        elif not news.removed:
            writer.registered_elsewhere(record)
        return
    if not supersedes(record, writer.committed):
        return
    if news.removed:
        _ended_elsewhere(agent, record)
        return
    before = writer.committed
    fenced_off = _of_another_session(record, before, agent.context.hub_id)
    if not fenced_off and record.hub and record.last_seen < before.last_seen:
        # The store lost its data, and that hub, which had missed changes, put back what it knew.
        writer.turned_back(record, before)
        record = _reporting(record, before.health.reported)
    else:
        writer.overtaken(record)
        if not fenced_off and writer.status_said_since(record):
            # A change from before, such as our own that nobody answered: what was said and
            # acknowledged since is to be written yet.
            record = _reporting(record, monitor.liveness.reported)
            writer.mark_dirty()
    if fenced_off:
        monitor.end_session(CloseCode.FENCED, NEWER_SESSION)
        _follow(agent, record)
    elif monitor.session is None:
        _follow(agent, record)
    else:
        # The agent lives, and here: where the record says otherwise, it is put right.
        if record.health.reported != before.health.reported:
            monitor.liveness.set_reported(record.health.reported)  # it said so elsewhere
        if writer.with_status(record, monitor.liveness) is not record:
            writer.mark_dirty()


def _reporting(record: AgentRecord, status: Status) -> AgentRecord:
    return structs.replace(record, health=structs.replace(record.health, reported=status))


def renewed_elsewhere(agent: AgentParts, news: RenewedElsewhere) -> None:
    """Another hub renewed the entry."""
    agent.writer.renewed_elsewhere(news.last_seen, news.load)
    agent.monitor.liveness.active_elsewhere(news.at)


def take_in(agent: AgentParts, stored: Stored | None) -> str:
    """Take in what the store holds: what another hub made of the agent, log entry or not.

    Returns the stored `last_seen`; "" when nothing readable is stored, or known here.
    """
    record = _readable(stored)
    committed = agent.writer.committed
    if committed is None or stored is None or record is None:
        return ""
    if supersedes(record, committed):
        overtaken(agent, Overtaken(record, removed=False))
    elif record.last_seen != committed.last_seen:
        at = renewed_at(stored.ttl, agent.context.now(), agent.writer.timing)
        renewed_elsewhere(agent, RenewedElsewhere(record.last_seen, record.load, at))
    if (record.epoch, record.revision) == (committed.epoch, committed.revision):
        agent.writer.stored_as(record)
    return record.last_seen


def release(agent: AgentParts) -> None:
    """The agent is no more, or another hub holds a newer session of it."""
    agent.monitor.deadline = INFINITE
    agent.writer.release()
    agent.context.set_recently_lost(agent.writer.agent_id, lost=False)
    agent.monitor.liveness = Liveness(State.POLLING, "healthy", agent.context.now())


def _follow(agent: AgentParts, record: AgentRecord) -> None:
    """Have the liveness of an agent without a session here be what the record says."""
    if agent.context.owns(record):
        _watch(agent, record, agent.writer.timing.resume_window)
    else:
        agent.monitor.liveness = Liveness.recovered(record, agent.context.now())
        agent.monitor.disable()


def _watch(agent: AgentParts, record: AgentRecord, grace: float) -> None:
    context, monitor = agent.context, agent.monitor
    monitor.liveness = Liveness.taken_over(
        record, context.now(), wall=context.wall(), grace=grace, timing=agent.writer.timing
    )
    if monitor.liveness.state is State.LOST:
        context.set_recently_lost(agent.writer.agent_id, lost=True)
        if record.health.connection != "lost":
            agent.writer.mark_dirty()  # no record says so yet
    monitor.arm()


def _claims(proposal: AnyProposal) -> bool:
    """Whether it is a claim, which fails if anything newer is stored: that is then known here."""
    return isinstance(proposal, Proposal) and proposal.change.operation == "claim"


def _ended_elsewhere(agent: AgentParts, record: AgentRecord) -> None:
    if record.status == "unreachable":
        agent.monitor.end_session(CloseCode.LEASE_LOST, "no sign of life in time")
    else:
        agent.monitor.end_session(CloseCode.DONE, "unregistered")
    release(agent)


def _of_another_session(record: AgentRecord, known: AgentRecord, hub_id: str) -> bool:
    """Whether the record is of another session than the `known` one, which is of this hub.

    Epochs differ then, unless the store lost data and gave one twice. (A session that others took
    for lost may have sent a heartbeat over HTTP since, which leaves the hub empty.)
    """
    return (
        record.epoch != known.epoch
        or record.registered_at != known.registered_at
        or record.hub not in ("", hub_id)
    )


def _readable(stored: Stored | None) -> AgentRecord | None:
    if stored is None:
        return None
    try:
        return read_record(stored.record)
    except (ValueError, RecursionError):
        return None  # not ours: the next change sets it aside
