"""Opening the store: retries until it answers, then reads what was missed meanwhile.

Each opening begins a new writer generation; the store refuses commands of an older one that arrive
late. Then the log is read on from the folded position, which shows what of the earlier commands
had arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from actors.ports.clock import Scheduler, Timer
from actors.ports.store import Away, Fenced, Freshness, LogEntry, Opened, Position, Store

RETRY_DELAYS = (0.05, 0.1, 0.25)
"""Seconds between attempts to open the store again; the last one repeats."""


class StoreOpener:
    """Opens the store, and keeps trying.

    `position` returns how far the log has been folded. `opened` gets the store's answer and the log
    entries since then, or None when some are missing. `failed` gets the reason of each failure; a
    retry follows.
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
        self._above = 0
        self._under_way = False
        self._timer: Timer | None = None
        self._failures = 0
        self._closed = False

    def open(self, *, new_log: bool = False, above: int = 0) -> None:
        """Open now, unless that is under way; with `new_log`, begin a new log above a revision."""
        self._wants_new_log |= new_log
        self._above = max(self._above, above)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._under_way and not self._closed:
            self._under_way = True
            at = self._position()
            if self._wants_new_log and self._above > at.revision:
                at = Position(at.log, self._above, "")
            self._store.open(at, self._answered, new_log=self._wants_new_log)

    def open_soon(self) -> None:
        """Open after a delay that grows with each failure."""
        if self._timer is None and not self._under_way and not self._closed:
            delay = RETRY_DELAYS[min(self._failures, len(RETRY_DELAYS) - 1)]
            self._failures += 1
            self._timer = self._scheduler.call_at(self._scheduler.now() + delay, self.open)

    def close(self) -> None:
        """Stop: no more attempts, no more callbacks."""
        self._closed = True

    def _answered(self, answer: Opened | Away) -> None:
        position = self._position()
        if isinstance(answer, Away):
            self._fail(answer.reason)
            return
        if answer.fresh:
            self._wants_new_log = False
        if self._wants_new_log:  # asked for while the store was being opened
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
            # The log was trimmed past our position. Own changes that were applied, and are sent
            # again, will be refused as stale.
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
    """Why the store did not serve a request, as a phrase for logs and `/ready`."""
    if isinstance(failure, Fenced):
        return "its connection was lost, or it does not hold this hub's lease any more"
    return failure.reason


def why_fresh(freshness: Freshness) -> str:
    """Why a new log was begun, as one phrase for logs."""
    match freshness:
        case "":
            return ""
        case "asked":
            return "a hub asked for it"
        case "empty":
            return "the store came back empty"
        case "unreadable":
            return "the change log in the store could not be read"
        case "older":
            return "the store came back older than this hub had seen it"
        case "diverged":
            return "the store has other changes than this hub had seen: a failover dropped some"
        case "elsewhere":
            return "another hub began it"
        case _:
            assert_never(freshness)


def complete(entries: list[LogEntry], after: int, upto: int) -> bool:
    """Whether these are all log entries after revision `after` up to `upto`."""
    # Counted first: `upto` comes from the store, and may be any number.
    return len(entries) == upto - after and all(
        entry.revision == revision for revision, entry in enumerate(entries, after + 1)
    )
