"""The guard against mass loss: when many agents go at once, it is more often the network's fault.

When more than a share of all agents, and at least MIN_LOST of them, became unreachable within
PERIOD seconds, they are marked so, but no agent is removed before the loss is acknowledged, the
agents are back, or `hold` seconds have passed since the last such loss was noticed. When so many
are back that it is no mass loss any more, the others have `grace` seconds left to return.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MIN_LOST = 10
PERIOD = 60.0


class MassLossGuard:
    """Counts the agents that were lost lately, and decides whether removal is held.

    `share` is of the agents in the directory, from 0 to 1; `hold` and `grace` are in seconds.
    `agents` returns how many there are now.
    """

    def __init__(self, share: float, hold: float, grace: float, agents: Callable[[], int]) -> None:
        self._share = share
        self._hold = hold
        self._grace = grace
        self._agents = agents
        self._lost: OrderedDict[str, float] = OrderedDict()
        self._held: set[str] = set()
        self._not_held: set[str] = set()
        """Part of `_lost`, kept apart so that each is added once and not with every later loss."""
        self._until = 0.0
        self._returning = False
        self._revision = 0

    @property
    def lost(self) -> int:
        """How many of the agents whose loss is held are still unreachable; 0 when none is held."""
        return len(self._held)

    def turned_unreachable(self, agent_id: str, at: float, revision: int) -> None:
        """The agent became unreachable at `at`, by the change of that revision."""
        self._lost[agent_id] = at
        self._lost.move_to_end(agent_id)
        if agent_id not in self._held:
            self._not_held.add(agent_id)
        self._forget(at)
        if len(self._lost) >= MIN_LOST and len(self._lost) > self._share * self._agents():
            self._held |= self._not_held
            self._not_held.clear()
            self._until = at + self._hold
            self._returning = False
            self._revision = revision

    def found(self, agent_id: str) -> None:
        """The agent is reachable again, or gone."""
        if self._lost or self._held:  # else nothing is known of it
            self._lost.pop(agent_id, None)
            self._held.discard(agent_id)
            self._not_held.discard(agent_id)

    def acknowledged(self, revision: int) -> None:
        """All losses up to `revision` have been acknowledged."""
        if self._held and revision >= self._revision:
            self._lift()

    def holds(self, now: float) -> bool:
        """Whether no agent may be removed now; ends the hold when its reason is gone."""
        if not self._held:
            return False
        few = len(self._held) < MIN_LOST or len(self._held) <= self._share * self._agents()
        if few and not self._returning:
            self._returning = True
            self._until = min(self._until, now + self._grace)
        if now >= self._until:
            self._lift()
            return False
        return True

    def _forget(self, now: float) -> None:
        while self._lost and next(iter(self._lost.values())) <= now - PERIOD:
            agent_id, _ = self._lost.popitem(last=False)
            self._not_held.discard(agent_id)

    def _lift(self) -> None:
        # What was lost until now is settled; only later losses count again.
        self._held.clear()
        self._lost.clear()
        self._not_held.clear()
