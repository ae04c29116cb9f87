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
from actors.agent.messages import Alive, Overtaken, RenewedElsewhere, SessionHandle
from actors.agent.outcomes import NEWER_SESSION
from actors.agent.record_writer import RecordWriter
from actors.ports.clock import INFINITE
from actors.ports.store import Away, Stored
from actors.rules.liveness import Liveness
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
        "_home",
        "_id",
        "_judged",
        "_keeper",
        "_life",
        "_looking",
        "_me",
        "_session",
        "deadline",
        "scheduled",
    )

    _keeper: RecordWriter
    _me: SelfRef

    def __init__(self, home: AgentContext, agent_id: str) -> None:
        self._home = home
        self._id = agent_id
        self._life = Liveness(State.POLLING, "healthy", home.now())
        self._session: SessionHandle | None = None
        self._looking = False
        self._judged = True  # its silence is, by this hub
        self.deadline = INFINITE
        self.scheduled = INFINITE

    def _proceed(self) -> None:
        """Begin what waits for its turn."""
        raise AssertionError("an actor knows what waits")

    def begin(self, me: SelfRef) -> None:
        """Know its own reference, to which outcomes go."""
        self._me = me
        self._keeper = RecordWriter(self._home, me, self._id)

    def adopt(self, record: AgentRecord, log: str) -> None:
        """Know the record that is stored, for an ask; `log` tells of it, or none does ("")."""
        self._keeper.adopt(record, log)
        self._follow(record)

    def take_over(self, record: AgentRecord, log: str, grace: float) -> None:
        """Be in charge of an agent whose websocket, if it had one, is gone with its hub.

        It has `grace` seconds to come back before it is judged.
        """
        self._keeper.adopt(record, log)
        self._take_charge(record, grace)
        # In any case: what is listed from now on must not run out in the store before.
        if self._home.store_is_away:
            self._keeper.stale()
        else:
            self._keeper.put_back(self._life)

    def deadline_reached(self) -> None:
        """Called by `Deadlines`, which does not follow every heartbeat: is it really due?"""
        actual = self._life.deadline(self._home.timing)
        if actual > self._home.now():
            self._home.deadlines.set(self, actual)
        elif not self._home.was_absent():
            self._me.deadline_reached()

    # --- what time and connections do ------------------------------------------------------------

    def _alive(self, news: Alive) -> None:
        home, life, keeper = self._home, self._life, self._keeper
        record = keeper.current
        if news.session is not self._session or record is None:
            return
        life.sign_at = home.now()
        returned = news.spoke and life.overdue
        if news.spoke:
            life.beat_at = life.sign_at
            life.overdue = False
        due = life.sign_at - keeper.renewed_at > home.timing.lease_ttl / 3
        if (due or returned) and keeper.proposal is None and not home.store_is_away:
            keeper.write(keeper.seen(record, life), life)
        elif returned:
            keeper.stale()

    def _lost(self) -> None:
        self._home.set_recently_lost(self._id, lost=True)
        self._changed()
        self._arm()

    def _pass_time(self) -> None:
        home, life = self._home, self._life
        record = self._keeper.current
        if home.store_is_away or record is None:
            return  # nobody is judged for the hub's own outage; the return of the store arms anew
        # What waited here may have waited through an absence of the hub.
        home.was_absent()
        life.absolve(home.present_since, home.timing)
        if home.now() < life.deadline(home.timing):
            self._arm()
        elif self._session is None and life.state in (State.POLLING, State.LOST):
            self._look()
        else:
            self._judge(record, "")

    def _judge(self, record: AgentRecord, seen: str) -> None:
        home, life = self._home, self._life
        if life.state is State.UNREACHABLE and home.holds_removal:
            life.hold(home.now(), home.timing)
            if home.now() - self._keeper.renewed_at > home.timing.lease_ttl / 3:
                self._keeper.stale()
            self._arm()
            return
        signal = life.pass_time(home.now(), home.timing)
        match signal:
            case None:
                pass
            case StateChange.LEASE_OVER:
                self._keeper.commit("remove", "expired", record, life)
                return
            case StateChange.SILENT:
                self._keeper.judge(record, life, seen)
                self._end_session(CloseCode.LEASE_LOST, "no sign of life in time")
            case StateChange.OVERDUE:
                self._changed()
            case _:
                assert_never(signal)
        self._arm()

    def _look(self) -> None:
        self._looking = True
        self._home.look(self._id, self._me.looked)

    def _looked(self, stored: Stored | Away | None) -> None:
        """The store has told what it holds: what another hub heard, and the log does not tell."""
        self._looking = False
        home, keeper = self._home, self._keeper
        seen = ""
        record = _readable(stored)
        if isinstance(stored, Away):
            # Should it be away for long, its return absolves everybody and arms anew.
            home.deadlines.set(self, home.now() + LOOK_AGAIN)
        elif keeper.committed is None:
            pass
        elif record is not None and isinstance(stored, Stored):
            seen = record.last_seen
            if supersedes(record, keeper.committed):
                self._overtaken(Overtaken(record, removed=False))
            elif seen != keeper.committed.last_seen:
                age = max(0.0, home.timing.lease_ttl - stored.ttl)
                self._renewed_elsewhere(RenewedElsewhere(seen, home.now() - age))
        current = keeper.current
        if current is None or isinstance(stored, Away):
            pass
        elif (
            self._session is None
            and keeper.proposal is None
            and not home.store_is_away
            and home.now() >= self._life.deadline(home.timing)
        ):
            self._judge(current, seen)
        else:
            self._arm()
        self._proceed()

    def _absolve(self) -> None:
        self._life.absolve(self._home.present_since, self._home.timing)
        self._keeper.stale()  # listed for longer, it must be stored for longer
        self._arm()

    def _arm(self) -> None:
        committed = self._keeper.committed
        if self._session is None and committed is not None and not self._home.owns(committed):
            self._leave()
        else:
            self._judged = True
            self._home.deadlines.set(self, self._life.deadline(self._home.timing))

    def _leave(self) -> None:
        """Leave it to another hub to judge the agent."""
        self._judged = False
        self.deadline = INFINITE

    # --- what other hubs do ----------------------------------------------------------------------

    def _overtaken(self, news: Overtaken) -> None:
        keeper, record = self._keeper, news.record
        if keeper.committed is None:
            if not news.removed and keeper.proposal is None:
                self.adopt(record, self._home.log)
            return
        if not supersedes(record, keeper.committed):
            return
        if news.removed:
            self._ended_elsewhere(record)
            return
        before = keeper.committed
        fenced_off = _of_another_session(record, before, self._home.hub_id)
        keeper.overtaken(record)
        if fenced_off:
            self._end_session(CloseCode.FENCED, NEWER_SESSION)
            self._follow(record)
        elif self._session is None:
            self._follow(record)
        else:
            # It lives, and here: should the record say otherwise, it is put right.
            if record.health.reported != before.health.reported:
                self._life.reported = record.health.reported  # it said so elsewhere
            if keeper.told(record, self._life) is not record:
                keeper.stale()

    def _ended_elsewhere(self, record: AgentRecord) -> None:
        if record.status == "unreachable":
            self._end_session(CloseCode.LEASE_LOST, "no sign of life in time")
        else:
            self._end_session(CloseCode.DONE, "unregistered")
        self._release()

    def _renewed_elsewhere(self, news: RenewedElsewhere) -> None:
        life = self._life
        self._keeper.seen_elsewhere(news.last_seen)
        if life.state is not State.UNREACHABLE:  # else the log tells of its return
            life.sign_at = max(life.sign_at, news.at)
            life.beat_at = max(life.beat_at, news.at)

    def _follow(self, record: AgentRecord) -> None:
        """Live as the record says, for which no session is here."""
        if self._home.owns(record):
            self._take_charge(record, self._home.timing.resume_window)
        else:
            self._life = Liveness.recovered(record, self._home.now())
            self._leave()

    def _take_charge(self, record: AgentRecord, grace: float) -> None:
        home = self._home
        if record.health.reason == "draining":  # its hub has told it when to come back
            grace = max(grace, home.timing.heartbeat_timeout)
        self._life = Liveness.taken_over(
            record, home.now(), grace=grace, lease_left=home.lease_left(record)
        )
        if self._life.state is State.LOST:
            home.set_recently_lost(self._id, lost=True)
            if record.health.connection != "lost":
                self._keeper.stale()  # nobody has told yet
        self._arm()

    # --- its record and session ------------------------------------------------------------------

    def _changed(self) -> None:
        """The agent's life took a turn: the record must tell."""
        record = self._keeper.current
        if record is None:
            return
        if self._home.store_is_away:
            self._keeper.stale()
        else:
            self._keeper.write(self._keeper.told(record, self._life), self._life)

    def _end_session(self, code: CloseCode, reason: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end(code, reason)

    def _release(self) -> None:
        self.deadline = INFINITE
        self._keeper.release()
        self._home.set_recently_lost(self._id, lost=False)
        self._life = Liveness(State.POLLING, "healthy", self._home.now())


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
