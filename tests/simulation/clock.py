"""One virtual clock for everybody, and each hub's own view of it."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Literal

from msgspec import Struct

START_WALL = 1_700_000_000.0
"""Unix time at the beginning of every simulation."""

Callback = Callable[[], None]


class Timer:
    """A callback that has been scheduled."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Seconds since the simulation began. What is due at the same time runs in order of asking."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sequence = 0
        self._heap: list[tuple[float, int, Callback, Timer]] = []

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callback) -> Timer:
        timer = Timer()
        self._sequence += 1
        heappush(self._heap, (max(when, self._now), self._sequence, callback, timer))
        return timer

    def call_later(self, delay: float, callback: Callback) -> Timer:
        return self.call_at(self._now + delay, callback)

    def run_until(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self._now, _, callback, timer = heappop(heap)
            if not timer.cancelled:
                callback()
        self._now = until


class _Deferred(Struct):
    kind: Literal["timer", "input"]
    callback: Callback
    timer: Timer


class HubClock:
    """The scheduler of one hub process, which can be stopped (SIGSTOP) and killed.

    Its monotonic time has an origin of its own, and its wall clock is wrong by `skew`: nothing
    may depend on either.
    """

    def __init__(self, clock: Clock, origin: float, skew: float) -> None:
        self._clock = clock
        self._origin = origin
        self._skew = skew
        self._floor = 0.0
        self._stopped = False
        self._deferred: list[_Deferred] = []
        self.dead = False

    def now(self) -> float:
        # The sum may be rounded to a hair before the time that a timer was set for.
        return max(self._clock.now() + self._origin, self._floor)

    def wall(self) -> float:
        return START_WALL + self._clock.now() + self._skew

    def call_soon(self, callback: Callback) -> None:
        timer = Timer()
        self._clock.call_at(self._clock.now(), lambda: self._run("timer", callback, timer))

    def call_at(self, when: float, callback: Callback) -> Timer:
        timer = Timer()

        def fire() -> None:
            if when <= self._clock.now() + self._origin + 0.001:
                self._floor = max(self._floor, when)
            self._run("timer", callback, timer)

        self._clock.call_at(when - self._origin, fire)
        return timer

    def deliver(self, callback: Callback) -> None:
        """Something came in over the network, now."""
        self._run("input", callback, Timer())

    def stop(self) -> None:
        """The process is stopped: nothing of it runs until `go_on`."""
        self._stopped = True

    def go_on(self, random: Random) -> None:
        """All that was due meanwhile runs now: in order of time, or timers or input first."""
        self._stopped = False
        deferred, self._deferred = self._deferred, []
        first = random.choice(["", "timer", "input"])
        if first:
            deferred.sort(key=lambda each: each.kind != first)
        for each in deferred:
            self._run(each.kind, each.callback, each.timer)

    def _run(self, kind: Literal["timer", "input"], callback: Callback, timer: Timer) -> None:
        if self.dead or timer.cancelled:
            return
        if self._stopped:
            self._deferred.append(_Deferred(kind, callback, timer))
        else:
            callback()
