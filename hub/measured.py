"""A store whose commits are measured."""

from __future__ import annotations

from collections.abc import Callable

from actors.ports import Away, Change, Committed, Fenced, Loaded, LogEntry, Opened, Scheduler, Store
from hub.metrics import CommitResult, Metrics

_RESULTS: dict[type, CommitResult] = {Committed: "committed", Fenced: "fenced", Away: "away"}


class MeasuredStore:
    """Passes everything on, and tells the metrics how each commit ended and how long it took."""

    def __init__(self, store: Store, scheduler: Scheduler, metrics: Metrics) -> None:
        self._store = store
        self._now = scheduler.now
        self._finished = metrics.commit_finished

    def open(
        self, log: str, revision: int, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """See `actors.ports.Store`."""
        self._store.open(log, revision, reply, new_log=new_log)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """See `actors.ports.Store`."""
        self._store.load(reply)

    def commit(
        self, changes: list[Change], reply: Callable[[Committed | Fenced | Away], None]
    ) -> None:
        """See `actors.ports.Store`."""
        began = self._now()

        def finished(answer: Committed | Fenced | Away) -> None:
            if changes:  # else it was a question whether the store is there
                self._finished(_RESULTS[type(answer)], len(changes), self._now() - began)
            reply(answer)

        self._store.commit(changes, finished)

    def read_log(
        self, after: int, upto: int, reply: Callable[[list[LogEntry] | Away], None]
    ) -> None:
        """See `actors.ports.Store`."""
        self._store.read_log(after, upto, reply)
