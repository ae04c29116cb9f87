"""Following the log: learns at once when other hubs write to it."""

from __future__ import annotations

from collections.abc import Callable

from actors.ports.clock import Scheduler
from actors.ports.store import Away, Store

PAUSE = 0.005
"""Seconds between two hints; entries that come meanwhile are read together."""

RETRY = 0.25
"""Seconds until the store is asked again after a failure."""


class Follower:
    """Asks the store, again and again, whether the log has grown.

    `position` returns the last folded revision, or None while the store is not open. `grown` is
    only a hint: the caller then reads the log.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        position: Callable[[], int | None],
        grown: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._position = position
        self._grown = grown
        self._asking = False
        self.following = False
        """Whether other hubs write to the log."""

    def ask(self) -> None:
        """Ask now, if the log is followed and the store is open and not being asked."""
        position = self._position()
        if self.following and position is not None and not self._asking:
            self._asking = True
            self._store.await_change(position, self._answered)

    def _answered(self, answer: bool | Away) -> None:
        self._asking = False
        if answer is True:
            self._grown()
        pause = RETRY if isinstance(answer, Away) else PAUSE
        self._scheduler.call_at(self._scheduler.now() + pause, self.ask)
