"""What was read of the log and waits to be folded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from actors.log.reopening import complete, why
from actors.ports.store import Away, Fenced, LogEntry, Position, Store

GAP = "entries of the change log are missing"


class ReadAhead:
    """Reads the log on, and keeps the entries until their turn comes.

    `heard` is called when it has been read, `failed` with the reason when it could not be, or
    entries are missing.
    """

    def __init__(
        self, store: Store, heard: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self._store = store
        self._heard = heard
        self._failed = failed
        self._entries: deque[LogEntry] = deque()
        self._reads = 0
        self.reading = False

    def read(self, position: Position, least: int) -> None:
        """Read what comes after `position`; entries up to revision `least` must be there."""
        if not self.reading:
            self.reading = True
            answered = partial(self._answered, self._reads, position.revision, least)
            self._store.read_log(position, None, answered)

    def forget(self) -> None:
        """Drop what was read, and ignore what is being read."""
        self._entries.clear()
        self._reads += 1
        self.reading = False

    def take(self, upto: int | None) -> Iterator[LogEntry]:
        """Take the entries up to that revision (None: all), in order."""
        entries = self._entries
        while entries and (upto is None or entries[0].revision <= upto):
            yield entries.popleft()

    def _answered(
        self, read: int, after: int, least: int, entries: list[LogEntry] | Fenced | Away
    ) -> None:
        if read != self._reads:
            return
        self.reading = False
        if not isinstance(entries, list):
            self._failed(why(entries))
            return
        reached = entries[-1].revision if entries else after
        if not complete(entries, after, reached) or reached < least:
            self._failed(GAP)
            return
        self._entries = deque(entries)
        self._heard()
