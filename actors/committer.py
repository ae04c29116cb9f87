"""Group commit: gathers the changes that wait into one batch at a time, and survives the store.

One batch is under way at a time, and everything proposed meanwhile makes up the next: under load
the batches fill themselves, and an idle hub waits for nothing.

When the store does not answer, the outcome of the batch is unknown. It is not sent again before
the committer knows: it opens a new writer generation (after which a late arrival of the old batch
is refused), reads the log on from where it stood, finds its own changes there by their keys, and
sends again only those that are not. So no change is applied twice and none is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from msgspec import Struct

from actors.ports import (
    Applied,
    Away,
    Change,
    Committed,
    Fenced,
    LogEntry,
    Opened,
    Refusal,
    Scheduler,
    Store,
    Timer,
)
from actors.timing import CHANGE_TIMEOUT
from protocol.codec import decode_record
from protocol.record import AgentRecord

MAX_BATCH = 512
MAX_BATCH_BYTES = 1024 * 1024
RETRY_DELAYS = (0.05, 0.1, 0.25)
"""Seconds between attempts to open the store again; the last one repeats."""

_GAP = "entries of the log are missing"

SWEEP_INTERVAL = 0.1

PROBE_INTERVAL = 1.0
"""Seconds without a commit after which the store is asked whether it is still there."""


class Proposer(Protocol):
    """Who proposed a change and hears of its outcome."""

    def settled(self, proposal: Proposal, result: Applied | Refusal | Away) -> None:
        """The change ended; Away when it was withdrawn or could not be sent."""
        ...

    def sweep(self) -> None:
        """Something has been waiting long: answer what has waited too long."""
        ...


class Proposal(Struct, eq=False):
    """A change on its way to the store.

    `record` is what it makes of the agent; once it is applied, the fold has put the epoch and
    revision that the store gave into it. `born` is when it was proposed. One that is `withdrawn`
    before it was sent is not sent.
    """

    change: Change
    record: AgentRecord
    proposer: Proposer
    born: float
    withdrawn: bool = False


class Fold(Protocol):
    """Who keeps the directory: hears everything in the log's order."""

    def opened(self, opened: Opened) -> None:
        """The store answers: at first, and again after every time it was away."""
        ...

    def away(self, reason: str) -> None:
        """The store does not answer."""
        ...

    def applied(self, proposal: Proposal, applied: Applied) -> None:
        """One of our changes is durable."""
        ...

    def foreign(self, entry: LogEntry) -> None:
        """Somebody else's change is durable."""
        ...


class Committer:
    """The one way from the brain to the store."""

    def __init__(self, scheduler: Scheduler, store: Store, fold: Fold, name: str) -> None:
        self._scheduler = scheduler
        self._store = store
        self._fold = fold
        self._name = name
        self._sequence = 0
        self._queue: deque[Proposal] = deque()
        self._under_way: list[Proposal] = []
        self._busy = False
        self._heard_at = 0.0
        self._unknown: list[Proposal] = []
        self._flush_scheduled = False
        self._sweeper: Timer | None = None
        self._sweep_at = 0.0
        self._wants_new_log = False
        self._attempts = 0
        self._opening = False
        self._closed = False
        self.open = False
        self.reason = "not opened yet"
        self.log = ""
        self.revision = 0
        self.commits = 0

    @property
    def outstanding(self) -> int:
        """Changes whose outcome is not known yet."""
        return len(self._queue) + len(self._under_way) + len(self._unknown)

    def start(self) -> None:
        """Open the store, and again whenever it has been away, until `close`."""
        self._attempt()
        self._probe()

    def renew_log(self) -> None:
        """Begin a new log now; the fold hears of it as of any opening."""
        self.open = False
        self._wants_new_log = True
        self._attempt()

    def close(self) -> None:
        """Send nothing more; what waits is settled as away."""
        self._closed = True
        self.open = False
        waiting = [*self._queue]
        self._queue.clear()
        for proposal in waiting:
            proposal.proposer.settled(proposal, Away("the hub is stopping"))

    def propose(self, proposal: Proposal) -> None:
        """Send the change with the next batch; `settled` tells how it ended."""
        if self._closed:
            proposal.proposer.settled(proposal, Away("the hub is stopping"))
            return
        if proposal.change.kind:
            self._sequence += 1
            proposal.change.key = f"{self._name}:{self._sequence}"
        self._queue.append(proposal)
        if self.open and not self._busy and not self._flush_scheduled:
            self._flush_scheduled = True
            self._scheduler.call_soon(self._flush)
        self._arm_sweeper(proposal.born + CHANGE_TIMEOUT)

    # --- committing --------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flush_scheduled = False
        if not self.open or self._busy:
            return
        queue, batch, size = self._queue, self._under_way, 0
        while queue and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            proposal = queue.popleft()
            if proposal.withdrawn:
                proposal.proposer.settled(proposal, Away("withdrawn"))
                continue
            batch.append(proposal)
            size += len(proposal.change.head)
        if batch:
            self.commits += 1
            self._send(batch)

    def _send(self, batch: list[Proposal]) -> None:
        self._busy = True
        self._store.commit([each.change for each in batch], self._committed)

    def _probe(self) -> None:
        """Ask a store that has not been heard of for a while, by a batch without changes.

        So an idle hub, too, notices that the store is gone, or has come back without its data.
        """
        if self._closed:
            return
        now = self._scheduler.now()
        if self.open and not self._busy and now - self._heard_at >= PROBE_INTERVAL * 0.9:
            self._send([])
        self._scheduler.call_at(now + PROBE_INTERVAL, self._probe)

    def _committed(self, answer: Committed | Fenced | Away) -> None:
        self._busy = isinstance(answer, Committed) and answer.before > self.revision
        self._heard_at = self._scheduler.now()
        if not isinstance(answer, Committed):
            batch, self._under_way = self._under_way, []
            if isinstance(answer, Fenced):  # nothing was applied: all of it may be sent again
                self._queue.extendleft(reversed(batch))
                self._lost("this hub's writer generation had lapsed")
            else:
                self._unknown.extend(batch)
                self._lost(answer.reason)
            return
        if answer.before > self.revision:
            # Others wrote in between. Their changes come first in every fold.
            self._store.read_log(
                self.revision, answer.before, lambda entries: self._caught_up(answer, entries)
            )
            return
        self._apply(answer)

    def _caught_up(self, answer: Committed, entries: list[LogEntry] | Away) -> None:
        self._busy = False
        if isinstance(entries, Away) or not self._complete(entries, answer.before):
            batch, self._under_way = self._under_way, []
            self._unknown.extend(batch)
            self._lost(entries.reason if isinstance(entries, Away) else _GAP)
            return
        for entry in entries:
            self._foreign(entry)
        self._apply(answer)

    def _apply(self, answer: Committed) -> None:
        batch, self._under_way = self._under_way, []
        for proposal, result in zip(batch, answer.results, strict=True):
            if isinstance(result, Applied):
                if proposal.change.kind:
                    self.revision = result.revision
                self._fold.applied(proposal, result)
            proposal.proposer.settled(proposal, result)
        if self._queue and not self._flush_scheduled:
            self._flush_scheduled = True
            self._scheduler.call_soon(self._flush)

    def _foreign(self, entry: LogEntry) -> None:
        if entry.revision > self.revision:
            self.revision = entry.revision
            self._fold.foreign(entry)

    # --- opening, and opening again --------------------------------------------------------------

    def _lost(self, reason: str) -> None:
        was_open, self.open, self.reason = self.open, False, reason
        if was_open:
            self._fold.away(reason)
            self._attempts = 0
        if not self._closed:
            delay = RETRY_DELAYS[min(self._attempts, len(RETRY_DELAYS) - 1)]
            self._attempts += 1
            self._scheduler.call_at(self._scheduler.now() + delay, self._attempt)

    def _attempt(self) -> None:
        if self._closed or self._opening:
            return
        self._opening = True
        self._store.open(self.log, self.revision, self._opened, new_log=self._wants_new_log)

    def _opened(self, answer: Opened | Away) -> None:
        self._opening = False
        if isinstance(answer, Opened) and answer.fresh:
            self._wants_new_log = False
        if isinstance(answer, Away):
            self._lost(answer.reason)
        elif answer.fresh or not self.log or answer.revision <= self.revision:
            self._ready(answer, [])
        else:
            self._opening = True
            self._store.read_log(
                self.revision, answer.revision, lambda entries: self._reread(answer, entries)
            )

    def _reread(self, answer: Opened, entries: list[LogEntry] | Away) -> None:
        self._opening = False
        if isinstance(entries, Away):
            self._lost(entries.reason)
        elif self._complete(entries, answer.revision):
            self._ready(answer, entries)
        else:
            self._lost(_GAP)

    def _complete(self, entries: list[LogEntry], upto: int) -> bool:
        """Whether no entry is missing between what is known and `upto`.

        If one is, the log was lost or trimmed past us: nobody can say what happened in between,
        so a new one is begun, and every watch starts over.
        """
        expected = range(self.revision + 1, upto + 1)
        complete = [entry.revision for entry in entries] == [*expected]
        self._wants_new_log = self._wants_new_log or not complete
        return complete

    def _ready(self, opened: Opened, entries: list[LogEntry]) -> None:
        if self._closed:
            return
        unknown, self._unknown = self._unknown, []
        by_key = {each.change.key: each for each in unknown if each.change.key}
        for entry in entries:
            proposal = by_key.pop(entry.key, None)
            if proposal is None:
                self._foreign(entry)
            else:
                unknown.remove(proposal)
                self.revision = entry.revision
                applied = Applied(entry.revision, _epoch_of(entry))
                self._fold.applied(proposal, applied)
                proposal.proposer.settled(proposal, applied)
        self._queue.extendleft(reversed(unknown))
        self.log = opened.log
        self.revision = opened.revision
        self._attempts = 0
        self.reason = ""
        self.open = True
        self._fold.opened(opened)
        self._flush()

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


def _epoch_of(entry: LogEntry) -> int:
    return decode_record(entry.record).epoch
