"""Readings: tells the loads that moved to the watches that asked for them.

A load that moves is no change and has no entry in the log. Every INTERVAL each of these watches is
sent the newest load of the agents in its filter whose load has moved since. What it holds meanwhile
is bounded: ids of agents, once for all watches. A watch whose peer reads too slowly is sent nothing
and holds nothing; once it takes messages again, it is sent the loads of all agents in its filter.
"""

from __future__ import annotations

from msgspec import UNSET

from actors.directory.directory import Directory
from actors.ports.clock import Scheduler, Timer
from actors.runtime.turns import Steps, Turns
from actors.watch.feed import Feed
from actors.watch.watch import Watch
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError

INTERVAL = 1.0
"""Seconds between two readings of one watch, at least."""

MOST_LOADS = 1000
"""Loads of one message, which thus has at most 64 KiB."""

LOOKED_AT = 100
"""Agents that one step looks at."""

SENT_TO = 16
"""Watches that one step sends to."""


class Readings:
    """The watches that want readings, and the agents whose load has moved."""

    def __init__(
        self, scheduler: Scheduler, directory: Directory, feed: Feed, turns: Turns
    ) -> None:
        self._scheduler = scheduler
        self._directory = directory
        self._feed = feed
        self._turns = turns
        self._behind: dict[Watch, bool] = {}
        """Each watch, and whether it missed readings, so that it needs all loads."""
        self._moved: dict[str, None] = {}
        self._told_at = -INTERVAL
        self._timer: Timer | None = None
        self._telling = False

    def follow(self, watch: Watch, *, behind: bool) -> None:
        """Tell the watch from now on; `behind` if it does not know the loads as they are."""
        self._behind[watch] = behind
        if behind:
            self._tell_later()

    def forget(self, watch: Watch) -> None:
        """Tell the watch nothing more."""
        if self._behind.pop(watch, None) is not None and not self._behind:
            self._moved.clear()

    def moved(self, agent_id: str) -> None:
        """The agent's load has moved."""
        if self._behind:
            self._moved[agent_id] = None
            self._tell_later()

    def _tell_later(self) -> None:
        if self._timer is None and not self._telling:
            at = max(self._scheduler.now(), self._told_at + INTERVAL)
            self._timer = self._scheduler.call_at(at, self._tell)

    def _tell(self) -> None:
        self._timer = None
        if self._behind:
            self._telling = True
            self._told_at = self._scheduler.now()
            moved, self._moved = [*self._moved], {}
            self._turns.later(self._steps(moved), self._told)

    def _told(self, _result: ProtocolError | None) -> None:
        self._telling = False
        if self._moved or any(self._behind.values()):
            self._tell_later()

    def _steps(self, moved: list[str]) -> Steps[None]:
        """Watches of one filter are told the same, which is put together once."""
        groups: dict[tuple[bytes, bool], list[Watch]] = {}
        for watch, behind in self._behind.items():
            groups.setdefault((watch.name, behind), []).append(watch)
            self._behind[watch] = False
        for (_, behind), watches in groups.items():
            matches = watches[0].matches
            loads: dict[str, float] = {}
            for number, agent_id in enumerate([*self._directory.ids()] if behind else moved, 1):
                entry = self._directory.get(agent_id)
                if entry is not None and (matches is None or matches(entry.record)):
                    load = entry.record.load
                    if load is not UNSET:
                        loads[agent_id] = load
                if len(loads) == MOST_LOADS:
                    yield from self._send(watches, loads)
                    loads = {}
                if number % LOOKED_AT == 0:
                    yield
            if loads:
                yield from self._send(watches, loads)

    def _send(self, watches: list[Watch], loads: dict[str, float]) -> Steps[None]:
        newest = encode(loads)
        for number, watch in enumerate(watches, 1):
            # What waits to be passed on is older than the loads: it must not come after them.
            sent = self._feed.is_up_to_date and watch.send_loads(newest)
            if not sent and watch in self._behind:
                self._behind[watch] = True
            if number % SENT_TO == 0:
                yield
