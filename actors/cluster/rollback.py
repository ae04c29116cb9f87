"""A store that came back older while no hub was alive to notice (a restored backup, a lost AOF).

Its log goes on under the same name, so no hub can tell by itself. What clients bring can: a
position that a hub has given, and that the log does not hold, proves that changes were lost. So
does a session token of a later registration than the one that is stored. Then a new log is begun,
above all revisions that are known, so that every watch starts over, also those that cannot prove
anything. That is done once for each log.

A position is brought only once: its watcher then goes on by a newer one. So while it cannot be
judged, because the store is away, it is kept; and it is compared with the entries that are folded
meanwhile, since what is kept of the log may not reach back to it afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.rules.positions import LogPosition, entry_digest
from actors.watch.feed import Feed

TOLD = 24 * 3600.0
"""Seconds for which `warning` tells what was found."""

_KNOWN_LOGS = 16

MOST_DOUBTED = 1000
"""Positions that wait to be judged; watchers mostly bring the same few."""


class RollbackDetector:
    """Judges what clients know of the log.

    `begin_new_log` gets a revision to begin above, and why.

    `catch_up` folds everything durable, and then calls back, with False if it could not.
    `found` counts the times that the store turned out to be older.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        observer: Observer,
        feed: Feed,
        begin_new_log: Callable[[int, str], None],
        catch_up: Callable[[Callable[[bool], None]], None],
        *,
        store_name: str,
    ) -> None:
        self._scheduler = scheduler
        self._observer = observer
        self._feed = feed
        self._begin_new_log = begin_new_log
        self._catch_up = catch_up
        self._store_name = store_name
        self._log = ""
        self._replaced: deque[str] = deque(maxlen=_KNOWN_LOGS)
        self._told: tuple[float, str] | None = None
        self._doubted: dict[LogPosition, bool] = {}
        """The positions that wait, and whether the log turned out to have another entry there."""
        self.found = 0

    def opened(self, log: str) -> None:
        """The store has been opened: this is its log from now on."""
        if self._log not in ("", log):
            self._replaced.append(self._log)
        self._log = log

    def doubt(self, position: LogPosition) -> None:
        """A watcher was given this position, which is not in what has been folded here so far."""
        if len(self._doubted) < MOST_DOUBTED:
            within = position.revision <= self._feed.revision
            self._doubted.setdefault(position, within and self._feed.contradicts(position))

    def folded(self, revision: int, key: str) -> None:
        """The log has an entry of that key at `revision`."""
        for position in self._doubted:
            if position.revision == revision and position.log == self._log:
                self._doubted[position] = position.entry != entry_digest(key)

    def store_returned(self) -> None:
        """The store answers again: judge the positions that wait once everything is folded."""
        doubted = [*self._doubted]

        def caught_up(complete: bool) -> None:
            if complete:
                for position in doubted:
                    self.judge(position)

        if doubted:
            self._catch_up(caught_up)

    def judge(self, position: LogPosition) -> None:
        """A watcher was given this position, and everything durable has been folded here."""
        contradicted = self._doubted.pop(position, False)
        if self._log in self._replaced or position.log in self._replaced:
            return  # a new log has been begun since, or is being begun
        if contradicted or self._feed.contradicts(position):
            self._found(self._words(position), position.revision)

    def registration_lost(self, agent_id: str) -> None:
        """Everything durable has been folded, and lacks a registration that a hub has confirmed.

        A token does not say of which log it is. So it is news only to a hub that has been in no
        other log, and has not begun one.
        """
        if not self._replaced:
            self._found(
                f"{self._store_name} came back older: agent {agent_id} was registered later than "
                "is stored",
                0,
            )

    @property
    def warning(self) -> str | None:
        """What was found lately, as one phrase."""
        if self._told is None or self._scheduler.now() > self._told[0] + TOLD:
            return None
        return self._told[1]

    def _words(self, position: LogPosition) -> str:
        reached = self._feed.revision
        if position.log != self._log:
            holds = f"and the log is {self._log} at {reached}"
        elif position.revision > reached:
            holds = f"which ends at {reached}"
        else:
            holds = "which has another change there"
        return (
            f"{self._store_name} came back older: a watcher knew revision {position.revision} of "
            f"log {position.log}, {holds}"
        )

    def _found(self, words: str, above: int) -> None:
        self.found += 1
        self._told = self._scheduler.now(), words
        self._observer.rolled_back(words)
        self._replaced.append(self._log)
        self._begin_new_log(above, words)
