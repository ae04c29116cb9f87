"""What a program that is no hub does to an agent in the store, such as the legacy registry.

For an agent that came over HTTP it counts as what a caller over HTTP said at a hub: agents that it
registered are taken in, its heartbeats are signs of life, and what they say is the agent's. An
agent that a websocket session holds, or held last, is never changed by it: its record is written
back. Every change is made from what was read, and refused where that was written since.
"""

from __future__ import annotations

from msgspec import structs

from actors.agent.messages import FoundForeign, StoredDeleted
from actors.agent.parts import AgentParts
from actors.log.proposal import AnyProposal
from actors.ports.store import Stored
from actors.rules.foreign_records import (
    TTL,
    ForeignRecord,
    foreign_seen,
    is_foreign,
    metadata_changes,
    read_foreign,
)
from actors.rules.liveness import Liveness
from actors.rules.records import amend, head_of
from actors.rules.states import State
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentChanges, AgentRecord
from homeport_protocol.timestamps import format_timestamp


def stored_changed(agent: AgentParts) -> None:
    """Read what was written, unless a change is under way that will find it."""
    writer, monitor = agent.writer, agent.monitor
    if writer.committed is None or writer.proposal is not None or monitor.reading_stored:
        return
    if _is_its_own(writer.committed):
        monitor.read_stored()
    else:
        _write_back(agent)


def stored_deleted(agent: AgentParts, news: StoredDeleted) -> None:
    """The agent was unregistered there: remove it, unless it has been heard of since."""
    writer, monitor = agent.writer, agent.monitor
    record = writer.committed
    if record is None or writer.proposal is not None or monitor.reading_stored:
        return
    if not _is_its_own(record):
        _write_back(agent)
    elif record.last_seen == news.last_seen and not writer.dirty:
        agent.context.foreign_write(record.id, "deleted")
        writer.commit("remove", "unregistered", record, monitor.liveness, seen=record.last_seen)


def ended_unheard(agent: AgentParts, proposal: AnyProposal) -> bool:
    """Remove an agent that was unregistered there, and whose silence is noticed before that."""
    record, asks = agent.writer.committed, agent.asks
    silent = proposal.record.health.reason == "heartbeat_timeout"
    if record is None or not silent or asks.under_way or asks.waiting:
        return False
    agent.context.foreign_write(record.id, "deleted")
    agent.writer.commit("remove", "unregistered", record, agent.monitor.liveness)
    return True


def found(agent: AgentParts, news: FoundForeign) -> None:
    """Take in an agent that no hub knows, if there is room for it."""
    writer, context = agent.writer, agent.context
    read = _readable(news.stored)
    if writer.committed is not None or writer.proposal is not None or read is None:
        return
    now, at = context.now(), _written_at(agent, news.stored)
    liveness = Liveness(State.POLLING, read.record.health.reported, at)
    record = structs.replace(read.record, last_seen=_timestamp(agent, at))
    record = writer.with_status(record, liveness)
    try:
        head = head_of(record)
        context.admit(record, len(head), None)
    except ProtocolError:
        return
    agent.monitor.liveness = liveness
    writer.commit(
        "adopt", "registered", record, liveness, hub="", born=now, seen=read.seen, head=head
    )


def adopted(agent: AgentParts, record: AgentRecord) -> None:
    """It is durable that a hub has the agent now."""
    agent.monitor.arm()
    agent.context.foreign_write(record.id, "registered")


def wrote(agent: AgentParts, stored: Stored | None) -> bool:
    """Whether what is stored was written by a program that is no hub."""
    return stored is not None and agent.writer.committed is not None and is_foreign(stored.record)


def take_in(agent: AgentParts, stored: Stored | None) -> str:
    """Take in what was written: a sign of life, a status, metadata.

    Returns the `last_seen` that is stored.
    """
    writer, monitor, context = agent.writer, agent.monitor, agent.context
    committed = writer.current
    assert stored is not None
    assert committed is not None
    seen = foreign_seen(stored.record)
    if context.store_is_away:
        return seen
    if not _is_its_own(committed):
        _write_back(agent)
        return ""
    writer.overwritten_by_others(seen)
    read = _readable(stored)
    if read is None or read.record.last_seen == committed.last_seen:
        context.foreign_write(committed.id, "overwritten")
        writer.mark_dirty()
        return seen
    at, liveness = _written_at(agent, stored), monitor.liveness
    liveness.message_came(max(at, liveness.last_message_at))
    liveness.report(read.status, over_http=True)
    changes = metadata_changes(committed.metadata, read.record.metadata)
    try:
        record = amend(committed, AgentChanges(metadata=changes)) if changes else committed
        context.check_growth(committed, record)
    except ProtocolError:  # more than a hub keeps
        record = committed
    record = writer.with_status(record, liveness)
    last_seen = max(committed.last_seen, _timestamp(agent, at))
    context.foreign_write(record.id, "changed")
    writer.write(structs.replace(record, last_seen=last_seen), liveness)
    return seen


def _is_its_own(record: AgentRecord) -> bool:
    """Whether a caller over HTTP that shows no token may speak for the agent."""
    return record.health.connection == "http"


def _write_back(agent: AgentParts) -> None:
    agent.context.foreign_write(agent.writer.agent_id, "overwritten")
    agent.writer.mark_dirty()


def _written_at(agent: AgentParts, stored: Stored) -> float:
    """When the entry was written, by what is left of the time that the legacy registry gives it."""
    age = max(0.0, TTL - stored.ttl) if stored.ttl else 0.0
    return agent.context.now() - age


def _timestamp(agent: AgentParts, at: float) -> str:
    """The same by this hub's wall clock: that of the other program may be wrong."""
    return format_timestamp(agent.context.wall() - (agent.context.now() - at))


def _readable(stored: Stored) -> ForeignRecord | None:
    try:
        return read_foreign(stored.record)
    except (ValueError, RecursionError):
        return None
