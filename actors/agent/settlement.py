"""What becomes of a proposal once the store has answered, and of the asks it was made for.

Other hubs may change the record too. A change made from an older record is refused as stale; by
then the newer one has been folded, and what was asked is done again from there.
"""

from __future__ import annotations

from typing import assert_never

from actors.agent.ask_queue import AskQueue
from actors.agent.context import AgentContext
from actors.agent.messages import Ask, Heartbeat, Register, Renewed, Resume, Settled
from actors.agent.monitor import Monitor
from actors.agent.outcomes import NEWER_SESSION, Acknowledged, Outcome, fenced
from actors.agent.ownership import Ownership
from actors.agent.record_writer import RecordWriter
from actors.agent.registering import Registering
from actors.log.proposal import AnyProposal
from actors.ports.store import Away, Change, Refusal
from actors.rules.liveness import Liveness
from actors.timing import CHANGE_TIMEOUT
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import AgentRecord


class Settlement:
    """Settles the proposal of one agent's actor, and the asks that wait for it."""

    __slots__ = ("_asks", "_context", "_monitor", "_ownership", "_registering", "_writer")

    def __init__(
        self,
        context: AgentContext,
        asks: AskQueue,
        writer: RecordWriter,
        monitor: Monitor,
        *,
        ownership: Ownership,
        registering: Registering,
    ) -> None:
        self._context = context
        self._asks = asks
        self._writer = writer
        self._monitor = monitor
        self._ownership = ownership
        self._registering = registering

    def renewed(self, news: Renewed) -> None:
        """The renewal under way has ended."""
        writer, asks, result = self._writer, self._asks, news.result
        writer.proposal = None
        if isinstance(result, AgentRecord):
            writer.applied(result, logged=False)
            by_heartbeat = bool(asks.under_way) and isinstance(asks.under_way[0], Heartbeat)
            if not by_heartbeat and not writer.dirty:
                self._monitor.liveness.set_reported(result.health.reported)
            self._acknowledge(result)
        else:
            self._refused(news.proposal, result)

    def settled(self, news: Settled) -> None:
        """The change under way has ended."""
        self._writer.proposal = None
        if isinstance(news.result, AgentRecord):
            self._applied(news.proposal.change, news.result)
        else:
            self._refused(news.proposal, news.result)

    def sweep(self) -> None:
        """Answer the asks that have waited too long."""
        late = self._context.now() - CHANGE_TIMEOUT
        unwanted = self._asks.expire(late, self._too_late, away=self._context.store_is_away)
        if unwanted:
            self._writer.withdraw()

    # --- applied ---------------------------------------------------------------------------------

    def _applied(self, change: Change, record: AgentRecord) -> None:
        writer = self._writer
        if change.operation == "remove":
            self._removed()
            return
        before = writer.committed
        writer.applied(record, logged=bool(change.kind))
        if not writer.dirty:  # else it has reported something newer
            self._monitor.liveness.set_reported(record.health.reported)
        if change.kind:
            self._context.set_recently_lost(record.id, lost=record.health.connection == "lost")
        match self._asks.under_way:
            case [Register() | Resume() as ask]:
                self._registering.begin_lease(ask, record)
            case [] if change.operation in ("register", "resume"):
                self._registering.give_up_lease(record, newborn=before is None)
            case [] if writer.withdrawn and before is not None:
                writer.take_back(before, self._monitor.liveness)
            case _:
                self._acknowledge(record)

    def _acknowledge(self, record: AgentRecord) -> None:
        """What was asked is durable in this record, whose `last_seen` says when it came."""
        self._asks.answer(Acknowledged(record.revision, True, record.last_seen))

    def _removed(self) -> None:
        monitor = self._monitor
        monitor.liveness.ended()
        by_session = any(ask.session is not None for ask in self._asks.under_way)
        now = self._context.timestamp()
        self._asks.answer(Acknowledged(self._writer.revision, True, now))
        if by_session:
            monitor.session = None  # it closes once it has answered its peer
        else:
            monitor.end_session(CloseCode.DONE, "unregistered")
        self._ownership.release()

    # --- refused ---------------------------------------------------------------------------------

    def _refused(self, proposal: AnyProposal, result: Refusal | Away) -> None:
        writer = self._writer
        if isinstance(result, Away):
            writer.not_made()
            self._asks.answer_each(self._too_late)
            return
        match result:
            case "missing" | "fenced" if writer.committed is None:
                self._asks.again()  # another hub ended its lease
            case "missing":
                writer.write_again(proposal, self._monitor.liveness)
            case "stale":
                self._stale(proposal)
            case "fenced":
                self._fenced(proposal)
            case "poisoned":
                words = f"the store holds something else than a record for {writer.agent_id}"
                self._asks.answer(ProtocolError("conflict", words))
                writer.give_up()
            case _:
                assert_never(result)

    def _stale(self, proposal: AnyProposal) -> None:
        """Another hub was faster: do what was asked again, from what it made of the record."""
        writer, monitor, context = self._writer, self._monitor, self._context
        committed = writer.committed
        writer.refused()
        self._asks.again()
        if committed is None:
            return
        if monitor.session is None:
            monitor.liveness = Liveness.carried_over(
                committed,
                monitor.liveness,
                context.now(),
                wall=context.wall(),
                owned=context.owns(committed),
                timing=context.timing,
            )
        if committed.revision > proposal.change.revision:
            writer.mark_dirty()
            monitor.arm()
        else:
            monitor.read_stored()  # what overtook it is not in the log

    def _fenced(self, proposal: AnyProposal) -> None:
        """Another hub holds a newer session: the agent is not the one of this hub's session."""
        committed, epoch = self._writer.committed, proposal.change.epoch
        if committed is not None and committed.epoch > epoch:
            self._writer.refused()  # that session has been folded already
            if all(ask.session is None for ask in self._asks.under_way):
                self._asks.again()  # callers over HTTP have no session that could be fenced off
            else:
                self._asks.answer(fenced())
            return
        self._asks.answer(fenced())
        self._monitor.end_session(CloseCode.FENCED, NEWER_SESSION)
        self._ownership.release()
        self._context.superseded(self._writer.agent_id, epoch)

    def _too_late(self, ask: Ask) -> Outcome:
        """The answer to an ask that the store kept waiting; a heartbeat counts all the same."""
        writer = self._writer
        if not isinstance(ask, Heartbeat) or writer.committed is None:
            return ProtocolError("unavailable", "Redis did not answer in time; try again")
        if ask.session is None or ask.session is self._monitor.session:
            self._monitor.take_report(ask)
            writer.keep_unwritten(ask.changes)
        return Acknowledged(writer.revision, False, self._context.timestamp())
