"""Recovery: what a starting hub makes of what is stored."""

from __future__ import annotations

from collections.abc import Callable

from actors.history import Entry
from actors.loading import read_entries, read_record
from actors.observing import Observer
from actors.ports import Away, Loaded, Scheduler, Store
from protocol.record import AgentRecord

RETRY = 0.25
"""Seconds until loading is tried again."""

Recovered = Callable[[list[AgentRecord], list[Entry]], None]


class Recovery:
    """Loads the store once, and tells `done` what it held.

    Ids that were active without an entry ran out while no hub was there to tell of it. So no
    watch may go on as if it knew, and `renew_log` is called; once the new log is there, `resume`.
    So it is when an answer was lost, since it might have named such ids.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        renew_log: Callable[[], None],
        done: Recovered,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._renew_log = renew_log
        self._done = done
        self._loading = False
        self._doubtful = False
        self._records: list[AgentRecord] | None = None

    @property
    def awaits_log(self) -> bool:
        """Whether everything is loaded and only the new log is missing."""
        return self._records is not None

    def resume(self) -> None:
        """The store answers: go on, from wherever it went away."""
        if self._records is not None:
            records, self._records = self._records, None
            self._done(records, [])
        elif not self._loading:
            self._loading = True
            self._store.load(self._loaded)

    def _loaded(self, loaded: Loaded | Away) -> None:
        self._loading = False
        if isinstance(loaded, Away):
            self._doubtful = True  # ghosts may have been dropped, and the answer lost
            self._scheduler.call_at(self._scheduler.now() + RETRY, self.resume)
            return
        records = []
        for data in loaded.records:
            try:
                records.append(read_record(data))
            except (ValueError, RecursionError):
                self._observer.unreadable(data)
        if loaded.ghosts or self._doubtful:
            self._records = records
            self._renew_log()
        else:
            self._done(records, read_entries(loaded.entries))
