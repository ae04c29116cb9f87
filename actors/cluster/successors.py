"""Which lost agents have been replaced: one of their name and type registered at about that time.

A program that is deployed anew, or that crashes and is started again, comes back as another agent
when it has no stable id. The old one is lost, and nobody misses it. Each new agent stands for one
lost agent, so a few that start say nothing about many that are lost.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

Role = tuple[str, str]
"""An agent's name and type."""

REMEMBERED = 5000
"""New agents that may still turn out to be successors; beyond that, the oldest are forgotten."""


_Queue = OrderedDict[str, None]  # of ids; the first of a plain dict is slow to find after many ends


class _Newcomer(Struct, gc=False):
    at: float
    role: Role
    predecessor: str | None


class _Lost(Struct, frozen=True, gc=False):
    at: float
    role: Role


class Successors:
    """Pairs lost agents with new ones, each with one at most. All steps are O(1).

    Agents of one role are paired in the order in which they came or were lost. `forget` ends what
    is too long ago to be paired.
    """

    def __init__(self) -> None:
        self._new: OrderedDict[str, _Newcomer] = OrderedDict()
        self._lost: OrderedDict[str, _Lost] = OrderedDict()
        self._free: dict[Role, _Queue] = {}
        """The new agents that stand for none yet, in order."""
        self._missing: dict[Role, _Queue] = {}
        """The lost agents that none stands for yet, in order."""
        self._successors: dict[str, str] = {}

    def registered(self, agent_id: str, role: Role, at: float) -> str | None:
        """A new agent came at `at`: returns the lost agent that it stands for."""
        predecessor = _first(self._missing, role)
        if predecessor is not None:
            self._found(predecessor)
            self._successors[predecessor] = agent_id
        else:
            self._free.setdefault(role, OrderedDict())[agent_id] = None
        self._new[agent_id] = _Newcomer(at, role, predecessor)
        if len(self._new) > REMEMBERED:
            self._leave(next(iter(self._new)))
        return predecessor

    def lost(self, agent_id: str, role: Role, at: float) -> bool:
        """The agent was lost at `at`: returns whether a new one stands for it already."""
        self.back(agent_id)
        self._leave(agent_id)
        successor = _first(self._free, role)
        if successor is None:
            self._lost[agent_id] = _Lost(at, role)
            self._missing.setdefault(role, OrderedDict())[agent_id] = None
            return False
        _remove(self._free, role, successor)
        self._new[successor].predecessor = agent_id
        self._successors[agent_id] = successor
        return True

    def back(self, agent_id: str) -> None:
        """The agent is reachable again: the one that stood for it may stand for another."""
        self._found(agent_id)
        successor = self._successors.pop(agent_id, None)
        if successor is not None:
            newcomer = self._new[successor]
            newcomer.predecessor = None
            self._free.setdefault(newcomer.role, OrderedDict())[successor] = None

    def gone(self, agent_id: str) -> None:
        """The agent was removed: it stands for none from now on, and none need stand for it."""
        self._found(agent_id)
        self._leave(agent_id)

    def forget(self, until: float) -> None:
        """What happened at `until` or before is too long ago to be paired."""
        while self._new and next(iter(self._new.values())).at <= until:
            self._leave(next(iter(self._new)))
        while self._lost and next(iter(self._lost.values())).at <= until:
            self._found(next(iter(self._lost)))

    def __len__(self) -> int:
        """How many agents it remembers."""
        return len(self._new) + len(self._lost)

    def _found(self, agent_id: str) -> None:
        lost = self._lost.pop(agent_id, None)
        if lost is not None:
            _remove(self._missing, lost.role, agent_id)

    def _leave(self, agent_id: str) -> None:
        """Whom it stood for stays replaced."""
        newcomer = self._new.pop(agent_id, None)
        if newcomer is None:
            return
        if newcomer.predecessor is None:
            _remove(self._free, newcomer.role, agent_id)
        else:
            del self._successors[newcomer.predecessor]


def _first(agents: dict[Role, _Queue], role: Role) -> str | None:
    of_role = agents.get(role)
    return None if of_role is None else next(iter(of_role))


def _remove(agents: dict[Role, _Queue], role: Role, agent_id: str) -> None:
    of_role = agents[role]
    del of_role[agent_id]
    if not of_role:
        del agents[role]
