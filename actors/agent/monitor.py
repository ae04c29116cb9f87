"""Watches one agent's silence: what time, its connection and the hub's own absences make of it.

- The hub's own absence, and the store's, is charged to nobody.
- The silence of an agent without a session here may be news to this hub only. Before anything
  comes of it, the store is asked: another hub may have received a heartbeat.
- The rules themselves stand in `actors.rules.liveness`.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET

from actors.agent.context import AgentContext
from actors.agent.messages import ActivitySeen, Heartbeat, SessionHandle, SocketLost
from actors.agent.record_writer import RecordWriter
from actors.agent.ref import AgentRef
from actors.ports.clock import INFINITE
from actors.rules.liveness import Liveness, renewal_due
from actors.rules.states import State, StateChange
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentRecord

READ_AGAIN = 0.25
"""Seconds until the store is asked again that did not answer."""


class Monitor:
    """Holds the agent's liveness, its session and its one deadline; an `actors.runtime` owner.

    `enabled` is false while it is for another hub to watch the agent's silence. While
    `reading_stored`, the store is being asked what it holds of the agent.
    """

    __slots__ = (
        "_context",
        "_ref",
        "_writer",
        "deadline",
        "enabled",
        "liveness",
        "reading_stored",
        "scheduled",
        "session",
    )

    def __init__(self, context: AgentContext, ref: AgentRef, writer: RecordWriter) -> None:
        self._context = context
        self._ref = ref
        self._writer = writer
        self.liveness = Liveness(State.POLLING, "healthy", context.now())
        self.session: SessionHandle | None = None
        self.enabled = True
        self.reading_stored = False
        self.deadline = INFINITE
        self.scheduled = INFINITE

    # --- the deadline ----------------------------------------------------------------------------

    def arm(self) -> None:
        """Set the deadline by the liveness as it is now, if this hub is to watch the agent."""
        committed = self._writer.committed
        if self.session is None and committed is not None and not self._context.owns(committed):
            self.disable()
        else:
            self.enabled = True
            self._context.deadlines.set(self, self.liveness.deadline(self._writer.timing))

    def disable(self) -> None:
        """Leave it to another hub to watch the agent."""
        self.enabled = False
        self.deadline = INFINITE

    def deadline_reached(self) -> None:
        """Called by `Deadlines`, which does not follow every heartbeat: check that it is due."""
        actual = self.liveness.deadline(self._writer.timing)
        if actual > self._context.now():
            self._context.deadlines.set(self, actual)
        elif not self._context.was_absent():
            self._ref.deadline_reached()

    def pass_time(self) -> None:
        """The deadline has passed: act on it, or ask the store first."""
        context, liveness = self._context, self.liveness
        record = self._writer.current
        if context.store_is_away or record is None:
            return  # the store's outage is charged to nobody; its return arms the deadline anew
        # What waited for this turn may have waited through an absence of the hub.
        context.was_absent()
        liveness.grant_fresh_timeout(context.present_since, self._writer.timing)
        if context.now() < liveness.deadline(self._writer.timing):
            self.arm()
        elif self.session is None and liveness.state in (State.POLLING, State.LOST):
            self.read_stored()
        else:
            self._make_due_change(record, "")

    def read_stored(self) -> None:
        """Ask the store what it holds of the agent; nothing else is begun until it answers."""
        self.reading_stored = True
        self._context.read_stored(self._writer.agent_id, self._ref.stored_read)

    def stored_read(self, last_seen: str) -> None:
        """What the store holds has been taken into account; `last_seen` is what it says, or ""."""
        context, record = self._context, self._writer.current
        if record is None:
            return
        if (
            self.session is None
            and self._writer.proposal is None
            and not context.store_is_away
            and context.now() >= self.liveness.deadline(self._writer.timing)
        ):
            self._make_due_change(record, last_seen)
        else:
            self.arm()

    def read_later(self) -> None:
        """The store did not answer: ask it again soon.

        If it stays away for long, its return grants a fresh timeout and arms the deadline anew.
        """
        self._context.deadlines.set(self, self._context.now() + READ_AGAIN)

    def _make_due_change(self, record: AgentRecord, last_seen: str) -> None:
        """Make the change that the passing of time brings, unless removal is held.

        That the agent is unreachable is written only if the store still has that `last_seen`
        (any, if it is "").
        """
        context, liveness = self._context, self.liveness
        held_until = context.held_until(self._writer.agent_id)
        if liveness.state is State.UNREACHABLE and context.now() < held_until:
            liveness.hold_removal(context.now(), held_until, self._writer.timing)
            if renewal_due(self._writer.renewed_at, context.now(), self._writer.timing):
                self._writer.mark_dirty()
            self.arm()
            return
        change = liveness.pass_time(context.now(), self._writer.timing)
        match change:
            case None:
                pass
            case StateChange.LEASE_OVER:
                self._writer.commit("remove", "expired", record, liveness)
                return
            case StateChange.SILENT:
                self._writer.write_unreachable(record, liveness, last_seen)
                self.end_session(CloseCode.LEASE_LOST, "no sign of life in time")
            case StateChange.OVERDUE | StateChange.SOCKET_LOST:
                self._write_status()
            case _:
                assert_never(change)
        self.arm()

    # --- activity and absence --------------------------------------------------------------------

    def activity_seen(self, news: ActivitySeen) -> None:
        """The session's peer is active; renew the entry if no heartbeat has done so for long."""
        context, liveness, writer = self._context, self.liveness, self._writer
        record = writer.current
        if news.session is not self.session or record is None:
            return
        now = context.now()
        returned = liveness.activity_came(now, message=news.message)
        due = renewal_due(writer.renewed_at, now, self._writer.timing)
        if (due or returned) and writer.proposal is None and not context.store_is_away:
            writer.write(writer.refreshed(record, liveness), liveness)
        elif returned:
            writer.mark_dirty()

    def take_report(self, ask: Heartbeat) -> None:
        """Take what a heartbeat says of the agent's status."""
        status = None if ask.changes.status is UNSET else ask.changes.status
        before = self.liveness.state
        self.liveness.report(status, over_http=ask.session is None)
        if self.liveness.state is not before:
            self.arm()

    def grant_fresh_timeout(self) -> None:
        """The hub or the store was absent: the agent's silence counts from the end of that."""
        self.liveness.grant_fresh_timeout(self._context.present_since, self._writer.timing)
        self._writer.mark_dirty()  # listed for longer, it must be stored for longer
        self.arm()

    # --- the session -----------------------------------------------------------------------------

    def socket_lost(self, news: SocketLost) -> None:
        """The connection of a session is gone: the agent may resume, if it was its session."""
        if news.session is self.session:
            self.session = None
            self.liveness.lost(news.at, self._writer.timing)
            self.lost()

    def drain(self) -> None:
        """The hub is stopping: let go of the session."""
        if self.session is not None:
            self.session = None
            self.liveness.drained()
            self.lost()

    def lost(self) -> None:
        """The agent has been lost: write so, and wait for it to resume."""
        self._context.set_recently_lost(self._writer.agent_id, lost=True)
        self._write_status()
        self.arm()

    def end_session(self, code: CloseCode, reason: str) -> None:
        """Close the session's connection, if there is a session."""
        session, self.session = self.session, None
        if session is not None:
            session.end(code, reason)

    def _write_status(self) -> None:
        writer = self._writer
        record = writer.current
        if record is None:
            return
        if self._context.store_is_away:
            writer.mark_dirty()
        else:
            writer.write(writer.with_status(record, self.liveness), self.liveness)
