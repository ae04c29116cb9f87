"""Opens the store, again and again until it answers, and reads what was missed meanwhile.

Each opening begins a new writer generation, after which a late arrival of what was sent before is
refused. Then the log is read on from where it has been folded to: so it is known what of that had
arrived.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.ports.clock import Scheduler, Timer
from actors.ports.store import Away, Fenced, LogEntry, Opened, Position, Store

RETRY_DELAYS = (0.05, 0.1, 0.25)
"""Seconds between attempts to open the store again; the last one repeats."""


class StoreOpener:
    """The way back to the store.

    `position` tells how far the log has been folded. `opened` hears what the store says and the
    entries that have come since; None for them when some are missing. `failed` hears why it was
    not opened; then it is tried again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        position: Callable[[], Position],
        *,
        opened: Callable[[Opened, list[LogEntry] | None], None],
        failed: Callable[[str], None],
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._position = position
        self._opened = opened
        self._failed = failed
        self._wants_new_log = False
        self._under_way = False
        self._timer: Timer | None = None
        self._failures = 0
        self._closed = False

    def open(self, *, new_log: bool = False) -> None:
        """Open now, with a new log if that is wanted, unless it is being opened."""
        self._wants_new_log |= new_log
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._under_way and not self._closed:
            self._under_way = True
            self._store.open(self._position(), self._answered, new_log=self._wants_new_log)

    def open_soon(self) -> None:
        """Open after a while, a longer one after each failure."""
        if self._timer is None and not self._under_way and not self._closed:
            delay = RETRY_DELAYS[min(self._failures, len(RETRY_DELAYS) - 1)]
            self._failures += 1
            self._timer = self._scheduler.call_at(self._scheduler.now() + delay, self.open)

    def close(self) -> None:
        """Open no more; what is being opened is told to nobody."""
        self._closed = True

    def _answered(self, answer: Opened | Away) -> None:
        position = self._position()
        if isinstance(answer, Away):
            self._fail(answer.reason)
            return
        if answer.fresh:
            self._wants_new_log = False
        if self._wants_new_log:  # by now; it was not when this was asked
            self._under_way = False
            self.open()
        elif answer.fresh or not position.log or answer.revision <= position.revision:
            self._succeed(answer, [])
        else:
            self._store.read_log(
                position, answer.revision, lambda entries: self._read(answer, entries)
            )

    def _read(self, answer: Opened, entries: list[LogEntry] | Fenced | Away) -> None:
        if not isinstance(entries, list):
            self._fail(why(entries))
        elif complete(entries, self._position().revision, answer.revision):
            self._succeed(answer, entries)
        else:
            # Trimmed past us while we slept. What of ours was applied will be refused as stale.
            self._succeed(answer, None)

    def _succeed(self, answer: Opened, entries: list[LogEntry] | None) -> None:
        self._under_way = False
        self._failures = 0
        if not self._closed:
            self._opened(answer, entries)

    def _fail(self, reason: str) -> None:
        self._under_way = False
        if not self._closed:
            self._failed(reason)
            self.open_soon()


def why(failure: Fenced | Away) -> str:
    """What to say of a request that the store did not serve."""
    if isinstance(failure, Fenced):
        return "its connection was lost, or it does not hold this hub's lease any more"
    return failure.reason


def complete(entries: list[LogEntry], after: int, upto: int) -> bool:
    """Whether these are all entries of the log from behind one revision up to another."""
    return [entry.revision for entry in entries] == [*range(after + 1, upto + 1)]
