"""The actor of one agent: owner of its record, and the only one who has it changed.

Rules, beside those of `actors.rules`:

- One change is under way at a time; what comes meanwhile waits its turn. So every change is made
  from a committed record, and answers keep the order of the asks.
- A heartbeat that says nothing new is a renewal, whatever it says; a `load` is a reading and
  nothing new. Those that wait are superseded by the one before them: one renewal answers them
  all, with the newest load.
- A message counts as activity when it arrives, not when its turn comes.
- While the store is away, heartbeats count and are acknowledged as not durable, no silence is
  acted on, and what is unwritten is written when the store returns.
- An actor lives for as long as there is something to do: a session or an ask here, or an agent
  that this hub owns.

What holds its state are `AskQueue` (the order), `RecordWriter` (the record and its proposal) and
`Monitor` (liveness, session and deadline). What it does beyond taking turns stands in modules of
their own: `registering`, `ownership` (what other hubs do), `foreign` (what programs do that are no
hubs), `settlement` (what the store answers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import UNSET, structs

from actors.agent import foreign, ownership, registering, settlement
from actors.agent.ask_queue import AskQueue
from actors.agent.context import AgentContext
from actors.agent.fencing import not_held, refusal_over_http, speaks_for
from actors.agent.messages import (
    ActivitySeen,
    Ask,
    DeadlineReached,
    Drain,
    FoundForeign,
    GrantFreshTimeout,
    Heartbeat,
    HttpCaller,
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
    StoredChanged,
    StoredDeleted,
    StoredRead,
    StoreReturned,
    Sweep,
    Unregister,
    Update,
)
from actors.agent.monitor import Monitor
from actors.agent.outcomes import Acknowledged, gone, no_such_agent
from actors.agent.record_writer import RecordWriter
from actors.agent.ref import AgentRef
from actors.ports.clock import INFINITE
from actors.ports.store import Away, Stored
from actors.rules.liveness import Liveness
from actors.rules.records import amend
from actors.rules.states import State
from actors.runtime.dispatch import Runtime
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import AgentRecord


class AgentActor:
    """One agent that this hub owns, or is asked about. `ref` is what others hold of it."""

    __slots__ = ("asks", "context", "monitor", "ref", "writer")

    def __init__(self, context: AgentContext, runtime: Runtime, agent_id: str) -> None:
        self.ref = AgentRef(runtime.spawn(self, f"agent {agent_id}"), agent_id)
        self.context = context
        self.asks = AskQueue()
        self.writer = RecordWriter(context, self.ref, agent_id)
        self.monitor = Monitor(context, self.ref, self.writer)

    def adopt(self, record: AgentRecord, log: str) -> None:
        """Know the stored record, for an ask; `log` is the log that has it, "" if none does."""
        ownership.adopt(self, record, log)

    def take_over(self, record: AgentRecord, log: str, grace: float) -> None:
        """Own the agent from now on; without a session, it has `grace` seconds to come back."""
        ownership.take_over(self, record, log, grace)

    # --- the mailbox -----------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Handle one message; called by the runtime only."""
        match message:  # the frequent ones first: patterns are tried in order
            case Heartbeat():
                self._asked(message)
            case Renewed():
                if message.proposal is self.writer.proposal:  # else it is from before a restart
                    settlement.renewed(self, message)
                    self._proceed()
            case Settled():
                if message.proposal is self.writer.proposal:
                    settlement.settled(self, message)
                    self._proceed()
            case Update() | Register() | Resume() | Unregister():
                self._asked(message)
            case ActivitySeen():
                self.monitor.activity_seen(message)
            case Overtaken():
                ownership.overtaken(self, message)
            case RenewedElsewhere():
                ownership.renewed_elsewhere(self, message)
            case StoredRead():
                self._stored_read(message.stored)
            case StoredChanged():
                foreign.stored_changed(self)
            case StoredDeleted():
                foreign.stored_deleted(self, message)
            case FoundForeign():
                foreign.found(self, message)
            case HubsChanged():
                pass  # `_rest` ends an actor whose agent is another hub's, or watches the agent
            case RemovalHeld():
                if self.monitor.liveness.state is State.UNREACHABLE:
                    self.writer.mark_dirty()  # listed for longer, it must be stored for longer
            case SocketLost() | DeadlineReached() | Drain():
                if isinstance(message, SocketLost) and message.session is self.monitor.session:
                    self.context.set_recently_lost(self.writer.agent_id, lost=True)
                self.asks.wait(message)
                self._proceed()
            case Sweep():
                settlement.sweep(self)
            case StoreReturned() | GrantFreshTimeout():
                self.monitor.grant_fresh_timeout()
            case _:
                assert_never(message)
        if self.writer.proposal is None:
            self._rest()

    def restarted(self, message: Message) -> None:
        """Back to the last committed record; what was asked is answered `internal`."""
        writer, context = self.writer, self.context
        if isinstance(message, Settled | Renewed) and message.proposal is writer.proposal:
            writer.proposal = None
            if isinstance(message.result, AgentRecord):
                writer.committed = message.result
            else:
                writer.not_made()
        self.asks.fail([message])
        if writer.committed is not None:
            self.monitor.liveness = Liveness.restarted(
                writer.committed, context.now(), writer.timing
            )
            self.monitor.arm()
        self._rest()

    def isolated(self, messages: Sequence[Message]) -> None:
        """It keeps failing: let go of its session and leave the rest to the supervisor."""
        self.asks.fail(messages)
        self.monitor.end_session(CloseCode.INTERNAL, "internal error")
        self.monitor.deadline = INFINITE
        self.context.failed(self.writer.agent_id)

    def _stored_read(self, stored: Stored | Away | None) -> None:
        self.monitor.reading_stored = False
        if isinstance(stored, Away):
            self.monitor.read_later()
        else:
            take_in = foreign.take_in if foreign.wrote(self, stored) else ownership.take_in
            self.monitor.stored_read(take_in(self, stored))
        self._proceed()

    # --- taking turns ----------------------------------------------------------------------------

    def _asked(self, ask: Ask) -> None:
        monitor, asks, writer = self.monitor, self.asks, self.writer
        session = ask.session  # compared here: a call takes longer, and nearly all have one
        if speaks_for(self, ask) if session is None else session is monitor.session:
            monitor.liveness.message_came(ask.at)
        if writer.proposal is None and not monitor.reading_stored and not asks.waiting:
            self._begin(ask)
        elif (
            not asks.under_way
            and not asks.waiting
            and isinstance(ask, Heartbeat)
            and writer.committed is not None
            and self.context.store_is_away
        ):
            self._begin(ask)  # no other answer is due before, and this one needs no store
        else:
            asks.wait(ask)

    def _proceed(self) -> None:
        asks, writer, monitor = self.asks, self.writer, self.monitor
        while asks.waiting and writer.proposal is None and not monitor.reading_stored:
            self._begin(asks.next())
            asks.done()

    def _rest(self) -> None:
        """Nothing is left to do now: write what is unwritten, or end."""
        writer, context, monitor = self.writer, self.context, self.monitor
        if writer.proposal is not None or monitor.reading_stored or self.asks.waiting:
            return
        record = writer.committed
        if record is None or (monitor.session is None and not context.owns(record)):
            if not self.ref.waiting:  # else somebody may be registering the same identity anew
                monitor.deadline = INFINITE
                context.gone(writer.agent_id)
            return
        if monitor.session is None and not monitor.enabled:
            ownership.taken_over_during_ask(self, record)
        if writer.dirty and not context.store_is_away:
            writer.put_back(monitor.liveness)

    def _begin(self, message: Queued) -> None:
        match message:
            case Heartbeat():
                self._heartbeat(message)
            case Update():
                self._update(message)
            case Register():
                registering.register(self, message)
            case Resume():
                registering.resume(self, message)
            case Unregister():
                self._unregister(message)
            case SocketLost():
                self.monitor.socket_lost(message)
            case Drain():
                self.monitor.drain()
            case DeadlineReached():
                self.monitor.pass_time()
            case _:
                assert_never(message)

    # --- asks of a session, or over HTTP ---------------------------------------------------------

    def _heartbeat(self, ask: Heartbeat) -> None:
        writer, monitor, asks = self.writer, self.monitor, self.asks
        changes = ask.changes
        if ask.caller is not None and self._refuses(ask, ask.caller):
            return
        record = writer.committed
        if (
            record is not None
            and ask.session is monitor.session
            and writer.only_renews(changes, monitor.liveness, over_http=ask.session is None)
            and not self.context.store_is_away
        ):
            load = asks.superseded_by(ask, record)
            writer.renew(load, monitor.liveness, ask.at)
            return
        record = writer.current
        if record is None:
            ask.reply(gone())
            return
        if ask.session is not None and ask.session is not monitor.session:
            ask.reply(not_held(self))
            return
        try:
            amended = amend(record, changes)
            if amended is not record:
                self.context.check_growth(record, amended)
        except ProtocolError as error:
            ask.reply(error)
            return
        monitor.take_report(ask)
        if self.context.store_is_away:
            writer.keep_unwritten(changes)
            ask.reply(Acknowledged(writer.revision, False, self.context.timestamp()))
            return
        record = writer.refreshed(amended, monitor.liveness)
        load = asks.superseded_by(ask, record)
        if load is not UNSET:
            record = structs.replace(record, load=load)
        writer.write(record, monitor.liveness, ask.at)

    def _update(self, ask: Update) -> None:
        writer, monitor = self.writer, self.monitor
        record = writer.current
        if record is None or ask.session is not monitor.session:
            ask.reply(gone() if record is None else not_held(self))
            return
        try:
            amended = amend(record, ask.changes)
            self.context.check_growth(record, amended)
        except ProtocolError as error:
            ask.reply(error)
            return
        liveness = monitor.liveness
        before = liveness.reported
        status = None if ask.changes.status is UNSET else ask.changes.status
        liveness.report(status, over_http=False)
        record = writer.refreshed(amended, liveness)
        liveness.set_reported(before)  # until it is durable: the change may not be made
        self.asks.under_way = [ask]
        writer.write(record, liveness, ask.at)

    def _unregister(self, ask: Unregister) -> None:
        writer, monitor = self.writer, self.monitor
        record = writer.current
        if record is None:
            over = Acknowledged(writer.revision, True, self.context.timestamp())
            ask.reply(no_such_agent() if ask.by_operator else over)
        elif ask.session is not None and ask.session is not monitor.session:
            ask.reply(not_held(self))
        elif ask.caller is None or not self._refuses(ask, ask.caller):
            self.asks.under_way = [ask]
            writer.commit("remove", "unregistered", record, monitor.liveness, born=ask.at)

    def _refuses(self, ask: Heartbeat | Unregister, caller: HttpCaller) -> bool:
        """Refuse a caller over HTTP that may not speak for the agent; whether it was refused."""
        record = self.writer.current
        refusal = None if record is None else refusal_over_http(self, record, caller)
        if refusal is not None:
            ask.reply(refusal)
        return refusal is not None
