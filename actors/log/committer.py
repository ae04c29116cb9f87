"""Group commit: sends the waiting changes in batches, and survives store outages.

While a batch is under way, the next one gathers: batches grow with the load, and an idle hub
waits for nothing. The next batch is sent before the results of the last one are reported, and takes
only half of the queue. So the store always has a batch to write while the hub works on another;
otherwise all agents would fall into step, and the hub would idle while the store writes for all of
them at once.

When the store is far away, the next batch does not wait for the answer to the last one: up to
MAX_UNDER_WAY are under way, spread over a round trip. They are applied in the order in which they
were sent, and their results are taken in that order. No two of them change the same agent, since an
agent has one proposal at a time.

When the store does not answer, the outcome of all batches under way is unknown. The committer opens
the store again (`actors.log.reopening`), finds its own changes by their keys in the log that was
read, and sends only the missing ones again. So no change is applied twice and none is lost.

Other hubs write to the same log. Their changes are folded before the changes of this hub that come
after them and, while other hubs are alive, as soon as the store reports them. What is read of them
while batches are under way waits until an answer tells where it belongs.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from actors.log.batch import Barrier, Batch, gather, settle
from actors.log.fold import Fold
from actors.log.follower import Follower
from actors.log.proposal import AnyProposal, Proposal, RenewalProposal, Result
from actors.log.read_ahead import ReadAhead
from actors.log.reopening import StoreOpener, why, why_fresh
from actors.log.round_trip import RoundTrip
from actors.log.sweeper import Sweeper
from actors.ports.clock import Scheduler, Timer
from actors.ports.store import (
    Applied,
    Away,
    Committed,
    Fenced,
    LogEntry,
    Opened,
    Position,
    Store,
)
from homeport_protocol.codec import decode_record
from homeport_protocol.record import AgentRecord

MAX_UNDER_WAY = 16
"""Batches that the store has not answered; beyond it, changes wait."""

PAUSE = 0.02
"""Seconds after which another batch is sent although the last one has not been answered: a store
nearby has answered by then, and its batches stay large."""

_STOPPING = Away("the hub is stopping")


class Committer:
    """The only way from the brain to the log; `name` begins the keys of this hub's changes."""

    def __init__(self, scheduler: Scheduler, store: Store, fold: Fold, name: str) -> None:
        self._scheduler = scheduler
        self._store = store
        self._fold = fold
        self._name = name
        self._sequence = 0
        self._queue: deque[AnyProposal] = deque()
        self._barriers: list[Barrier] = []
        self._under_way: deque[Batch] = deque()
        self._unreported: Batch | None = None
        self._unknown: list[AnyProposal] = []
        self._read_ahead = ReadAhead(store, self._heard, self._fail)
        self._behind = False
        self._advance_scheduled = False
        self._pacer: Timer | None = None
        self._opener = StoreOpener(
            scheduler,
            store,
            lambda: self.position,
            opened=self._opened,
            failed=self._failed,
        )
        self._follower = Follower(
            scheduler, store, lambda: self.revision if self.open else None, self._hinted
        )
        self._closed = False
        self._why_new_log = ""
        self._key = ""
        self.open = False
        self.reason = "not opened yet"
        self.log = ""
        self.revision = 0
        self.commits = 0
        self.round_trip = RoundTrip()
        self._sweeper = Sweeper(scheduler, self.round_trip, self._waiting)

    @property
    def outstanding(self) -> int:
        """How many proposals have no reported result yet."""
        batches = [*self._under_way]
        if self._unreported is not None:
            batches.append(self._unreported)
        sent = sum(len(batch.proposals) for batch in batches)
        return len(self._queue) + len(self._unknown) + sent

    def _waiting(self) -> list[AnyProposal]:
        """The proposals that the store has not answered."""
        under_way = [each for batch in self._under_way for each in batch.proposals]
        return [*self._unknown, *under_way, *self._queue]

    @property
    def position(self) -> Position:
        """How far the log has been folded."""
        return Position(self.log, self.revision, self._key)

    def start(self) -> None:
        """Open the store, and again after every outage, until `close`."""
        self._opener.open()

    def begin_new_log(self, why: str, *, above: int = 0) -> None:
        """Begin a new log now, and say `why`; `Fold.opened` is called once it has begun.

        Its revisions are higher than those of this one, and than `above`.
        """
        self._why_new_log = why
        self._report()
        self.open = False
        self._opener.open(new_log=True, above=above)

    def reopen(self) -> None:
        """Open the store now, since it has another log than the one that was folded."""
        self._report()
        self.open = False
        self._opener.open()

    def close(self) -> None:
        """Send nothing more; waiting proposals end as Away."""
        self._report()
        self._closed = True
        self._opener.close()
        self.open = False
        self._give_up()
        for batch in self._under_way:
            self._barriers += batch.barriers
            batch.barriers = []
        self._break_barriers()

    def new_key(self) -> str:
        """A unique key for a change that gets a log entry."""
        self._sequence += 1
        return f"{self._name}:{self._sequence}"

    def propose(self, proposal: AnyProposal) -> None:
        """Send the proposal with the next batch; its proposer gets the result."""
        if self._closed:
            settle(proposal, _STOPPING)
            return
        self._queue.append(proposal)
        self._advance_soon()
        self._sweeper.arm(proposal.born)

    def catch_up(self, barrier: Barrier) -> None:
        """Fold everything that any hub has made durable until now, then call `barrier`."""
        if self.open:
            self._barriers.append(barrier)
            self._advance_soon()
        else:
            barrier(False)

    def follow(self, *, following: bool) -> None:
        """Set whether other hubs write to the log, so that it must be followed."""
        self._follower.following = following
        self._follower.ask()

    def grown(self, revision: int) -> None:
        """The log has reached `revision`: read it unless that has been folded."""
        if revision > self.revision:
            self._hinted()

    def suspect(self, answer: Fenced | Away) -> None:
        """Another request to the store failed: open the store again."""
        # Another request that is under way finds out by itself.
        if self.open and not self._under_way and not self._read_ahead.reading:
            self._lost(why(answer))

    def answered_in(self, seconds: float) -> None:
        """The store has answered a request, which took so long."""
        if self.round_trip.took(seconds):
            self._fold.slow(self.round_trip.seconds if self.round_trip.slow else None)

    # --- committing --------------------------------------------------------------------------

    def _advance_soon(self) -> None:
        if not self.open or self._advance_scheduled:
            return
        if not self._under_way:
            self._advance_scheduled = True
            self._scheduler.call_soon(self._advance)
        elif self._pacer is None and len(self._under_way) < MAX_UNDER_WAY:
            self._pacer = self._scheduler.call_at(self._next_at, self._paced)

    @property
    def _next_at(self) -> float:
        """When the next batch may be sent although the last one has not been answered."""
        pause = max(PAUSE, self.round_trip.seconds / MAX_UNDER_WAY)
        return self._under_way[-1].sent_at + pause

    def _paced(self) -> None:
        self._pacer = None
        self._advance()  # which sets the pacer anew if a batch has been sent meanwhile

    def _advance(self) -> None:
        """Send the next batch; with nothing to send, read what other hubs wrote."""
        self._advance_scheduled = False
        if not self.open:
            return
        if self._queue or self._barriers:
            self._send()
        # What has not been reported would be read a second time.
        if self._behind and self._unreported is None and self._reads_ahead:
            self._read_on()

    def _send(self) -> bool:
        """Send a batch if it may be sent now; returns whether it reports the last results."""
        under_way = self._under_way
        if under_way:
            now = self._scheduler.now()
            if len(under_way) >= MAX_UNDER_WAY or now < self._next_at:
                self._advance_soon()
                return False
        proposals = gather(self._queue)
        if not proposals and not self._barriers:
            return False
        batch = Batch(proposals, self._barriers, self._scheduler.now())
        self._barriers = []
        under_way.append(batch)
        self.commits += bool(proposals)
        reports = self._unreported is not None
        self._store.commit(
            [each.change for each in proposals],
            partial(self._committed, batch),
            announce=self._follower.following,
            sent=self._report if reports else None,
        )
        return reports

    def _committed(self, batch: Batch, answer: Committed | Fenced | Away) -> None:
        if batch not in self._under_way:
            return  # given up, when one before it failed
        if isinstance(answer, Committed):
            self.answered_in(self._scheduler.now() - batch.sent_at)
        batch.answer = answer
        self._take_answers()

    def _take_answers(self) -> None:
        """Apply the batches that have been answered, in the order in which they were sent."""
        while self._under_way and (answer := self._under_way[0].answer) is not None:
            self._report()
            if not isinstance(answer, Committed):
                self._fail(why(answer))
                return
            if answer.before > self.revision:
                # Other hubs wrote in between. Their changes come first in every fold.
                self._fold_entries(answer.before)
                if answer.before > self.revision:
                    self._read_on()
                    return
            if answer.before < self.revision:
                self._fail("the change log went back")
                return
            self._unreported = self._under_way.popleft()
            if not (self.open and self._queue and self._send()):
                self._report()
        self._go_on()

    def _fail(self, reason: str) -> None:
        """What is under way has an unknown outcome, unless the store said that it was refused."""
        self._report()
        self._give_up_batches()
        self._lost(reason)

    def _give_up_batches(self) -> None:
        for batch in self._under_way:
            if isinstance(batch.answer, Fenced):  # nothing of it was applied
                for proposal in batch.proposals:
                    proposal.sent -= 1
            self._unknown.extend(batch.proposals)
            self._barriers.extend(batch.barriers)
        self._under_way.clear()
        self._read_ahead.forget()

    def _report(self) -> None:
        """Report the results of the last answered batch, unless that has been done."""
        batch, self._unreported = self._unreported, None
        if batch is None:
            return
        assert isinstance(batch.answer, Committed)
        results: list[Result] = []
        for proposal, result in zip(batch.proposals, batch.answer.results, strict=True):
            if not isinstance(result, Applied):
                proposal.sent -= 1
                results.append(result)
            elif isinstance(proposal, RenewalProposal):
                self._fold.renewed(proposal)
                results.append(proposal.record)
            else:
                results.append(self._apply_change(proposal, result))
        # Only now, since a proposer may look at the directory, which must hold the whole batch.
        for proposal, settled in zip(batch.proposals, results, strict=True):
            settle(proposal, settled)
        for barrier in batch.barriers:
            barrier(True)
        self._go_on()

    def _apply_change(self, proposal: Proposal, applied: Applied) -> AgentRecord:
        if proposal.change.kind:
            self.revision = applied.revision
            self._key = proposal.change.key
        return self._fold.applied(proposal, applied)

    def _go_on(self) -> None:
        if not self._under_way and self._unreported is None:
            self._fold_entries(None)
        if self._queue or self._barriers or self._behind:
            self._advance_soon()

    # --- what other hubs wrote ---------------------------------------------------------------

    @property
    def _reads_ahead(self) -> bool:
        """Whether the log is read now: the answer to a commit under way tells what came before it,
        and until then reading only saves a long way."""
        return not self._under_way or self.round_trip.seconds > PAUSE

    def _hinted(self) -> None:
        if self._reads_ahead:
            self._behind = True
            self._advance_soon()

    def _read_on(self) -> None:
        if self.open:
            self._behind &= self._read_ahead.reading
            answer = self._under_way[0].answer if self._under_way else None
            least = answer.before if isinstance(answer, Committed) else 0
            self._read_ahead.read(self.position, least)

    def _heard(self) -> None:
        self._report()
        self._take_answers()

    def _fold_entries(self, upto: int | None) -> None:
        for entry in self._read_ahead.take(upto):
            self._foreign(entry)

    def _foreign(self, entry: LogEntry) -> None:
        if entry.revision > self.revision:
            self.revision = entry.revision
            self._key = entry.key
            self._fold.foreign(entry)

    # --- outages of the store ----------------------------------------------------------------

    def _lost(self, reason: str) -> None:
        was_open, self.open = self.open, False
        self._failed(reason)
        if was_open:
            self._fold.away(reason)
        if self._closed:
            self._give_up()
        else:
            self._opener.open_soon()

    def _failed(self, reason: str) -> None:
        self.reason = reason
        self._break_barriers()

    def _give_up(self) -> None:
        waiting = [*self._unknown, *self._queue]
        self._unknown.clear()
        self._queue.clear()
        for proposal in waiting:
            settle(proposal, _STOPPING)

    def _break_barriers(self) -> None:
        broken, self._barriers = self._barriers, []
        for barrier in broken:
            barrier(False)

    def _opened(self, opened: Opened, entries: list[LogEntry] | None) -> None:
        self._give_up_batches()
        unknown, self._unknown = self._unknown, []
        by_key = {
            each.change.key: each
            for each in unknown
            if isinstance(each, Proposal) and each.change.key
        }
        for entry in entries or ():
            proposal = by_key.pop(entry.key, None)
            if proposal is None:
                self._foreign(entry)
            else:
                unknown.remove(proposal)
                applied = Applied(entry.revision, _epoch_of(entry))
                settle(proposal, self._apply_change(proposal, applied))
        if entries is not None and not opened.fresh:
            for proposal in by_key.values():
                proposal.sent = 0  # it is not in the log, and what arrives late is refused
        self._queue.extendleft(reversed(unknown))
        self._key = opened.key
        self.log = opened.log
        self.revision = opened.revision
        self.reason = ""
        self.open = True
        self._behind = False
        asked, self._why_new_log = self._why_new_log, ""
        self._fold.opened(opened, gap=entries is None, why=asked or why_fresh(opened.why))
        self._follower.ask()
        self._advance()


def _epoch_of(entry: LogEntry) -> int:
    return decode_record(entry.record).epoch
