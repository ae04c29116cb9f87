"""Recovery: what a starting hub makes of what is stored."""

from __future__ import annotations

from collections.abc import Callable

from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import Away, Loaded, Roster, Store
from actors.rules.stored_records import read_records
from actors.watch.history import LogEvent, read_entries
from homeport_protocol.record import AgentRecord

RETRY = 0.25
"""Seconds until loading is tried again."""

Recovered = Callable[[list[AgentRecord], list[LogEvent], Roster], None]


class InitialLoad:
    """Loads the store once, and tells `done` what it held.

    Ids that were active without an entry ran out while no hub was there to tell of it. So no
    watch may go on as if it knew, and `begin_new_log` is called; once the log is there, `resume`
    loads again, since others may have changed something before it began. So it is when an answer
    was lost, since it might have named such ids; and while other hubs are alive, since they may
    list agents that this hub, in charge of them before it ended, knows no more: in the new log,
    nobody puts those back.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        begin_new_log: Callable[[], None],
        done: Recovered,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._begin_new_log = begin_new_log
        self._done = done
        self._loading = False
        self._outdated = False
        self._ghosts_possible = False
        self._awaiting = False
        self._closed = False

    @property
    def awaits_log(self) -> bool:
        """Whether a new log is being begun, because of what was loaded."""
        return self._awaiting

    def resume(self) -> None:
        """The store answers: go on, from wherever it went away."""
        self._awaiting = False
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
            self._ghosts_possible = True  # ghosts may have been dropped, and the answer lost
            self._scheduler.call_at(self._scheduler.now() + RETRY, self.resume)
            return
        records = read_records(loaded.records, self._observer)
        if loaded.ghosts or self._ghosts_possible:
            self._ghosts_possible = False
            self._awaiting = True
            self._begin_new_log()
        elif outdated:  # another log may have begun since it was asked for
            self.resume()
        else:
            self._done(records, read_entries(loaded.entries), loaded.roster)
