"""The first load: what a starting hub makes of what is stored."""

from __future__ import annotations

from collections.abc import Callable

from actors.cluster.loaded_records import read_loaded
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import Away, Loaded, Store
from actors.watch.history import LogEvent, read_events
from homeport_protocol.record import AgentRecord

RETRY = 0.25

GHOSTS = "entries of agents ran out while no hub could tell"
"""Why a new log is begun for them."""
"""Seconds until loading is tried again."""

Done = Callable[[list[AgentRecord], list[LogEvent], Loaded], None]


class InitialLoad:
    """Loads the store once, and calls `done` with what it held.

    Ids that were active without an entry ("ghosts") ran out while no hub was there to log it, and
    a lost answer might have named some. Then no watch may go on as if it knew: `begin_new_log` is
    called, and once the new log is there, the store is loaded again, since others may have changed
    something before it began. The same while other hubs are alive: they may list agents that this
    hub owned before it ended and no longer knows, and no hub puts those back into the new log.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        begin_new_log: Callable[[str], None],
        done: Done,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._begin_new_log = begin_new_log
        self._done = done
        self._loading = False
        self._outdated = False
        self._ghosts_possible = False
        self._awaits_log = False
        self._closed = False

    @property
    def awaits_log(self) -> bool:
        """Whether a new log is being begun, because of what was loaded."""
        return self._awaits_log

    def load(self) -> None:
        """The store answers, for the first time or again: load it."""
        self._awaits_log = False
        if self._closed:
            return
        if self._loading:
            self._outdated = True
        else:
            self._loading = True
            self._store.load(self._loaded)

    def close(self) -> None:
        """Load no more."""
        self._closed = True

    def _loaded(self, loaded: Loaded | Away) -> None:
        self._loading = False
        if self._closed:
            return
        outdated, self._outdated = self._outdated, False
        if isinstance(loaded, Away):
            self._ghosts_possible = True  # they may have been dropped, and the answer lost
            self._scheduler.call_at(self._scheduler.now() + RETRY, self.load)
            return
        records = read_loaded(loaded, self._observer)
        if loaded.ghosts or self._ghosts_possible:
            self._ghosts_possible = False
            self._awaits_log = True
            self._begin_new_log(GHOSTS)
        elif outdated:  # another log may have begun since it was asked for
            self.load()
        else:
            self._done(records, read_events(loaded.entries), loaded)
