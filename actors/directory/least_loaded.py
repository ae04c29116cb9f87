"""The strategy `least_loaded`: the least busy agent, as far as this hub can know.

Between two readings of an agent's load each pick of it counts, so that a burst spreads. A load has
no unit: it may be a share, a percentage or the length of a queue. So what a pick weighs is measured
by the fleet. The agent with the lowest rank is picked, at random among equals:

    rank = (load + softening) x (picks since its last reading + 1)

The softening is a fifth of the median of the loads above 0. Over a long burst an agent's share goes
with the inverse of (load + softening). Equal agents get equal shares, nearly equal ones nearly so,
and the less busy ones get more, whatever the unit. An agent that reports no load comes after all
that do; among these, picks alone count. Every hub counts its own picks. A heartbeat ends the count
even if it repeats the load: it is the newest reading.

The ranks of a filter's agents are kept in a heap, which takes in what moved since the last pick.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush, heapreplace

from msgspec import UNSET, Struct, field

from actors.directory.directory import Directory, DirectoryEntry
from actors.directory.predicates import Predicate
from actors.ports.clock import RandomSource
from homeport_protocol.filters import Filter

MAX_RANKINGS = 64
MAX_RANKED = 100_000
"""Filters whose agents are ranked, and agents in all these rankings together.

Beyond either the least recently used ranking is forgotten, but never the only one.
"""

LOOKED_AT = 200
"""Agents that one step of a pick looks at."""

SAMPLED = 500
"""Loads of which the median is taken, at most."""

SOFTENING = 0.2
"""Of the median: an idle agent gets at most six times as much as one of median load."""

Rank = tuple[bool, float]
"""Whether the load is unknown, and the rank."""

_Item = tuple[Rank, float, int, str]  # rank, chance, stamp, id


class _Ranking(Struct):
    """The agents of one filter by rank; an item counts if its stamp is the agent's newest one."""

    softening: float
    count: int
    """Movements that have been taken in."""
    first: int
    """Movements before it was made."""
    heap: list[_Item] = field(default_factory=list)
    stamps: dict[str, int] = field(default_factory=dict)

    def rank(self, entry: DirectoryEntry) -> Rank:
        """What the agent is ranked by now."""
        load = entry.record.load
        if load is UNSET:
            return True, float(entry.picks)
        return False, (load + self.softening) * (entry.picks + 1)


class LeastLoaded:
    """Picks from one directory, whose entries hold the picks since the last reading."""

    def __init__(self, directory: Directory, random: RandomSource) -> None:
        self._directory = directory
        self._random = random
        self._rankings: OrderedDict[bytes, _Ranking] = OrderedDict()
        self._stamp = 0

    def pick(
        self,
        name: bytes,
        filter: Filter,
        matches: Predicate | None,
        fit: Callable[[str], DirectoryEntry | None],
    ) -> Generator[None, None, DirectoryEntry | None]:
        """The agent of the lowest rank, and count it; None when there is none.

        `name` is `name_of(filter)`, `matches` its predicate; `fit` gives the entry of an agent
        that may be picked now.
        """
        movements = self._directory.movements
        with movements.kept():
            ranking = self._rankings.get(name)
            if ranking is None or self._outdated(ranking):
                ranking = yield from self._rank(filter)
            self._remember(name, ranking)
            while moved := movements.since(ranking.count, LOOKED_AT):
                ranking.count += len(moved)
                for agent_id in moved:
                    self._put(ranking, agent_id, matches)
                if ranking.count != movements.count:
                    yield
            return (yield from self._take(ranking, matches, fit))

    def _outdated(self, ranking: _Ranking) -> bool:
        """Whether it takes less to rank all agents again, or the median may be another."""
        movements = self._directory.movements
        if movements.since(ranking.count, 0) is None:
            return True
        return movements.count - ranking.first > max(LOOKED_AT, len(ranking.stamps))

    def _remember(self, name: bytes, ranking: _Ranking) -> None:
        rankings = self._rankings
        rankings[name] = ranking
        rankings.move_to_end(name)
        while len(rankings) > 1 and (
            len(rankings) > MAX_RANKINGS
            or sum(len(each.stamps) for each in rankings.values()) > MAX_RANKED
        ):
            rankings.popitem(last=False)

    def _rank(self, filter: Filter) -> Generator[None, None, _Ranking]:
        """Rank all that match. Those that move meanwhile must be ranked again."""
        directory = self._directory
        ids = yield from directory.matching(filter)
        count = directory.movements.count
        sample = (directory.get(agent_id) for agent_id in ids[:: len(ids) // SAMPLED + 1])
        loads = sorted(
            entry.record.load
            for entry in sample
            if entry is not None and entry.record.load is not UNSET and entry.record.load > 0
        )
        softening = loads[len(loads) // 2] * SOFTENING if loads else 1.0
        ranking = _Ranking(softening, count, count)
        if len(ids) > LOOKED_AT:
            ids = [*ids]  # others may change it meanwhile
        for number, agent_id in enumerate(ids, 1):
            self._put(ranking, agent_id, None)
            if number % LOOKED_AT == 0:
                yield
        return ranking

    def _put(self, ranking: _Ranking, agent_id: str, matches: Predicate | None) -> None:
        """Rank an agent as it is now; drop it if it cannot be picked before it moves again."""
        entry = self._directory.get(agent_id)
        if (
            entry is None
            or entry.record.health.connection == "lost"
            or not (matches is None or matches(entry.record))
        ):
            ranking.stamps.pop(agent_id, None)
            return
        heappush(ranking.heap, self._item(ranking, entry))
        if len(ranking.heap) > 2 * len(ranking.stamps) + LOOKED_AT:
            stamps = ranking.stamps
            ranking.heap[:] = [each for each in ranking.heap if stamps.get(each[3]) == each[2]]
            heapify(ranking.heap)

    def _item(self, ranking: _Ranking, entry: DirectoryEntry) -> _Item:
        self._stamp = stamp = self._stamp + 1
        ranking.stamps[entry.record.id] = stamp
        return ranking.rank(entry), self._random.random(), stamp, entry.record.id

    def _take(
        self,
        ranking: _Ranking,
        matches: Predicate | None,
        fit: Callable[[str], DirectoryEntry | None],
    ) -> Generator[None, None, DirectoryEntry | None]:
        heap, stamps = ranking.heap, ranking.stamps
        not_now: list[_Item] = []
        looked_at = 0
        try:
            while heap:
                looked_at += 1
                if looked_at % LOOKED_AT == 0:
                    yield
                    continue
                rank, _, stamp, agent_id = heap[0]
                entry = fit(agent_id)
                if stamps.get(agent_id) != stamp:
                    heappop(heap)  # ranked again since
                elif entry is None:
                    not_now.append(heappop(heap))
                elif matches is not None and not matches(entry.record):
                    heappop(heap)
                    del stamps[agent_id]
                elif ranking.rank(entry) != rank:  # picked through another filter, or heard of
                    heapreplace(heap, self._item(ranking, entry))
                else:
                    entry.picks += 1
                    heapreplace(heap, self._item(ranking, entry))
                    return entry
            return None
        finally:
            for item in not_now:
                heappush(heap, item)
