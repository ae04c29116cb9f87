"""The actor of one agent: owner of its record, and the only one who has it changed.

Rules, beside the table of `actors.rules.states`:

- One change is under way at a time; what comes meanwhile waits its turn. So every change is made
  from a committed record, and answers keep the order of the asks.
- Heartbeats that wait and say nothing new are superseded by the one before them: one renewal
  answers them all.
- A sign of life counts when it arrives, not when its turn comes.
- While the store is away, heartbeats are heard and acknowledged as not durable, nobody is judged,
  and what is owed is written when the store returns.
- Other hubs may change the record as well. A change made from an older one is refused as stale;
  by then the newer one has been folded, and what was asked is done again from there.
- An actor lives for as long as there is something to do: a session or an ask here, or the charge of
  judging its agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import UNSET

from actors.agent.ask_queue import AskQueue
from actors.agent.context import AgentContext
from actors.agent.messages import (
    Alive,
    Ask,
    DeadlineReached,
    Drain,
    GrantFreshTimeout,
    Heartbeat,
    HubsChanged,
    Looked,
    Message,
    Overtaken,
    Queued,
    Register,
    RemovalHeld,
    RenewedElsewhere,
    Resume,
    Settled,
    SocketLost,
    StoreReturned,
    Sweep,
    Unregister,
    Update,
)
from actors.agent.monitor import Monitor
from actors.agent.outcomes import (
    NEWER_SESSION,
    Acknowledged,
    Lease,
    Outcome,
    bad_token,
    fenced,
    gone,
)
from actors.log.proposal import Proposal
from actors.ports.clock import INFINITE
from actors.ports.store import Applied, Away, Operation
from actors.rules.liveness import Liveness
from actors.rules.records import amend, new_record
from actors.rules.states import State, StateChange, transit
from actors.rules.tokens import check_token, issue_token
from actors.timing import CHANGE_TIMEOUT
from homeport_protocol.bounds import Kind
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentRecord


class AgentActor(Monitor):
    """One agent that this hub is in charge of, or is asked for."""

    __slots__ = ("_turns",)

    def __init__(self, home: AgentContext, agent_id: str) -> None:
        super().__init__(home, agent_id)
        self._turns = AskQueue()

    # --- the mailbox ---------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Handle one message; called by the runtime only."""
        match message:  # the frequent ones first: patterns are tried in order
            case Heartbeat():
                self._asked(message)
            case Settled():
                self._settled(message)
            case Update() | Register() | Resume() | Unregister():
                self._asked(message)
            case Alive():
                self._alive(message)
            case Overtaken():
                self._overtaken(message)
            case RenewedElsewhere():
                self._renewed_elsewhere(message)
            case Looked():
                self._looked(message.stored)
            case HubsChanged():
                pass  # `_rest` ends an actor that is in charge no more, or has it judge from now on
            case RemovalHeld():
                if self._life.state is State.UNREACHABLE:
                    self._keeper.stale()  # listed for longer, it must be stored for longer
            case SocketLost() | DeadlineReached() | Drain():
                if isinstance(message, SocketLost) and message.session is self._session:
                    self._home.set_recently_lost(self._id, lost=True)
                self._turns.wait(message)
                self._proceed()
            case Sweep():
                self._sweep()
            case StoreReturned() | GrantFreshTimeout():
                self._absolve()
            case _:
                assert_never(message)
        if self._keeper.proposal is None:
            self._rest()

    def restarted(self, message: Message) -> None:
        """Back to the last committed record; what was asked is answered `internal`."""
        keeper = self._keeper
        if isinstance(message, Settled) and message.proposal is keeper.proposal:
            keeper.proposal = None
            if isinstance(message.result, Applied):
                keeper.committed = message.proposal.record
        self._turns.fail([message])
        record = keeper.committed
        if record is not None:
            home, now = self._home, self._home.now()
            life = Liveness.recovered(record, now)
            life.resume_until = now + home.timing.resume_window
            life.lease_over_at = now + home.timing.lease_ttl
            self._life = life
            self._arm()
        self._rest()

    def isolated(self, messages: Sequence[Message]) -> None:
        """It keeps failing: let go of its session and leave the rest to the supervisor."""
        self._turns.fail(messages)
        self._end_session(CloseCode.INTERNAL, "internal error")
        self.deadline = INFINITE
        self._home.failed(self._id)

    # --- taking turns --------------------------------------------------------------------------

    def _asked(self, ask: Ask) -> None:
        life, turns, keeper = self._life, self._turns, self._keeper
        if ask.session is self._session or ask.session is None:
            life.sign_at = life.beat_at = ask.at
        if keeper.proposal is None and not self._looking and not turns:
            self._begin(ask)
        elif (
            not turns.under_way
            and not turns
            and isinstance(ask, Heartbeat)
            and keeper.committed is not None
            and self._home.store_is_away
        ):
            self._begin(ask)  # nobody's answer is due before, and the store is not needed for this
        else:
            turns.wait(ask)

    def _proceed(self) -> None:
        while self._turns and self._keeper.proposal is None and not self._looking:
            self._begin(self._turns.next())
            self._turns.done()

    def _rest(self) -> None:
        """Nothing is left to do now: write what is owed, or end."""
        keeper, home = self._keeper, self._home
        if keeper.proposal is not None or self._looking or self._turns:
            return
        record = keeper.committed
        if record is None or (self._session is None and not home.owns(record)):
            if not self._me.waiting:  # else somebody may be registering the same identity anew
                self.deadline = INFINITE
                home.gone(self._id)
            return
        if self._session is None and not self._judged:  # the charge came during an ask
            self._take_charge(record, home.timing.resume_window)
            keeper.stale()
        if keeper.owes and not home.store_is_away:
            keeper.put_back(self._life)

    def _change(
        self,
        operation: Operation,
        kind: Kind,
        record: AgentRecord,
        ask: Ask,
        hub: str | None = None,
    ) -> None:
        self._turns.under_way = [ask]
        self._keeper.commit(operation, kind, record, self._life, hub=hub, born=ask.at)

    def _begin(self, message: Queued) -> None:
        match message:
            case Heartbeat():
                self._beat(message)
            case Update():
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
                    self._life.lost(message.at, self._home.timing)
                    self._lost()
            case Drain():
                if self._session is not None:
                    self._session = None
                    self._life.lost_until(INFINITE, "draining")
                    self._lost()
            case DeadlineReached():
                self._pass_time()
            case _:
                assert_never(message)

    # --- asks ----------------------------------------------------------------------------------

    def _register(self, ask: Register) -> None:
        home = self._home
        state = State.POLLING if ask.session is None else State.CONNECTED
        life = Liveness(state, ask.spec.status, home.now())
        now = home.timestamp()
        try:
            field = "metadata" if ask.session is None else "agent.metadata"
            record = new_record(self._id, ask.spec, life.verdict(), now, field)
        except ProtocolError as error:
            ask.reply(error)
            return
        hub = "" if ask.session is None else home.hub_id
        self._change("register", "registered", record, ask, hub)

    def _resume(self, ask: Resume) -> None:
        record = self._keeper.current
        if record is None:
            ask.reply(gone())
            return
        verdict = check_token(self._home.secret, self._id, record.registered_at, ask.token)
        if verdict != "valid":
            ask.reply(bad_token(superseded=verdict == "superseded"))
            return
        returning = self._life.state is State.UNREACHABLE
        reported = "healthy" if returning else self._life.reported
        life = Liveness(State.CONNECTED, reported, self._home.now())
        if ask.changes.status is not UNSET:
            life.reported = ask.changes.status
        try:
            record = amend(record, ask.changes, "agent.metadata")
        except ProtocolError as error:
            ask.reply(error)
            return
        record = self._keeper.seen(record, life)
        self._change("resume", "resumed", record, ask, self._home.hub_id)

    def _beat(self, ask: Heartbeat) -> None:
        keeper, changes = self._keeper, ask.changes
        if (
            changes is NO_CHANGES
            and ask.session is self._session
            and keeper.only_seen(self._life, over_http=ask.session is None)
            and not self._home.store_is_away
        ):
            self._turns.under_way = self._turns.superseded_by(ask)
            keeper.renew(self._life, ask.at)
            return
        record = keeper.current
        if record is None:
            ask.reply(gone())
            return
        if ask.session is not None and ask.session is not self._session:
            ask.reply(self._not_held())
            return
        try:
            record = amend(record, changes)
        except ProtocolError as error:
            ask.reply(error)
            return
        self._hear(ask)
        if self._home.store_is_away:
            keeper.owe(changes)
            self._spare()
            ask.reply(self._acknowledged(durable=False))
            return
        record = keeper.seen(record, self._life)
        self._turns.under_way = self._turns.superseded_by(ask)
        keeper.write(record, self._life, ask.at)

    def _modify(self, ask: Update) -> None:
        record = self._keeper.current
        if record is None or ask.session is not self._session:
            ask.reply(gone() if record is None else self._not_held())
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
        record = self._keeper.seen(record, life)
        life.reported = before  # until it is durable: the change may be withdrawn
        self._turns.under_way = [ask]
        self._keeper.write(record, life, ask.at)

    def _unregister(self, ask: Unregister) -> None:
        record = self._keeper.current
        if record is None:
            ask.reply(self._acknowledged(durable=True))
        elif ask.session is not None and ask.session is not self._session:
            ask.reply(self._not_held())
        else:
            self._change("remove", "unregistered", record, ask)

    def _not_held(self) -> ProtocolError:
        """Why a session that thinks it holds the agent does not."""
        if self._life.cause == "draining":
            return ProtocolError("unavailable", "the hub is stopping: resume at the next one")
        return fenced()

    # --- outcomes --------------------------------------------------------------------------------

    def _settled(self, news: Settled) -> None:
        proposal, result, keeper = news.proposal, news.result, self._keeper
        if proposal is not keeper.proposal:
            return  # of the time before a restart
        keeper.proposal = None
        match result:
            case Applied():
                self._applied(proposal)
            case Away():
                keeper.withdrawn()
                self._turns.answer(self._too_late)
            case "missing" | "fenced" if keeper.committed is None:
                self._turns.again()  # another hub ended its lease
            case "missing":
                keeper.write_again(proposal, self._life)
            case "stale":
                self._again(proposal)
            case "fenced":
                self._fenced_off(proposal)
            case "poisoned":
                words = f"the store holds something else than a record for {self._id}"
                self._turns.answer(lambda _: ProtocolError("conflict", words))
                keeper.revert()
            case _:
                assert_never(result)
        self._proceed()

    def _applied(self, proposal: Proposal) -> None:
        change, record, keeper = proposal.change, proposal.record, self._keeper
        if change.operation == "remove":
            self._removed()
            return
        before = keeper.committed
        keeper.applied(proposal)
        under_way = self._turns.under_way
        if change.operation == "renew" and under_way and isinstance(under_way[0], Heartbeat):
            self._answer_heard(record)
            return
        if not keeper.owes:  # else it has reported something newer
            self._life.reported = record.health.reported
        if change.kind:
            self._home.set_recently_lost(self._id, lost=record.health.connection == "lost")
        match under_way:
            case [Register() | Resume() as ask]:
                self._held(ask, record)
            case [] if change.operation in ("register", "resume"):
                self._given_up(record, newborn=before is None)
            case [] if proposal.withdrawn and before is not None:
                keeper.take_back(before, self._life)
            case _:
                self._answer_heard(record)

    def _answer_heard(self, record: AgentRecord) -> None:
        """What was asked is durable in this record, which says when it was heard."""
        acknowledged = Acknowledged(record.revision, True, record.last_seen)
        self._turns.answer(lambda _: acknowledged)

    def _held(self, ask: Register | Resume, record: AgentRecord) -> None:
        now = self._home.now()
        older, self._session = self._session, ask.session
        if older is not None and older is not ask.session:
            self._home.count_fenced()
            older.end(CloseCode.FENCED, NEWER_SESSION)
        # A life of its own begins, whose facts are those of the new session.
        state = State.POLLING
        if ask.session is not None:
            state = transit(self._life.state, StateChange.ATTACHED)
        self._life = Liveness(state, record.health.reported, now)
        self._arm()
        lease = Lease(
            agent_id=self._id,
            session_token=issue_token(self._home.secret, self._id, record.registered_at),
            epoch=record.epoch,
            resumed=isinstance(ask, Resume),
            registered_at=record.registered_at,
            log=self._home.log,
            revision=record.revision,
        )
        self._turns.answer(lambda _: lease)

    def _given_up(self, record: AgentRecord, *, newborn: bool) -> None:
        """It became durable after its asker had been told that it did not."""
        self._end_session(CloseCode.FENCED, NEWER_SESSION)
        self._life = Liveness(State.CONNECTED, record.health.reported, self._home.now())
        if newborn and not self._turns:
            self._keeper.commit("remove", "unregistered", record, self._life)
        else:
            self._life.lost(self._home.now(), self._home.timing)
            self._lost()

    def _removed(self) -> None:
        self._life.ended()
        by_session = any(ask.session is not None for ask in self._turns.under_way)
        acknowledged = self._acknowledged(durable=True)
        self._turns.answer(lambda _: acknowledged)
        if by_session:
            self._session = None  # it closes when it has told its peer
        else:
            self._end_session(CloseCode.DONE, "unregistered")
        self._release()

    def _fenced_off(self, proposal: Proposal) -> None:
        """Another hub holds a newer session: this one's agent it is no more."""
        committed = self._keeper.committed
        if committed is not None and committed.epoch > proposal.change.epoch:
            self._keeper.refused()  # that has been folded already
            if all(ask.session is None for ask in self._turns.under_way):
                self._turns.again()  # a caller over HTTP is of no session: nothing fences it
            else:
                self._turns.answer(lambda _: fenced())
            return
        self._turns.answer(lambda _: fenced())
        self._end_session(CloseCode.FENCED, NEWER_SESSION)
        self._release()
        self._home.superseded(self._id, proposal.change.epoch)

    def _again(self, proposal: Proposal) -> None:
        """Another hub was faster: do what was asked again, from what it made of the record."""
        keeper, committed = self._keeper, self._keeper.committed
        keeper.refused()
        self._turns.again()
        if committed is None:
            return
        if self._session is None:
            home, before = self._home, self._life
            life = self._life = Liveness.recovered(committed, home.now())
            life.sign_at = before.sign_at
            life.resume_until = before.resume_until
            life.lease_over_at = before.lease_over_at
            if life.state is State.CONNECTED and home.owns(committed):
                life.lost_until(before.resume_until)
            elif life.state is State.UNREACHABLE and life.lease_over_at == INFINITE:
                life.lease_over_at = home.now() + max(0.0, home.lease_left(committed))
        if committed.revision > proposal.change.revision:
            keeper.stale()
            self._arm()
        else:
            self._look()  # what overtook it is not in the log

    def _sweep(self) -> None:
        late = self._home.now() - CHANGE_TIMEOUT
        unwanted = self._turns.expire(late, self._too_late, away=self._home.store_is_away)
        if unwanted and self._keeper.proposal is not None:
            self._keeper.proposal.withdrawn = True

    def _too_late(self, ask: Ask) -> Outcome:
        """The answer to an ask that the store kept waiting; a heartbeat was heard all the same."""
        if not isinstance(ask, Heartbeat) or self._keeper.committed is None:
            return ProtocolError("unavailable", "Redis did not answer in time; try again")
        if ask.session is None or ask.session is self._session:
            self._hear(ask)
            self._keeper.owe(ask.changes)
            self._spare()
        return self._acknowledged(durable=False)

    def _hear(self, ask: Heartbeat) -> None:
        status = None if ask.changes.status is UNSET else ask.changes.status
        before = self._life.state
        self._life.heard(status, over_http=ask.session is None)
        if self._life.state is not before:
            self._arm()

    def _spare(self) -> None:
        """It lives: should its removal not have been sent yet, it need not be."""
        proposal = self._keeper.proposal
        if proposal is not None and proposal.change.kind == "expired":
            proposal.withdrawn = True

    def _acknowledged(self, *, durable: bool) -> Acknowledged:
        return Acknowledged(self._keeper.revision, durable, self._home.timestamp())
