"""Which hub owns an agent, and what other hubs make of it.

A hub owns an agent when its silence is for this hub to watch; `AgentContext.owns` says which.
What another hub wrote counts here too, unless the agent has its session here: then it is put right.
"""

from __future__ import annotations

from actors.agent.context import AgentContext
from actors.agent.messages import Overtaken, RenewedElsewhere
from actors.agent.monitor import Monitor
from actors.agent.outcomes import NEWER_SESSION
from actors.agent.record_writer import RecordWriter
from actors.ports.clock import INFINITE
from actors.ports.store import Stored
from actors.rules.liveness import Liveness, renewed_at
from actors.rules.records import supersedes
from actors.rules.states import State
from actors.rules.stored_records import read_record
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentRecord


class Ownership:
    """Takes an agent over from another hub, follows another hub's changes, and lets go of it."""

    __slots__ = ("_context", "_monitor", "_writer")

    def __init__(self, context: AgentContext, writer: RecordWriter, monitor: Monitor) -> None:
        self._context = context
        self._writer = writer
        self._monitor = monitor

    def adopt(self, record: AgentRecord, log: str) -> None:
        """Know the stored record; `log` is the log that has it, "" if none does."""
        self._writer.adopt(record, log)
        self._follow(record)

    def take_over(self, record: AgentRecord, log: str, grace: float) -> None:
        """Own an agent whose websocket, if it had one, is gone with its hub.

        It has `grace` seconds to come back. Its entry is written in any case: what is listed from
        now on must not run out in the store before.
        """
        self._writer.adopt(record, log)
        self._watch(record, grace)
        if self._context.store_is_away:
            self._writer.mark_dirty()
        else:
            self._writer.put_back(self._monitor.liveness)

    def taken_over_during_ask(self, record: AgentRecord) -> None:
        """This hub has come to own the agent while it had an actor here for an ask."""
        self._watch(record, self._context.timing.resume_window)
        self._writer.mark_dirty()

    def overtaken(self, news: Overtaken) -> None:
        """Another hub changed the record, or ended the lease."""
        writer, monitor, record = self._writer, self._monitor, news.record
        if writer.committed is None:
            if not news.removed and writer.proposal is None:
                self.adopt(record, self._context.log)
            return
        if not supersedes(record, writer.committed):
            return
        if news.removed:
            self._ended_elsewhere(record)
            return
        before = writer.committed
        fenced_off = _of_another_session(record, before, self._context.hub_id)
        writer.overtaken(record)
        if fenced_off:
            monitor.end_session(CloseCode.FENCED, NEWER_SESSION)
            self._follow(record)
        elif monitor.session is None:
            self._follow(record)
        else:
            # The agent lives, and here: where the record says otherwise, it is put right.
            if record.health.reported != before.health.reported:
                monitor.liveness.set_reported(record.health.reported)  # it said so elsewhere
            if writer.with_status(record, monitor.liveness) is not record:
                writer.mark_dirty()

    def renewed_elsewhere(self, news: RenewedElsewhere) -> None:
        """Another hub renewed the entry."""
        self._writer.renewed_elsewhere(news.last_seen)
        self._monitor.liveness.active_elsewhere(news.at)

    def take_in(self, stored: Stored | None) -> str:
        """Take in what the store holds: what another hub made of the agent, log entry or not.

        Returns the stored `last_seen`; "" when nothing readable is stored, or known here.
        """
        record = _readable(stored)
        committed = self._writer.committed
        if committed is None or stored is None or record is None:
            return ""
        if supersedes(record, committed):
            self.overtaken(Overtaken(record, removed=False))
        elif record.last_seen != committed.last_seen:
            at = renewed_at(stored.ttl, self._context.now(), self._context.timing)
            self.renewed_elsewhere(RenewedElsewhere(record.last_seen, at))
        return record.last_seen

    def release(self) -> None:
        """The agent is no more, or another hub holds a newer session of it."""
        self._monitor.deadline = INFINITE
        self._writer.release()
        self._context.set_recently_lost(self._writer.agent_id, lost=False)
        self._monitor.liveness = Liveness(State.POLLING, "healthy", self._context.now())

    def _follow(self, record: AgentRecord) -> None:
        """Have the liveness of an agent without a session here be what the record says."""
        if self._context.owns(record):
            self._watch(record, self._context.timing.resume_window)
        else:
            self._monitor.liveness = Liveness.recovered(record, self._context.now())
            self._monitor.disable()

    def _watch(self, record: AgentRecord, grace: float) -> None:
        context, monitor = self._context, self._monitor
        monitor.liveness = Liveness.taken_over(
            record, context.now(), wall=context.wall(), grace=grace, timing=context.timing
        )
        if monitor.liveness.state is State.LOST:
            context.set_recently_lost(self._writer.agent_id, lost=True)
            if record.health.connection != "lost":
                self._writer.mark_dirty()  # no record says so yet
        monitor.arm()

    def _ended_elsewhere(self, record: AgentRecord) -> None:
        if record.status == "unreachable":
            self._monitor.end_session(CloseCode.LEASE_LOST, "no sign of life in time")
        else:
            self._monitor.end_session(CloseCode.DONE, "unregistered")
        self.release()


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
        return None  # not ours: a change will be refused as poisoned
