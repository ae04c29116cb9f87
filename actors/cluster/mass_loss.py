"""The guard against mass loss: when many agents go at once, it is more often the network's fault.

A loss is unusual for this namespace when, within one period,

- at least MIN_LOST agents, and more than a share of all, became unreachable and still are, beyond
  what is usual: the median of the USUAL_PERIODS periods before, and three times its square root;
- and by so many fewer agents are reachable than at most were in that period. Agents that crash and
  are replaced by new ones are no mass loss.

An agent that has been replaced (`successors`) is not lost: one of its name and type registered
within a period before or after, and stands for it alone. What is held ends when it is replaced.

What was lost so is held: it is marked unreachable, and not removed before the loss is acknowledged,
it is back, or its own time is over: `hold` seconds after its loss, or `small_hold` where at most
SMALL_FLEET agents were reachable. When so many are back that it is no mass loss any more, the
others have `grace` seconds left, if that is less. Never are more held than were reachable; those
that registered first come first, so that agents which crash all the time take no one's place.

It all follows from the changes in the log: every hub of a cluster comes to the same verdict.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container, Iterator
from heapq import heappop, heappush
from math import sqrt
from statistics import median

from msgspec import Struct

from actors.cluster.successors import Role, Successors
from actors.ports.clock import INFINITE

MIN_LOST = 10
PERIOD = 60.0
USUAL_PERIODS = 5
SMALL_FLEET = 49
NEVER = -INFINITE

REMEMBERED = 100_000
"""Losses from which it follows what is usual; older ones are forgotten."""

_LARGE = 256
"""Items from which on a heap is cleared up whenever their number reaches a power of two."""

_USUAL_FOR = 1.0
"""Seconds for which what was found to be usual counts, so that it is not counted at every loss."""


class HoldRules(Struct, frozen=True, kw_only=True):
    """`share` is of the listed agents, from 0 to 1; all else is in seconds."""

    share: float
    hold: float
    small_hold: float
    grace: float
    period: float = PERIOD


class Population(Struct, frozen=True, gc=False):
    """How many agents are in the directory, and how many of them are reachable."""

    listed: int
    reachable: int


class _Held(Struct, gc=False):
    until: float
    revision: int


_Heap = list[tuple[float, str]]


class MassLossGuard:
    """Counts losses of agents, and decides whose removal is held, and until when.

    Every change of the directory is told to it, each with the population after it. Times are in
    seconds on one scale, and need not be whole.
    """

    def __init__(self, rules: HoldRules) -> None:
        self._rules = rules
        self._recent: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When the agents were lost that were so within a period and are still away, in order;
        and by which revisions."""
        self._not_held: _Heap = []
        """A heap of those of them that are not held, and some that are no longer of them; each with
        when it registered. Kept apart so that each is added once and not with every loss."""
        self._held: dict[str, _Held] = {}
        self._youngest: _Heap = []
        """A heap of those, and some that are no longer held, by when they registered, negated."""
        self._latest = NEVER
        self._grace_until = INFINITE
        self._losses: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)
        self._reachable: deque[tuple[float, int]] = deque()
        """Falling numbers of reachable agents, and when; the first was the most of the period."""
        self._usual = 0.0
        self._usual_at = NEVER
        self._acknowledged = 0
        self._successors = Successors()

    @property
    def period(self) -> float:
        """Seconds in which losses count together, and before or after which successors do."""
        return self._rules.period

    # --- what happens ----------------------------------------------------------------------------

    def changed(self, population: Population, at: float) -> None:
        """The directory changed, so that it has this population at `at`."""
        most, number = self._reachable, population.reachable
        while most and most[-1][1] <= number:
            most.pop()
        most.append((at, number))
        self._end_period(at)
        if self._grace_until == INFINITE and not self._is_many(len(self._held), population):
            self._grace_until = at + self._rules.grace

    def lost(
        self,
        agent_id: str,
        population: Population,
        at: float,
        *,
        role: Role,
        revision: int,
        registered_at: float,
    ) -> None:
        """The agent became unreachable at `at`, by the change of that revision.

        `registered_at` may be on another scale than `at`.
        """
        self.changed(population, at)
        if self._successors.lost(agent_id, role, at):
            self._uncount(agent_id)
            return
        self._losses.append((at, agent_id))
        if 0 < revision <= self._acknowledged:
            return
        self._recent[agent_id] = (at, revision)
        self._recent.move_to_end(agent_id)
        if agent_id not in self._held:
            _push(self._not_held, (registered_at, agent_id), self._recent)
        if self._is_unusual(population, at):
            self._hold(at)

    def registered(self, agent_id: str, population: Population, at: float, *, role: Role) -> None:
        """An agent that was not listed registered at `at`, and is reachable."""
        self._successors.forget(at - self._rules.period)
        predecessor = self._successors.registered(agent_id, role, at)
        if predecessor is not None:
            self._uncount(predecessor)
        self.changed(population, at)

    def found(self, agent_id: str) -> None:
        """The agent is reachable again."""
        self._uncount(agent_id)
        self._successors.back(agent_id)

    def removed(self, agent_id: str) -> None:
        """The agent is gone."""
        self._uncount(agent_id)
        self._successors.gone(agent_id)

    def acknowledged(self, revision: int) -> None:
        """All losses up to `revision` have been acknowledged."""
        if revision <= self._acknowledged:
            return
        self._acknowledged = revision
        for agent_id, (_, lost_by) in list(self._recent.items()):
            if lost_by <= revision:
                self._recent.pop(agent_id)
        for agent_id, held in list(self._held.items()):
            if held.revision <= revision:
                del self._held[agent_id]

    # --- what it decides -------------------------------------------------------------------------

    def held_until(self, agent_id: str) -> float:
        """Until when the agent may not be removed; NEVER when it may be."""
        held = self._held.get(agent_id)
        return NEVER if held is None else min(held.until, self._grace_until)

    def active(self, now: float) -> bool:
        """Whether the removal of some agent is held."""
        if self._held and now >= min(self._latest, self._grace_until):
            for agent_id in list(self._held):  # what was lost until then is settled
                self._uncount(agent_id)
        return bool(self._held)

    def held(self, now: float) -> dict[str, float]:
        """The agents whose removal is held at `now`, and until when."""
        ends = {agent_id: self.held_until(agent_id) for agent_id in self._held}
        return {agent_id: until for agent_id, until in ends.items() if until > now}

    # --- within ----------------------------------------------------------------------------------

    def _uncount(self, agent_id: str) -> None:
        self._recent.pop(agent_id, None)
        self._held.pop(agent_id, None)

    def _is_many(self, number: float, population: Population) -> bool:
        return number >= MIN_LOST and number > self._rules.share * population.listed

    def _is_unusual(self, population: Population, at: float) -> bool:
        fewer, lost = self._most() - population.reachable, len(self._recent)
        if not self._is_many(min(lost, fewer), population):
            return False
        usual = self._usual_losses(at)
        beyond = lost - usual
        return beyond > 3 * sqrt(usual) and self._is_many(min(beyond, fewer), population)

    def _hold(self, at: float) -> None:
        rules, most = self._rules, self._most()
        hold = rules.small_hold if most <= SMALL_FLEET else rules.hold
        for agent_id in list(self._held) if self._full else ():
            if self._held[agent_id].until <= at:
                self._uncount(agent_id)
        if not self._held:
            self._latest = NEVER
        while self._not_held:
            registered_at, agent_id = self._not_held[0]
            if agent_id in self._recent and agent_id not in self._held:
                if self._full and not self._displace(registered_at):
                    break
                lost_at, revision = self._recent[agent_id]
                self._held[agent_id] = _Held(lost_at + hold, revision)
                self._latest = max(self._latest, lost_at + hold)
                self._grace_until = INFINITE
                _push(self._youngest, (-registered_at, agent_id), self._held)
            heappop(self._not_held)

    def _displace(self, registered_at: float) -> bool:
        """Hold the youngest agent no longer, if it is younger than that."""
        while self._youngest and self._youngest[0][1] not in self._held:
            heappop(self._youngest)
        if not self._youngest or -self._youngest[0][0] <= registered_at:
            return False
        del self._held[heappop(self._youngest)[1]]
        return True

    @property
    def _full(self) -> bool:
        return len(self._held) >= max(MIN_LOST, self._most())

    def _most(self) -> int:
        """How many agents were reachable at most within a period."""
        return self._reachable[0][1]

    def _end_period(self, at: float) -> None:
        """Forget what is longer ago than it counts."""
        began = at - self._rules.period
        self._successors.forget(began)
        while self._recent and next(iter(self._recent.values()))[0] <= began:
            self._recent.popitem(last=False)
        # The first number held until the second came.
        while len(self._reachable) > 1 and self._reachable[1][0] <= began:
            self._reachable.popleft()
        forgotten = began - USUAL_PERIODS * self._rules.period
        while self._losses and self._losses[0][0] <= forgotten:
            self._losses.popleft()

    def _usual_losses(self, at: float) -> float:
        """How many agents are usually lost within a period."""
        if at - self._usual_at >= _USUAL_FOR:
            self._usual_at = at
            self._usual = median(self._periods_before(at))
        return self._usual

    def _periods_before(self, at: float) -> Iterator[int]:
        """How many agents were lost in each of the periods before the present one."""
        period = self._rules.period
        ids: list[set[str]] = [set() for _ in range(USUAL_PERIODS)]
        for lost_at, agent_id in self._losses:
            periods_ago = int((at - lost_at) // period)
            if periods_ago == 0:
                break
            ids[min(periods_ago, USUAL_PERIODS) - 1].add(agent_id)
        return map(len, ids)


def _push(heap: _Heap, item: tuple[float, str], living: Container[str]) -> None:
    """Push the item; when the heap has grown large, drop agents that are not `living` first."""
    if len(heap) >= _LARGE and len(heap).bit_count() == 1:
        heap[:] = sorted({each for each in heap if each[1] in living})
    heappush(heap, item)
