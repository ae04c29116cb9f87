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
    ActivitySeen,
    Ask,
    DeadlineReached,
    Drain,
    GrantFreshTimeout,
    Heartbeat,
    HubsChanged,
    Message,
    Overtaken,
    Queued,
    Register,
    RemovalHeld,
    Renewed,
    RenewedElsewhere,
    Resume,
    Settled,
    SocketLost,
    StoredRead,
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
from actors.log.proposal import AnyProposal, Proposal
from actors.ports.clock import INFINITE
from actors.ports.store import Away, Change, Operation, Refusal
from actors.rules.liveness import Liveness
from actors.rules.records import amend, new_record
from actors.rules.states import State
from actors.rules.tokens import check_token, issue_token
from actors.timing import CHANGE_TIMEOUT
from homeport_protocol.bounds import Kind
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentRecord


class AgentActor(Monitor):
    """One agent that this hub is in charge of, or is asked for."""

    __slots__ = ("_asks",)

    def __init__(self, context: AgentContext, agent_id: str) -> None:
        super().__init__(context, agent_id)
        self._asks = AskQueue()

    # --- the mailbox ---------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Handle one message; called by the runtime only."""
        match message:  # the frequent ones first: patterns are tried in order
            case Heartbeat():
                self._asked(message)
            case Renewed():
                self._renewed(message)
            case Settled():
                self._settled(message)
            case Update() | Register() | Resume() | Unregister():
                self._asked(message)
            case ActivitySeen():
                self._active(message)
            case Overtaken():
                self._overtaken(message)
            case RenewedElsewhere():
                self._renewed_elsewhere(message)
            case StoredRead():
                self._stored_read(message.stored)
            case HubsChanged():
                pass  # `_rest` ends an actor that is in charge no more, or has it judge from now on
            case RemovalHeld():
                if self._liveness.state is State.UNREACHABLE:
                    self._writer.mark_dirty()  # listed for longer, it must be stored for longer
            case SocketLost() | DeadlineReached() | Drain():
                if isinstance(message, SocketLost) and message.session is self._session:
                    self._context.set_recently_lost(self._id, lost=True)
                self._asks.wait(message)
                self._proceed()
            case Sweep():
                self._sweep()
            case StoreReturned() | GrantFreshTimeout():
                self._grant_fresh_timeout()
            case _:
                assert_never(message)
        if self._writer.proposal is None:
            self._rest()

    def restarted(self, message: Message) -> None:
        """Back to the last committed record; what was asked is answered `internal`."""
        writer = self._writer
        if isinstance(message, Settled | Renewed) and message.proposal is writer.proposal:
            writer.proposal = None
            if isinstance(message.result, AgentRecord):
                writer.committed = message.result
        self._asks.fail([message])
        record = writer.committed
        if record is not None:
            context = self._context
            self._liveness = Liveness.restarted(record, context.now(), context.timing)
            self._arm()
        self._rest()

    def isolated(self, messages: Sequence[Message]) -> None:
        """It keeps failing: let go of its session and leave the rest to the supervisor."""
        self._asks.fail(messages)
        self._end_session(CloseCode.INTERNAL, "internal error")
        self.deadline = INFINITE
        self._context.failed(self._id)

    # --- taking turns --------------------------------------------------------------------------

    def _asked(self, ask: Ask) -> None:
        liveness, asks, writer = self._liveness, self._asks, self._writer
        if ask.session is self._session or ask.session is None:
            liveness.message_came(ask.at)
        if writer.proposal is None and not self._reading_stored and not asks:
            self._begin(ask)
        elif (
            not asks.under_way
            and not asks
            and isinstance(ask, Heartbeat)
            and writer.committed is not None
            and self._context.store_is_away
        ):
            self._begin(ask)  # nobody's answer is due before, and the store is not needed for this
        else:
            asks.wait(ask)

    def _proceed(self) -> None:
        while self._asks and self._writer.proposal is None and not self._reading_stored:
            self._begin(self._asks.next())
            self._asks.done()

    def _rest(self) -> None:
        """Nothing is left to do now: write what is owed, or end."""
        writer, context = self._writer, self._context
        if writer.proposal is not None or self._reading_stored or self._asks:
            return
        record = writer.committed
        if record is None or (self._session is None and not context.owns(record)):
            if (
                not self._self_ref.waiting
            ):  # else somebody may be registering the same identity anew
                self.deadline = INFINITE
                context.gone(self._id)
            return
        if self._session is None and not self._monitoring:  # the charge came during an ask
            self._take_charge(record, context.timing.resume_window)
            writer.mark_dirty()
        if writer.dirty and not context.store_is_away:
            writer.put_back(self._liveness)

    def _change(
        self,
        operation: Operation,
        kind: Kind,
        record: AgentRecord,
        ask: Ask,
        hub: str | None = None,
    ) -> None:
        self._asks.under_way = [ask]
        self._writer.commit(operation, kind, record, self._liveness, hub=hub, born=ask.at)

    def _begin(self, message: Queued) -> None:
        match message:
            case Heartbeat():
                self._heartbeat(message)
            case Update():
                self._update(message)
            case Register():
                self._register(message)
            case Resume():
                self._resume(message)
            case Unregister():
                self._unregister(message)
            case SocketLost():
                if message.session is self._session:
                    self._session = None
                    self._liveness.lost(message.at, self._context.timing)
                    self._lost()
            case Drain():
                if self._session is not None:
                    self._session = None
                    self._liveness.drained()
                    self._lost()
            case DeadlineReached():
                self._pass_time()
            case _:
                assert_never(message)

    # --- asks ----------------------------------------------------------------------------------

    def _register(self, ask: Register) -> None:
        context = self._context
        state = State.POLLING if ask.session is None else State.CONNECTED
        liveness = Liveness(state, ask.spec.status, context.now())
        now = context.timestamp()
        try:
            field = "metadata" if ask.session is None else "agent.metadata"
            record = new_record(self._id, ask.spec, liveness.derived_status(), now, field)
        except ProtocolError as error:
            ask.reply(error)
            return
        hub = "" if ask.session is None else context.hub_id
        self._change("register", "registered", record, ask, hub)

    def _resume(self, ask: Resume) -> None:
        record = self._writer.current
        if record is None:
            ask.reply(gone())
            return
        verdict = check_token(self._context.secret, self._id, record.registered_at, ask.token)
        if verdict != "valid":
            ask.reply(bad_token(superseded=verdict == "superseded"))
            return
        status = None if ask.changes.status is UNSET else ask.changes.status
        liveness = self._liveness.resumed(status, self._context.now())
        try:
            record = amend(record, ask.changes, "agent.metadata")
        except ProtocolError as error:
            ask.reply(error)
            return
        record = self._writer.refreshed(record, liveness)
        self._change("resume", "resumed", record, ask, self._context.hub_id)

    def _heartbeat(self, ask: Heartbeat) -> None:
        writer, changes = self._writer, ask.changes
        if (
            changes is NO_CHANGES
            and ask.session is self._session
            and writer.only_renews(self._liveness, over_http=ask.session is None)
            and not self._context.store_is_away
        ):
            self._asks.under_way = self._asks.superseded_by(ask)
            writer.renew(self._liveness, ask.at)
            return
        record = writer.current
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
        if self._context.store_is_away:
            writer.keep_unwritten(changes)
            self._spare()
            ask.reply(self._acknowledged(durable=False))
            return
        record = writer.refreshed(record, self._liveness)
        self._asks.under_way = self._asks.superseded_by(ask)
        writer.write(record, self._liveness, ask.at)

    def _update(self, ask: Update) -> None:
        record = self._writer.current
        if record is None or ask.session is not self._session:
            ask.reply(gone() if record is None else self._not_held())
            return
        try:
            record = amend(record, ask.changes)
        except ProtocolError as error:
            ask.reply(error)
            return
        liveness = self._liveness
        before = liveness.reported
        status = None if ask.changes.status is UNSET else ask.changes.status
        liveness.report(status, over_http=False)
        record = self._writer.refreshed(record, liveness)
        liveness.set_reported(before)  # until it is durable: the change may be withdrawn
        self._asks.under_way = [ask]
        self._writer.write(record, liveness, ask.at)

    def _unregister(self, ask: Unregister) -> None:
        record = self._writer.current
        if record is None:
            ask.reply(self._acknowledged(durable=True))
        elif ask.session is not None and ask.session is not self._session:
            ask.reply(self._not_held())
        else:
            self._change("remove", "unregistered", record, ask)

    def _not_held(self) -> ProtocolError:
        """Why a session that thinks it holds the agent does not."""
        if self._liveness.cause == "draining":
            return ProtocolError("unavailable", "the hub is stopping: resume at the next one")
        return fenced()

    # --- outcomes --------------------------------------------------------------------------------

    def _settled(self, news: Settled) -> None:
        proposal, result, writer = news.proposal, news.result, self._writer
        if proposal is not writer.proposal:
            return  # of the time before a restart
        writer.proposal = None
        if isinstance(result, AgentRecord):
            self._applied(proposal.change, result)
        else:
            self._refused(proposal, result)
        self._proceed()

    def _renewed(self, news: Renewed) -> None:
        proposal, result, writer = news.proposal, news.result, self._writer
        if proposal is not writer.proposal:
            return  # of the time before a restart
        writer.proposal = None
        if isinstance(result, AgentRecord):
            writer.applied(result, logged=False)
            under_way = self._asks.under_way
            if not (writer.dirty or (under_way and isinstance(under_way[0], Heartbeat))):
                self._liveness.set_reported(result.health.reported)
            self._answer_heard(result)
        else:
            self._refused(proposal, result)
        self._proceed()

    def _applied(self, change: Change, record: AgentRecord) -> None:
        writer = self._writer
        if change.operation == "remove":
            self._removed()
            return
        before = writer.committed
        writer.applied(record, logged=bool(change.kind))
        if not writer.dirty:  # else it has reported something newer
            self._liveness.set_reported(record.health.reported)
        if change.kind:
            self._context.set_recently_lost(self._id, lost=record.health.connection == "lost")
        match self._asks.under_way:
            case [Register() | Resume() as ask]:
                self._held(ask, record)
            case [] if change.operation in ("register", "resume"):
                self._given_up(record, newborn=before is None)
            case [] if writer.withdrawn and before is not None:
                writer.take_back(before, self._liveness)
            case _:
                self._answer_heard(record)

    def _refused(self, proposal: AnyProposal, result: Refusal | Away) -> None:
        writer = self._writer
        if isinstance(result, Away):
            writer.not_made()
            self._asks.answer(self._too_late)
            return
        match result:
            case "missing" | "fenced" if writer.committed is None:
                self._asks.again()  # another hub ended its lease
            case "missing":
                writer.write_again(proposal, self._liveness)
            case "stale":
                self._again(proposal)
            case "fenced":
                self._fenced_off(proposal)
            case "poisoned":
                words = f"the store holds something else than a record for {self._id}"
                self._asks.answer(lambda _: ProtocolError("conflict", words))
                writer.give_up()
            case _:
                assert_never(result)

    def _answer_heard(self, record: AgentRecord) -> None:
        """What was asked is durable in this record, which says when it was heard."""
        acknowledged = Acknowledged(record.revision, True, record.last_seen)
        self._asks.answer(lambda _: acknowledged)

    def _held(self, ask: Register | Resume, record: AgentRecord) -> None:
        older, self._session = self._session, ask.session
        if older is not None and older is not ask.session:
            self._context.count_fenced()
            older.end(CloseCode.FENCED, NEWER_SESSION)
        self._liveness = self._liveness.attached(
            record.health.reported, self._context.now(), over_http=ask.session is None
        )
        self._arm()
        lease = Lease(
            agent_id=self._id,
            session_token=issue_token(self._context.secret, self._id, record.registered_at),
            epoch=record.epoch,
            resumed=isinstance(ask, Resume),
            registered_at=record.registered_at,
            log=self._context.log,
            revision=record.revision,
        )
        self._asks.answer(lambda _: lease)

    def _given_up(self, record: AgentRecord, *, newborn: bool) -> None:
        """It became durable after its asker had been told that it did not."""
        self._end_session(CloseCode.FENCED, NEWER_SESSION)
        self._liveness = Liveness(State.CONNECTED, record.health.reported, self._context.now())
        if newborn and not self._asks:
            self._writer.commit("remove", "unregistered", record, self._liveness)
        else:
            self._liveness.lost(self._context.now(), self._context.timing)
            self._lost()

    def _removed(self) -> None:
        self._liveness.ended()
        by_session = any(ask.session is not None for ask in self._asks.under_way)
        acknowledged = self._acknowledged(durable=True)
        self._asks.answer(lambda _: acknowledged)
        if by_session:
            self._session = None  # it closes when it has told its peer
        else:
            self._end_session(CloseCode.DONE, "unregistered")
        self._release()

    def _fenced_off(self, proposal: AnyProposal) -> None:
        """Another hub holds a newer session: this one's agent it is no more."""
        committed = self._writer.committed
        if committed is not None and committed.epoch > proposal.change.epoch:
            self._writer.refused()  # that has been folded already
            if all(ask.session is None for ask in self._asks.under_way):
                self._asks.again()  # a caller over HTTP is of no session: nothing fences it
            else:
                self._asks.answer(lambda _: fenced())
            return
        self._asks.answer(lambda _: fenced())
        self._end_session(CloseCode.FENCED, NEWER_SESSION)
        self._release()
        self._context.superseded(self._id, proposal.change.epoch)

    def _again(self, proposal: AnyProposal) -> None:
        """Another hub was faster: do what was asked again, from what it made of the record."""
        writer, committed = self._writer, self._writer.committed
        writer.refused()
        self._asks.again()
        if committed is None:
            return
        if self._session is None:
            context = self._context
            self._liveness = Liveness.carried_over(
                committed,
                self._liveness,
                context.now(),
                wall=context.wall(),
                owned=context.owns(committed),
                timing=context.timing,
            )
        if committed.revision > proposal.change.revision:
            writer.mark_dirty()
            self._arm()
        else:
            self._read_stored()  # what overtook it is not in the log

    def _sweep(self) -> None:
        late = self._context.now() - CHANGE_TIMEOUT
        unwanted = self._asks.expire(late, self._too_late, away=self._context.store_is_away)
        if unwanted:
            self._writer.withdraw()

    def _too_late(self, ask: Ask) -> Outcome:
        """The answer to an ask that the store kept waiting; a heartbeat was heard all the same."""
        if not isinstance(ask, Heartbeat) or self._writer.committed is None:
            return ProtocolError("unavailable", "Redis did not answer in time; try again")
        if ask.session is None or ask.session is self._session:
            self._hear(ask)
            self._writer.keep_unwritten(ask.changes)
            self._spare()
        return self._acknowledged(durable=False)

    def _hear(self, ask: Heartbeat) -> None:
        status = None if ask.changes.status is UNSET else ask.changes.status
        before = self._liveness.state
        self._liveness.report(status, over_http=ask.session is None)
        if self._liveness.state is not before:
            self._arm()

    def _spare(self) -> None:
        """It lives: should its removal not have been sent yet, it need not be."""
        proposal = self._writer.proposal
        if isinstance(proposal, Proposal) and proposal.change.kind == "expired":
            self._writer.withdraw()

    def _acknowledged(self, *, durable: bool) -> Acknowledged:
        return Acknowledged(self._writer.revision, durable, self._context.timestamp())
