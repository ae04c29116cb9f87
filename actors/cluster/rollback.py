"""A store that came back older while no hub was alive to notice (a restored backup, a lost AOF).

Its log goes on under the same name, so no hub can tell by itself. What clients bring can: a
position that a hub has given, and that the log does not hold, proves that changes were lost. So
does a session token of a later registration than the one that is stored. Then a new log is begun,
above all revisions that are known, so that every watch starts over, also those that cannot prove
anything. That is done once for each log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.rules.positions import LogPosition
from actors.watch.feed import Feed

TOLD = 24 * 3600.0
"""Seconds for which `warning` tells what was found."""

_KNOWN_LOGS = 16


class RollbackDetector:
    """Judges what clients know of the log; `begin_new_log` gets a revision to begin above.

    `found` counts the times that the store turned out to be older.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        observer: Observer,
        feed: Feed,
        begin_new_log: Callable[[int], None],
    ) -> None:
        self._scheduler = scheduler
        self._observer = observer
        self._feed = feed
        self._begin_new_log = begin_new_log
        self._log = ""
        self._replaced: deque[str] = deque(maxlen=_KNOWN_LOGS)
        self._told: tuple[float, str] | None = None
        self.found = 0

    def opened(self, log: str) -> None:
        """The store has been opened: this is its log from now on."""
        if self._log not in ("", log):
            self._replaced.append(self._log)
        self._log = log

    def judge(self, position: LogPosition) -> None:
        """A watcher was given this position, and everything durable has been folded here."""
        if self._log in self._replaced or position.log in self._replaced:
            return  # a new log has been begun since, or is being begun
        if self._feed.contradicts(position):
            self._found(self._words(position), position.revision)

    def registration_lost(self, agent_id: str) -> None:
        """Everything durable has been folded, and lacks a registration that a hub has confirmed.

        A token does not say of which log it is. So it is news only to a hub that has been in no
        other log, and has not begun one.
        """
        if not self._replaced:
            self._found(
                f"Redis came back older: agent {agent_id} was registered later than is stored", 0
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
            f"Redis came back older: a watcher knew revision {position.revision} of log "
            f"{position.log}, {holds}"
        )

    def _found(self, words: str, above: int) -> None:
        self.found += 1
        self._told = self._scheduler.now(), words
        self._observer.rolled_back(words)
        self._replaced.append(self._log)
        self._begin_new_log(above)
