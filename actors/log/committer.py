"""Group commit: sends the waiting changes in batches, one at a time, and survives store outages.

While one batch is under way, the next one gathers: batches grow with the load, and an idle hub
waits for nothing. The next batch is sent before the results of the last one are reported, and takes
only half of the queue. So the store always has a batch to write while the hub works on another;
otherwise all agents would fall into step, and the hub would idle while the store writes for all of
them at once.

When the store does not answer, the outcome of the batch is unknown. The committer opens the store
again (`actors.log.reopening`), finds its own changes by their keys in the log that was read, and
sends only the missing ones again. So no change is applied twice and none is lost.

Other hubs write to the same log. Their changes are folded before the changes of this hub that come
after them and, while other hubs are alive, as soon as the store reports them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from actors.log.fold import Fold
from actors.log.follower import Follower
from actors.log.proposal import AnyProposal, Proposal, RenewalProposal, Result
from actors.log.reopening import StoreOpener, complete, why
from actors.ports.clock import Scheduler, Timer
from actors.ports.store import (
    Applied,
    Away,
    Committed,
    Fenced,
    LogEntry,
    Opened,
    Position,
    Refusal,
    Store,
)
from actors.timing import CHANGE_TIMEOUT
from homeport_protocol.codec import decode_record
from homeport_protocol.record import AgentRecord

MAX_BATCH = 512
MAX_BATCH_BYTES = 1024 * 1024

FEW = 16
"""Changes that are not worth two batches."""

_GAP = "entries of the log are missing"

SWEEP_INTERVAL = 0.1

_STOPPING = Away("the hub is stopping")

Barrier = Callable[[bool], None]
"""Called with True once the fold holds everything that was durable when the barrier was set, or
with False when the store could not be asked."""


class _Batch(Struct, frozen=True):
    """A batch with the store's answer, and the barriers that wait until it is folded."""

    proposals: list[AnyProposal]
    results: list[Applied | Refusal]
    barriers: list[Barrier]


class Committer:
    """The only way from the brain to the log; `name` begins the keys of this hub's changes."""

    def __init__(self, scheduler: Scheduler, store: Store, fold: Fold, name: str) -> None:
        self._scheduler = scheduler
        self._store = store
        self._fold = fold
        self._name = name
        self._sequence = 0
        self._queue: deque[AnyProposal] = deque()
        self._under_way: list[AnyProposal] = []
        self._barriers: list[Barrier] = []
        self._barriers_under_way: list[Barrier] = []
        self._unreported: _Batch | None = None
        self._busy = False
        self._behind = False
        self._unknown: list[AnyProposal] = []
        self._advance_scheduled = False
        self._sweeper: Timer | None = None
        self._sweep_at = 0.0
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
        self._key = ""
        self.open = False
        self.reason = "not opened yet"
        self.log = ""
        self.revision = 0
        self.commits = 0

    @property
    def outstanding(self) -> int:
        """How many proposals have no reported result yet."""
        unreported = len(self._unreported.proposals) if self._unreported is not None else 0
        return len(self._queue) + len(self._under_way) + len(self._unknown) + unreported

    @property
    def position(self) -> Position:
        """How far the log has been folded."""
        return Position(self.log, self.revision, self._key)

    def start(self) -> None:
        """Open the store, and again after every outage, until `close`."""
        self._opener.open()

    def begin_new_log(self, *, above: int = 0) -> None:
        """Begin a new log now; `Fold.opened` is called once it has begun.

        Its revisions are higher than those of this one, and than `above`.
        """
        self._report()
        self.open = False
        self._opener.open(new_log=True, above=above)

    def close(self) -> None:
        """Send nothing more; waiting proposals end as Away."""
        self._report()
        self._closed = True
        self._opener.close()
        self.open = False
        self._give_up()
        self._break_barriers()

    def new_key(self) -> str:
        """A unique key for a change that gets a log entry."""
        self._sequence += 1
        return f"{self._name}:{self._sequence}"

    def propose(self, proposal: AnyProposal) -> None:
        """Send the proposal with the next batch; its proposer gets the result."""
        if self._closed:
            _settle(proposal, _STOPPING)
            return
        self._queue.append(proposal)
        self._advance_soon()
        self._arm_sweeper(proposal.born + CHANGE_TIMEOUT)

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
        if revision > self.revision and not self._busy:
            self._behind = True
            self._advance_soon()

    def suspect(self, answer: Fenced | Away) -> None:
        """Another request to the store failed: open the store again."""
        if self.open and not self._busy:  # otherwise the commit under way finds out
            self._lost(why(answer))

    # --- committing --------------------------------------------------------------------------

    def _advance_soon(self) -> None:
        if self.open and not self._busy and not self._advance_scheduled:
            self._advance_scheduled = True
            self._scheduler.call_soon(self._advance)

    def _advance(self) -> None:
        """Send the next batch; with nothing to send, read what other hubs wrote."""
        self._advance_scheduled = False
        if not self.open or self._busy:
            return
        batch = self._gather()
        if batch or self._barriers:
            self._barriers_under_way, self._barriers = self._barriers, []
            self.commits += bool(batch)
            self._busy = True
            self._store.commit(
                [each.change for each in batch],
                self._committed,
                announce=self._follower.following,
                sent=None if self._unreported is None else self._report,
            )
        elif self._behind and self._unreported is None:  # else it would be read a second time
            self._behind = False
            self._busy = True
            self._store.read_log(self.position, None, self._heard)

    def _gather(self) -> list[AnyProposal]:
        queue, batch, size = self._queue, self._under_way, 0
        limit = min(MAX_BATCH, max(FEW, (len(queue) + 1) // 2))
        while queue and len(batch) < limit and size < MAX_BATCH_BYTES:
            proposal = queue.popleft()
            if proposal.withdrawn:
                _settle(proposal, Away("withdrawn"))
                continue
            proposal.sent += 1
            batch.append(proposal)
            size += len(proposal.change.head)
        return batch

    def _committed(self, answer: Committed | Fenced | Away) -> None:
        self._report()
        if not isinstance(answer, Committed):
            self._busy = False
            batch, self._under_way = self._under_way, []
            if isinstance(answer, Fenced):  # nothing was applied, so all may be sent again
                for proposal in batch:
                    proposal.sent -= 1
                self._queue.extendleft(reversed(batch))
            else:
                self._unknown.extend(batch)
            self._lost(why(answer))
        elif answer.before > self.revision:
            # Other hubs wrote in between. Their changes come first in every fold.
            self._store.read_log(
                self.position, answer.before, lambda entries: self._caught_up(answer, entries)
            )
        elif answer.before < self.revision:
            self._fail_under_way("the log went back")
        else:
            self._apply(answer)

    def _caught_up(self, answer: Committed, entries: list[LogEntry] | Fenced | Away) -> None:
        if not isinstance(entries, list):
            self._fail_under_way(why(entries))
        elif not complete(entries, self.revision, answer.before):
            self._fail_under_way(_GAP)
        else:
            for entry in entries:
                self._foreign(entry)
            self._apply(answer)

    def _fail_under_way(self, reason: str) -> None:
        self._busy = False
        batch, self._under_way = self._under_way, []
        self._unknown.extend(batch)
        self._lost(reason)

    def _apply(self, answer: Committed) -> None:
        self._busy = False
        self._unreported = _Batch(self._under_way, answer.results, self._barriers_under_way)
        self._under_way, self._barriers_under_way = [], []
        if self._queue:
            self._advance()
        if not self._busy:
            self._report()

    def _report(self) -> None:
        """Report the results of the last answered batch, unless that has been done."""
        batch, self._unreported = self._unreported, None
        if batch is None:
            return
        results: list[Result] = []
        for proposal, result in zip(batch.proposals, batch.results, strict=True):
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
            _settle(proposal, settled)
        for barrier in batch.barriers:
            barrier(True)
        self._go_on()

    def _apply_change(self, proposal: Proposal, applied: Applied) -> AgentRecord:
        if proposal.change.kind:
            self.revision = applied.revision
            self._key = proposal.change.key
        return self._fold.applied(proposal, applied)

    def _go_on(self) -> None:
        if self._queue or self._barriers or self._behind:
            self._advance_soon()

    def _foreign(self, entry: LogEntry) -> None:
        if entry.revision > self.revision:
            self.revision = entry.revision
            self._key = entry.key
            self._fold.foreign(entry)

    # --- what other hubs wrote ---------------------------------------------------------------

    def _hinted(self) -> None:
        if not self._busy:  # otherwise the answer to the commit says what came before it
            self._behind = True
            self._advance_soon()

    def _heard(self, entries: list[LogEntry] | Fenced | Away) -> None:
        self._busy = False
        if not isinstance(entries, list):
            self._lost(why(entries))
        elif entries and not complete(entries, self.revision, entries[-1].revision):
            self._lost(_GAP)
        else:
            for entry in entries:
                self._foreign(entry)
            self._go_on()

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
            _settle(proposal, _STOPPING)

    def _break_barriers(self) -> None:
        broken = [*self._barriers_under_way, *self._barriers]
        self._barriers_under_way, self._barriers = [], []
        for barrier in broken:
            barrier(False)

    def _opened(self, opened: Opened, entries: list[LogEntry] | None) -> None:
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
                _settle(proposal, self._apply_change(proposal, applied))
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
        self._fold.opened(opened, gap=entries is None)
        self._follower.ask()
        self._advance()

    # --- time limits ---------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._sweeper = None
        outstanding = [*self._unknown, *self._under_way, *self._queue]
        if not outstanding:
            return
        now = self._scheduler.now()
        oldest = now
        for proposal in outstanding:
            if proposal.born + CHANGE_TIMEOUT <= now:
                proposal.proposer.sweep()
            oldest = min(oldest, proposal.born)
        self._arm_sweeper(max(oldest + CHANGE_TIMEOUT, now + SWEEP_INTERVAL))

    def _arm_sweeper(self, at: float) -> None:
        if self._sweeper is not None:
            if self._sweep_at <= at:
                return
            self._sweeper.cancel()
        self._sweep_at = at
        self._sweeper = self._scheduler.call_at(at, self._sweep)


def _settle(proposal: AnyProposal, result: Result) -> None:
    if isinstance(proposal, RenewalProposal):
        proposal.proposer.renewed(proposal, result)
    else:
        proposal.proposer.settled(proposal, result)


def _epoch_of(entry: LogEntry) -> int:
    return decode_record(entry.record).epoch
