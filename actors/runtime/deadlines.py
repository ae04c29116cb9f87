"""All deadlines of a hub in one heap with lazy renewal, behind one timer.

A deadline that moves to a later time, as after a heartbeat, does not touch the heap: when its old
entry comes up, the deadline is read again. Only one that moves to an earlier time pushes an entry.
So a heartbeat costs O(1), and each agent of a fleet has one entry. Entries of owners that have
ended stay until they come up or the heap has doubled.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Protocol

from actors.ports.clock import INFINITE, Scheduler, Timer

FEW = 1000
"""Entries up to which the heap is not tidied."""


class Owner(Protocol):
    """An object with a deadline."""

    deadline: float
    """When to be called, on the scheduler's scale; INFINITE for never."""

    scheduled: float
    """Kept by `Deadlines`: the earliest entry in the heap, INFINITE when there is none."""

    def deadline_reached(self) -> None:
        """`deadline` has passed. To be called again, the owner calls `Deadlines.set`."""
        ...


class Deadlines:
    """Calls every owner once its deadline has passed: never early."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._heap: list[tuple[float, int, Owner]] = []
        self._sequence = 0
        self._tidy_at = FEW  # entries
        self._timer: Timer | None = None
        self._armed_for = INFINITE

    def set(self, owner: Owner, deadline: float) -> None:
        """Change the owner's deadline, to an earlier or a later time."""
        owner.deadline = deadline
        if deadline < owner.scheduled:
            self._push(owner)
            self._arm()

    def clear(self) -> None:
        """Forget everything, at shutdown."""
        self._heap.clear()
        self._arm()

    def __len__(self) -> int:
        return len(self._heap)

    def _push(self, owner: Owner) -> None:
        if len(self._heap) >= self._tidy_at:
            self._tidy()
        self._sequence += 1
        owner.scheduled = owner.deadline
        heappush(self._heap, (owner.deadline, self._sequence, owner))

    def _tidy(self) -> None:
        """Drop entries that will call no owner: they would keep it alive, maybe for minutes."""
        kept = []
        for entry in self._heap:
            when, _, owner = entry
            if when != owner.scheduled:
                continue
            if owner.deadline < INFINITE:
                kept.append(entry)
            else:
                owner.scheduled = INFINITE
        heapify(kept)
        self._heap[:] = kept
        self._tidy_at = 2 * len(kept) + FEW

    def _arm(self) -> None:
        first = self._heap[0][0] if self._heap else INFINITE
        if first == self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = first
        if first < INFINITE:
            self._timer = self._scheduler.call_at(first, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._armed_for = INFINITE
        now = self._scheduler.now()
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, owner = heappop(heap)
            if when != owner.scheduled:
                continue  # a nearer entry took this one's place
            owner.scheduled = INFINITE
            if owner.deadline <= now:
                owner.deadline = INFINITE
                owner.deadline_reached()
            elif owner.deadline < INFINITE:
                self._push(owner)
        self._arm()
