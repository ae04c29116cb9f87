"""How an agent stands: what time, its socket and other hubs make of it.

The half of an agent's actor that needs no ask: who is in charge, when its silence is judged, and
what becomes of it here when another hub changed it. `actors.agent.actor` is the other half.

- The silence of an agent without a session here may be news to this hub only: before it is judged,
  the store is asked.
- What another hub wrote counts, unless the agent has its session here: it is put right then.
"""

from __future__ import annotations

from typing import assert_never

from actors.agent.context import AgentContext, SelfRef
from actors.agent.messages import ActivitySeen, Overtaken, RenewedElsewhere, SessionHandle
from actors.agent.outcomes import NEWER_SESSION
from actors.agent.record_writer import RecordWriter
from actors.ports.clock import INFINITE
from actors.ports.store import Away, Stored
from actors.rules.liveness import Liveness, renewal_due, renewed_at
from actors.rules.records import supersedes
from actors.rules.states import State, StateChange
from actors.rules.stored_records import read_record
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentRecord

LOOK_AGAIN = 0.25
"""Seconds until the store is asked again that did not answer."""


class Monitor:
    """One agent's life and record in this hub."""

    __slots__ = (
        "_context",
        "_id",
        "_liveness",
        "_monitoring",
        "_reading_stored",
        "_self_ref",
        "_session",
        "_writer",
        "deadline",
        "scheduled",
    )

    _writer: RecordWriter
    _self_ref: SelfRef

    def __init__(self, context: AgentContext, agent_id: str) -> None:
        self._context = context
        self._id = agent_id
        self._liveness = Liveness(State.POLLING, "healthy", context.now())
        self._session: SessionHandle | None = None
        self._reading_stored = False
        self._monitoring = True  # its silence is, by this hub
        self.deadline = INFINITE
        self.scheduled = INFINITE

    def _proceed(self) -> None:
        """Begin what waits for its turn."""
        raise AssertionError("an actor knows what waits")

    def attach(self, self_ref: SelfRef) -> None:
        """Know its own reference, to which outcomes go."""
        self._self_ref = self_ref
        self._writer = RecordWriter(self._context, self_ref, self._id)

    def adopt(self, record: AgentRecord, log: str) -> None:
        """Know the record that is stored, for an ask; `log` tells of it, or none does ("")."""
        self._writer.adopt(record, log)
        self._follow(record)

    def take_over(self, record: AgentRecord, log: str, grace: float) -> None:
        """Be in charge of an agent whose websocket, if it had one, is gone with its hub.

        It has `grace` seconds to come back before it is judged.
        """
        self._writer.adopt(record, log)
        self._take_charge(record, grace)
        # In any case: what is listed from now on must not run out in the store before.
        if self._context.store_is_away:
            self._writer.mark_dirty()
        else:
            self._writer.put_back(self._liveness)

    def deadline_reached(self) -> None:
        """Called by `Deadlines`, which does not follow every heartbeat: is it really due?"""
        actual = self._liveness.deadline(self._context.timing)
        if actual > self._context.now():
            self._context.deadlines.set(self, actual)
        elif not self._context.was_absent():
            self._self_ref.deadline_reached()

    # --- what time and connections do ------------------------------------------------------------

    def _active(self, news: ActivitySeen) -> None:
        context, liveness, writer = self._context, self._liveness, self._writer
        record = writer.current
        if news.session is not self._session or record is None:
            return
        now = context.now()
        returned = liveness.activity_came(now, message=news.message)
        due = renewal_due(writer.renewed_at, now, context.timing)
        if (due or returned) and writer.proposal is None and not context.store_is_away:
            writer.write(writer.refreshed(record, liveness), liveness)
        elif returned:
            writer.mark_dirty()

    def _lost(self) -> None:
        self._context.set_recently_lost(self._id, lost=True)
        self._changed()
        self._arm()

    def _pass_time(self) -> None:
        context, liveness = self._context, self._liveness
        record = self._writer.current
        if context.store_is_away or record is None:
            return  # nobody is judged for the hub's own outage; the return of the store arms anew
        # What waited here may have waited through an absence of the hub.
        context.was_absent()
        liveness.grant_fresh_timeout(context.present_since, context.timing)
        if context.now() < liveness.deadline(context.timing):
            self._arm()
        elif self._session is None and liveness.state in (State.POLLING, State.LOST):
            self._read_stored()
        else:
            self._apply_due_change(record, "")

    def _apply_due_change(self, record: AgentRecord, seen: str) -> None:
        context, liveness = self._context, self._liveness
        if liveness.state is State.UNREACHABLE and context.holds_removal:
            liveness.hold_removal(context.now(), context.timing)
            if renewal_due(self._writer.renewed_at, context.now(), context.timing):
                self._writer.mark_dirty()
            self._arm()
            return
        signal = liveness.pass_time(context.now(), context.timing)
        match signal:
            case None:
                pass
            case StateChange.LEASE_OVER:
                self._writer.commit("remove", "expired", record, liveness)
                return
            case StateChange.SILENT:
                self._writer.write_verdict(record, liveness, seen)
                self._end_session(CloseCode.LEASE_LOST, "no sign of life in time")
            case StateChange.OVERDUE:
                self._changed()
            case _:
                assert_never(signal)
        self._arm()

    def _read_stored(self) -> None:
        self._reading_stored = True
        self._context.read_stored(self._id, self._self_ref.stored_read)

    def _stored_read(self, stored: Stored | Away | None) -> None:
        """The store has told what it holds: what another hub heard, and the log does not tell."""
        self._reading_stored = False
        context, writer = self._context, self._writer
        seen = ""
        record = _readable(stored)
        if isinstance(stored, Away):
            # Should it be away for long, its return absolves everybody and arms anew.
            context.deadlines.set(self, context.now() + LOOK_AGAIN)
        elif writer.committed is None:
            pass
        elif record is not None and isinstance(stored, Stored):
            seen = record.last_seen
            if supersedes(record, writer.committed):
                self._overtaken(Overtaken(record, removed=False))
            elif seen != writer.committed.last_seen:
                at = renewed_at(stored.ttl, context.now(), context.timing)
                self._renewed_elsewhere(RenewedElsewhere(seen, at))
        current = writer.current
        if current is None or isinstance(stored, Away):
            pass
        elif (
            self._session is None
            and writer.proposal is None
            and not context.store_is_away
            and context.now() >= self._liveness.deadline(context.timing)
        ):
            self._apply_due_change(current, seen)
        else:
            self._arm()
        self._proceed()

    def _grant_fresh_timeout(self) -> None:
        self._liveness.grant_fresh_timeout(self._context.present_since, self._context.timing)
        self._writer.mark_dirty()  # listed for longer, it must be stored for longer
        self._arm()

    def _arm(self) -> None:
        committed = self._writer.committed
        if self._session is None and committed is not None and not self._context.owns(committed):
            self._leave()
        else:
            self._monitoring = True
            self._context.deadlines.set(self, self._liveness.deadline(self._context.timing))

    def _leave(self) -> None:
        """Leave it to another hub to judge the agent."""
        self._monitoring = False
        self.deadline = INFINITE

    # --- what other hubs do ----------------------------------------------------------------------

    def _overtaken(self, news: Overtaken) -> None:
        writer, record = self._writer, news.record
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
            self._end_session(CloseCode.FENCED, NEWER_SESSION)
            self._follow(record)
        elif self._session is None:
            self._follow(record)
        else:
            # It lives, and here: should the record say otherwise, it is put right.
            if record.health.reported != before.health.reported:
                self._liveness.set_reported(record.health.reported)  # it said so elsewhere
            if writer.with_status(record, self._liveness) is not record:
                writer.mark_dirty()

    def _ended_elsewhere(self, record: AgentRecord) -> None:
        if record.status == "unreachable":
            self._end_session(CloseCode.LEASE_LOST, "no sign of life in time")
        else:
            self._end_session(CloseCode.DONE, "unregistered")
        self._release()

    def _renewed_elsewhere(self, news: RenewedElsewhere) -> None:
        self._writer.renewed_elsewhere(news.last_seen)
        self._liveness.active_elsewhere(news.at)

    def _follow(self, record: AgentRecord) -> None:
        """Live as the record says, for which no session is here."""
        if self._context.owns(record):
            self._take_charge(record, self._context.timing.resume_window)
        else:
            self._liveness = Liveness.recovered(record, self._context.now())
            self._leave()

    def _take_charge(self, record: AgentRecord, grace: float) -> None:
        context = self._context
        self._liveness = Liveness.taken_over(
            record, context.now(), wall=context.wall(), grace=grace, timing=context.timing
        )
        if self._liveness.state is State.LOST:
            context.set_recently_lost(self._id, lost=True)
            if record.health.connection != "lost":
                self._writer.mark_dirty()  # nobody has told yet
        self._arm()

    # --- its record and session ------------------------------------------------------------------

    def _changed(self) -> None:
        """The agent's life took a turn: the record must tell."""
        record = self._writer.current
        if record is None:
            return
        if self._context.store_is_away:
            self._writer.mark_dirty()
        else:
            self._writer.write(self._writer.with_status(record, self._liveness), self._liveness)

    def _end_session(self, code: CloseCode, reason: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end(code, reason)

    def _release(self) -> None:
        self.deadline = INFINITE
        self._writer.release()
        self._context.set_recently_lost(self._id, lost=False)
        self._liveness = Liveness(State.POLLING, "healthy", self._context.now())


def _of_another_session(record: AgentRecord, than: AgentRecord, hub_id: str) -> bool:
    """Whether it tells of another session than the one here.

    Epochs tell, unless the store lost data and gave one twice. (A session that others took for
    lost may have sent a heartbeat over HTTP since, which leaves the hub empty.)
    """
    return (
        record.epoch != than.epoch
        or record.registered_at != than.registered_at
        or record.hub not in ("", hub_id)
    )


def _readable(stored: Stored | Away | None) -> AgentRecord | None:
    if not isinstance(stored, Stored):
        return None
    try:
        return read_record(stored.record)
    except (ValueError, RecursionError):
        return None  # somebody else's: the verdict will be refused as poisoned
