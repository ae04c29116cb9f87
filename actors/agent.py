"""The actor of one agent: owner of its record, and the only one who has it changed.

Rules, beside the table of `actors.lifecycle`:

- One change is under way at a time; what comes meanwhile waits its turn. So every change is made
  from a committed record, and answers keep the order of the asks.
- Heartbeats that wait and say nothing new are superseded by the one before them: one renewal
  answers them all.
- A sign of life counts when it arrives, not when its turn comes.
- While the store is away, heartbeats are heard and acknowledged as not durable, nobody is judged,
  and what is owed is written when the store returns.
"""

from __future__ import annotations

from collections import deque

from msgspec import UNSET, structs

from actors.committer import Proposal
from actors.deadlines import INFINITE
from actors.home import Home, Me
from actors.life import Life
from actors.lifecycle import Signal, State
from actors.messages import (
    Absolve,
    Alive,
    Ask,
    Beat,
    DeadlineReached,
    Drain,
    Holder,
    Message,
    Modify,
    Register,
    Resume,
    Settled,
    SocketLost,
    StoreReturned,
    Sweep,
    Unregister,
)
from actors.outcomes import Acknowledged, Lease, Outcome
from actors.ports import Applied, Away, Change, Operation
from actors.records import amend, head_of, judged, kind_of, new_record
from actors.timing import CHANGE_TIMEOUT
from actors.tokens import check_token, issue_token
from protocol.bounds import Kind, Reason
from protocol.errors import CloseCode, ProtocolError
from protocol.record import NO_CHANGES, AgentRecord

MAX_WAITING = 1024
"""Asks that may wait for their turn; one more is answered `rate_limited`."""


class AgentActor:
    """One agent that this hub owns."""

    __slots__ = (
        "_asks",
        "_floor",
        "_home",
        "_id",
        "_life",
        "_logged_in",
        "_me",
        "_proposal",
        "_record",
        "_renewed_at",
        "_sent",
        "_session",
        "_waiting",
        "_wanted",
        "deadline",
        "scheduled",
    )

    def __init__(self, home: Home, agent_id: str, epoch_floor: int) -> None:
        self._home = home
        self._id = agent_id
        self._floor = epoch_floor
        self._life = Life(State.POLLING, "healthy", home.now())
        # The last committed record; None until the first registration is durable.
        self._record: AgentRecord | None = None
        # The record as it should be: the committed one but for what is under way or owed.
        self._wanted: AgentRecord | None = None
        self._logged_in = ""  # the log that tells of the record
        self._session: Holder | None = None
        self._proposal: Proposal | None = None
        self._sent: AgentRecord | None = None  # what the change under way was made from
        self._asks: list[Ask] = []  # what the change under way answers
        self._waiting: deque[Message] = deque()
        self._renewed_at = home.now()
        self._me: Me
        self.deadline = INFINITE
        self.scheduled = INFINITE

    def bind(self, me: Me) -> None:
        """Where outcomes of proposed changes are to be sent."""
        self._me = me

    def recover(self, record: AgentRecord, log: str, lease_left: float) -> None:
        """Take over a stored record whose websocket, if it had one, is gone.

        `log` is the one that tells of it, or "" when none does; `lease_left` the seconds until an
        unreachable agent's lease is over. The agent has a fresh `heartbeat_timeout` to come back.
        """
        home, now = self._home, self._home.now()
        self._record = self._wanted = record
        self._logged_in = log
        life = self._life = Life(_state_of(record), record.health.reported, now)
        life.over_http = record.health.connection == "http"
        life.cause = record.health.reason
        grace = now + home.timing.heartbeat_timeout
        life.lease_over_at = max(grace, now + lease_left)
        life.resume_until = grace
        if record.health.connection == "websocket":
            life.state = State.CONNECTED
            self._lose(grace, "ok")
        elif log != home.log:
            self._put_back()
        self._arm()

    # --- the mailbox ---------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Handle one message; called by the runtime only."""
        match message:
            case Beat() | Modify() | Register() | Resume() | Unregister():
                self._asked(message)
            case Settled():
                self._settled(message)
            case Alive():
                self._alive(message)
            case SocketLost() | DeadlineReached() | Drain():
                self._waiting.append(message)
                self._proceed()
            case Sweep():
                self._sweep()
            case StoreReturned():
                self._absolve()
                if self._proposal is None and self._record is not None:
                    self._put_back()
            case Absolve():
                self._absolve()

    def restarted(self, message: Message) -> None:
        """Back to the last committed record; what was asked is answered `internal`."""
        if isinstance(message, Settled) and message.proposal is self._proposal:
            self._proposal = None
            if isinstance(message.result, Applied):
                self._record = message.proposal.record
        self._fail_all(message)
        self._wanted = self._record
        if self._record is None and self._proposal is None:
            self._home.gone(self._id, self._floor)
            return
        if self._record is not None:
            state = State.CONNECTED if self._session is not None else _state_of(self._record)
            life = Life(state, self._record.health.reported, self._home.now())
            life.over_http = self._life.over_http
            life.cause = self._record.health.reason
            life.resume_until = self._home.now() + self._home.timing.resume_window
            life.lease_over_at = self._home.now() + self._home.timing.lease_ttl
            self._life = life
        self._arm()

    def isolated(self) -> None:
        """It keeps failing: let go of its session and leave the rest to the supervisor."""
        self._fail_all(None)
        self._end_session(CloseCode.INTERNAL, "internal error")
        self.deadline = INFINITE
        self._home.failed(self._id, self._record)

    def deadline_reached(self) -> None:
        """Called by `Deadlines`, which does not follow every heartbeat: is it really due?"""
        actual = self._life.deadline(self._home.timing)
        if actual > self._home.now():
            self._home.deadlines.set(self, actual)
        elif not self._home.was_absent():
            self._me.deadline_reached()

    # --- taking turns --------------------------------------------------------------------------

    def _asked(self, ask: Ask) -> None:
        now = ask.at
        life = self._life
        if ask.session is self._session or ask.session is None:
            life.sign_at = life.beat_at = now
        if self._proposal is None and not self._waiting:
            self._begin(ask)
            self._rest()
        elif self._home.store_is_away and isinstance(ask, Beat) and self._nobody_waits():
            self._begin(ask)
        elif len(self._waiting) >= MAX_WAITING:
            ask.reply(ProtocolError("rate_limited", "too many requests wait for this agent"))
        else:
            self._waiting.append(ask)

    def _nobody_waits(self) -> bool:
        # Behind a change that hangs on the store, unanswered asks must stay in order.
        return not self._asks and not self._waiting and self._record is not None

    def _proceed(self) -> None:
        while self._waiting and self._proposal is None:
            self._begin(self._waiting.popleft())
        self._rest()

    def _rest(self) -> None:
        """Nothing is left to do now: write what is owed, or end."""
        if self._proposal is not None or self._waiting:
            return
        if self._record is None:
            self._home.gone(self._id, self._floor)
        elif not self._home.store_is_away and (
            self._wanted is not self._record or self._logged_in != self._home.log
        ):
            self._put_back()

    def _begin(self, message: Message) -> None:
        match message:
            case Beat():
                self._beat(message)
            case Modify():
                self._modify(message)
            case Register():
                self._register(message)
            case Resume():
                self._resume(message)
            case Unregister():
                self._unregister(message)
            case SocketLost():
                if message.session is self._session:
                    self._session = None
                    self._lose(self._home.now() + self._home.timing.resume_window, "ok")
            case Drain():
                if self._session is not None:
                    self._session = None
                    self._lose(INFINITE, "draining")
            case DeadlineReached():
                self._pass_time()

    # --- asks ----------------------------------------------------------------------------------

    def _register(self, ask: Register) -> None:
        home = self._home
        state = State.POLLING if ask.session is None else State.CONNECTED
        life = Life(state, ask.spec.status, home.now())
        now = home.timestamp()
        try:
            record = new_record(self._id, ask.spec, life.verdict(), now)
        except ProtocolError as error:
            ask.reply(error)
            return
        hub = "" if ask.session is None else home.hub_id
        self._commit("register", "registered", record, [ask], hub)

    def _resume(self, ask: Resume) -> None:
        record = self._wanted
        if record is None:
            ask.reply(_gone())
            return
        verdict = check_token(self._home.secret, self._id, record.registered_at, ask.token)
        if verdict != "valid":
            ask.reply(_bad_token(verdict == "superseded"))
            return
        returning = self._life.state is State.UNREACHABLE
        reported = "healthy" if returning else self._life.reported
        life = Life(State.CONNECTED, reported, self._home.now())
        if ask.changes.status is not UNSET:
            life.reported = ask.changes.status
        try:
            record = amend(record, ask.changes, "agent.metadata")
        except ProtocolError as error:
            ask.reply(error)
            return
        self._commit("resume", "resumed", self._seen(record, life), [ask], self._home.hub_id)

    def _beat(self, ask: Beat) -> None:
        record = self._wanted
        if record is None:
            ask.reply(_gone())
            return
        if ask.session is not None and ask.session is not self._session:
            ask.reply(self._not_held())
            return
        changes = ask.changes
        try:
            record = amend(record, changes)
        except ProtocolError as error:
            ask.reply(error)
            return
        status = None if changes.status is UNSET else changes.status
        self._life.heard(status, over_http=ask.session is None)
        record = self._seen(record, self._life)
        if self._home.store_is_away:
            self._wanted = record
            ask.reply(self._acknowledged(durable=False))
            return
        asks: list[Ask] = [ask]
        while self._waiting and _says_nothing_new(self._waiting[0], ask):
            asks.append(self._waiting.popleft())  # type: ignore[arg-type]
        self._write(record, asks)

    def _modify(self, ask: Modify) -> None:
        record = self._wanted
        if record is None or ask.session is not self._session:
            ask.reply(_gone() if record is None else self._not_held())
            return
        try:
            record = amend(record, ask.changes)
        except ProtocolError as error:
            ask.reply(error)
            return
        life = self._life
        before = life.reported
        status = None if ask.changes.status is UNSET else ask.changes.status
        life.heard(status, over_http=False)
        record = self._seen(record, life)
        life.reported = before  # until it is durable: the change may be withdrawn
        self._write(record, [ask])

    def _unregister(self, ask: Unregister) -> None:
        if self._wanted is None:
            ask.reply(self._acknowledged(durable=True))
        elif ask.session is not None and ask.session is not self._session:
            ask.reply(self._not_held())
        else:
            self._commit("remove", "unregistered", self._wanted, [ask])

    def _not_held(self) -> ProtocolError:
        """Why a session that thinks it holds the agent does not."""
        if self._life.cause == "draining":
            return ProtocolError("unavailable", "the hub is stopping: resume at the next one")
        return _fenced()

    # --- what time and connections do ------------------------------------------------------------

    def _alive(self, news: Alive) -> None:
        if news.session is not self._session or self._record is None:
            return
        home, life = self._home, self._life
        life.sign_at = home.now()
        if news.spoke:
            life.beat_at = life.sign_at
        returned = news.spoke and life.overdue
        if returned:
            life.overdue = False
        due = life.sign_at - self._renewed_at > home.timing.lease_ttl / 3
        if (due or returned) and self._proposal is None and not home.store_is_away:
            self._write(self._seen(self._wanted or self._record, life), [])
        elif returned:
            self._wanted = self._seen(self._wanted or self._record, life)

    def _lose(self, resume_until: float, cause: Reason) -> None:
        self._life.lost(resume_until, cause)
        self._home.doubt(self._id, doubtful=True)
        self._changed()
        self._arm()

    def _pass_time(self) -> None:
        home = self._home
        if home.store_is_away or self._record is None:
            return  # nobody is judged for the hub's own outage; the return of the store arms anew
        signal = self._life.pass_time(home.now(), home.timing)
        match signal:
            case None:
                pass
            case Signal.LEASE_OVER:
                self._commit("remove", "expired", self._wanted or self._record, [])
                return
            case Signal.SILENT:
                self._changed()
                self._end_session(CloseCode.LEASE_LOST, "no sign of life in time")
            case _:
                self._changed()
        self._arm()

    def _absolve(self) -> None:
        self._life.absolve(self._home.now(), self._home.timing)
        self._arm()

    def _arm(self) -> None:
        self._home.deadlines.set(self, self._life.deadline(self._home.timing))

    # --- changing the record ---------------------------------------------------------------------

    def _changed(self) -> None:
        """The agent's life took a turn: the record must tell."""
        record = self._wanted
        if record is None or self._record is None:
            return
        life, now = self._life, self._home.timestamp()
        record = judged(record, self._record, life.verdict(), life.reported, now)
        if self._home.store_is_away:
            self._wanted = record
        else:
            self._write(record, [])

    def _seen(self, record: AgentRecord, life: Life) -> AgentRecord:
        now = self._home.timestamp()
        record = judged(record, self._record, life.verdict(), life.reported, now)
        return structs.replace(record, last_seen=now)

    def _write(self, record: AgentRecord, asks: list[Ask]) -> None:
        """Commit a record made from the wanted one, with the event that tells of it, if any."""
        kind = self._kind(record)
        self._commit("write" if kind else "renew", kind, record, asks)

    def _put_back(self) -> None:
        """Write the record whatever has become of the stored one, and log it if need be."""
        assert self._wanted is not None
        self._commit("restore", self._kind(self._wanted), self._wanted, [])

    def _kind(self, record: AgentRecord) -> Kind | None:
        committed = self._record
        if committed is None or self._logged_in != self._home.log:
            return "registered"
        if (committed.health.connection, record.health.connection) == ("websocket", "lost") and (
            committed.status == record.status
        ):
            return "lost"
        return kind_of(committed, record)

    def _commit(
        self,
        operation: Operation,
        kind: Kind | None,
        record: AgentRecord,
        asks: list[Ask],
        hub: str | None = None,
    ) -> None:
        home, life, now = self._home, self._life, self._home.now()
        committed = self._record
        ttl = home.timing.lease_ttl
        if life.state is State.LOST and life.resume_until < INFINITE:
            ttl = max(ttl, life.resume_until - now)
        if hub is None:
            hub = "" if life.over_http else home.hub_id
        change = Change(
            operation=operation,
            kind=kind or "",
            agent_id=self._id,
            epoch=self._floor if committed is None else committed.epoch,
            head=head_of(record),
            hub=hub,
            ttl=ttl,
            revision=0 if committed is None else committed.revision,
        )
        self._wanted = self._sent = record
        self._asks = asks
        self._proposal = Proposal(change, record, self._me, now)
        home.propose(self._proposal)

    # --- outcomes --------------------------------------------------------------------------------

    def _settled(self, news: Settled) -> None:
        proposal, result = news.proposal, news.result
        if proposal is not self._proposal:
            return  # of the time before a restart
        asks, self._asks = self._asks, []
        self._proposal = None
        if isinstance(result, Applied):
            self._applied(proposal, asks)
        elif isinstance(result, Away):
            self._withdrawn(proposal, asks)
        elif result == "missing":
            self._missing(proposal, asks)
        elif result == "fenced":
            self._fenced_off(asks)
        else:
            self._answer(
                asks,
                ProtocolError(
                    "conflict", f"the store holds something else than a record for {self._id}"
                ),
            )
            self._wanted = self._record
            self._logged_in = self._home.log  # trying again would end the same way
        if self._life.state is not State.GONE:
            self._proceed()

    def _applied(self, proposal: Proposal, asks: list[Ask]) -> None:
        change, record = proposal.change, proposal.record
        if change.operation == "remove":
            self._removed(asks)
            return
        if self._wanted is self._sent:
            self._wanted = record
            self._life.reported = record.health.reported
        elif self._wanted is not None:  # a heartbeat was heard while the store was away
            self._wanted = structs.replace(
                self._wanted, epoch=record.epoch, hub=record.hub, revision=record.revision
            )
        newborn = self._record is None
        self._record = record
        self._renewed_at = self._home.now()
        if change.kind:
            self._logged_in = self._home.log
            self._home.doubt(self._id, doubtful=record.health.connection == "lost")
        match asks:
            case [Register() | Resume() as ask]:
                self._held(ask, record)
            case [] if change.operation in ("register", "resume"):
                self._given_up(newborn=newborn)
            case _:
                self._answer(asks, self._acknowledged(durable=True))

    def _held(self, ask: Register | Resume, record: AgentRecord) -> None:
        now = self._home.now()
        older, self._session = self._session, ask.session
        if older is not None and older is not ask.session:
            self._home.count_fenced()
            older.end(CloseCode.FENCED, "a newer session of this agent was registered")
        reported = record.health.reported
        self._life = Life(State.POLLING if ask.session is None else State.CONNECTED, reported, now)
        self._arm()
        ask.reply(
            Lease(
                agent_id=self._id,
                session_token=issue_token(self._home.secret, self._id, record.registered_at),
                epoch=record.epoch,
                resumed=isinstance(ask, Resume),
                registered_at=record.registered_at,
                log=self._home.log,
                revision=record.revision,
            )
        )

    def _given_up(self, *, newborn: bool) -> None:
        """It became durable after its asker had been told that it did not."""
        self._end_session(CloseCode.FENCED, "a newer session of this agent was registered")
        assert self._record is not None
        self._life = Life(State.CONNECTED, self._record.health.reported, self._home.now())
        if newborn and not self._waiting:
            self._commit("remove", "unregistered", self._record, [])
        else:
            self._lose(self._home.now() + self._home.timing.resume_window, "ok")

    def _removed(self, asks: list[Ask]) -> None:
        if self._life.state is not State.GONE:
            self._life.left()
        self._answer(asks, self._acknowledged(durable=True))
        if not (asks and asks[0].session is not None):
            self._end_session(CloseCode.DONE, "unregistered")
        if self._record is not None:
            self._floor = self._record.epoch
        self._session = self._record = self._wanted = None
        self.deadline = INFINITE
        self._home.doubt(self._id, doubtful=False)
        if self._waiting:  # somebody registers the same identity anew
            self._life = Life(State.POLLING, "healthy", self._home.now())
        else:
            self._home.gone(self._id, self._floor)

    def _withdrawn(self, proposal: Proposal, asks: list[Ask]) -> None:
        for ask in asks:
            ask.reply(self._too_late(ask))
        if self._wanted is self._sent and proposal.change.operation != "renew":
            self._wanted = self._record

    def _missing(self, proposal: Proposal, asks: list[Ask]) -> None:
        """The entry ran out or was deleted; its owner is here and puts it back."""
        change = proposal.change
        operation: Operation = "register" if change.operation == "resume" else "restore"
        kind = change.kind or self._kind(proposal.record)
        self._commit(operation, kind, proposal.record, asks, change.hub)

    def _fenced_off(self, asks: list[Ask]) -> None:
        """Another hub holds a newer session: this one's agent it is no more."""
        self._answer(asks, _fenced())
        self._fail_all(None)
        self._end_session(CloseCode.FENCED, "a newer session of this agent was registered")
        self._life.state = State.GONE
        self.deadline = INFINITE
        if self._record is not None:
            self._floor = self._record.epoch
        self._home.gone(self._id, self._floor)

    def _sweep(self) -> None:
        late = self._home.now() - CHANGE_TIMEOUT
        proposal = self._proposal
        if proposal is not None and self._asks:
            kept = [ask for ask in self._asks if ask.at > late]
            for ask in self._asks:
                if ask.at <= late:
                    ask.reply(self._too_late(ask))
            heard = isinstance(self._asks[0], Beat)
            self._asks = kept
            proposal.withdrawn = not kept and not heard
        waiting = self._waiting
        self._waiting = deque()
        for message in waiting:
            if isinstance(message, Ask) and message.at <= late:
                message.reply(self._too_late(message))
            else:
                self._waiting.append(message)

    def _too_late(self, ask: Ask) -> Outcome:
        if isinstance(ask, Beat) and self._record is not None:
            return self._acknowledged(durable=False)
        return ProtocolError("unavailable", "Redis cannot be reached; nothing was changed")

    def _answer(self, asks: list[Ask], outcome: Outcome) -> None:
        for ask in asks:
            ask.reply(outcome)

    def _fail_all(self, message: Message | None) -> None:
        error = ProtocolError("internal", "the hub failed on this request; it has been logged")
        failing = [message] if isinstance(message, Ask) else []
        pending = [each for each in self._waiting if isinstance(each, Ask)]
        asks, self._asks = self._asks, []
        self._waiting = deque(each for each in self._waiting if not isinstance(each, Ask))
        for ask in {id(ask): ask for ask in [*failing, *asks, *pending]}.values():
            ask.reply(error)

    def _end_session(self, code: CloseCode, reason: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end(code, reason)

    def _acknowledged(self, *, durable: bool) -> Acknowledged:
        revision = 0 if self._record is None else self._record.revision
        return Acknowledged(revision, durable, self._home.timestamp())


def _state_of(record: AgentRecord) -> State:
    if record.status == "unreachable" and record.health.reason != "self_reported":
        return State.UNREACHABLE
    return State.POLLING if record.health.connection == "http" else State.LOST


def _says_nothing_new(message: Message, beat: Beat) -> bool:
    return (
        isinstance(message, Beat)
        and message.session is beat.session
        and message.changes is NO_CHANGES
    )


def _gone() -> ProtocolError:
    return ProtocolError("not_found", "no such agent: its lease is over; register anew")


def _fenced() -> ProtocolError:
    return ProtocolError("fenced", "a newer session of this agent was registered")


def _bad_token(superseded: bool) -> ProtocolError:
    if superseded:
        return _fenced()
    return ProtocolError(
        "unauthorized", "session_token: not of this agent's registration", field="session_token"
    )
