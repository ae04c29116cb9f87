"""Virtual time: one clock for everybody, and how the process of one hub lives through it.

Time passes only when a test says so; everything is exact and repeatable.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Literal

from msgspec import Struct

START = 1000.0
"""The first `now` of a clock, unless a test wants another."""

START_WALL = 1_700_000_000.0
"""Unix time at that moment."""

Callback = Callable[[], None]


class Timer:
    """A callback that has been scheduled."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """`now` moves only in `advance`; callbacks due at the same time run in order of scheduling.

    With a `cost` each reading of the clock takes so many seconds: what reads it after each step
    of its work takes time.
    """

    def __init__(self, start: float = START) -> None:
        self.cost = 0.0
        self._start = start
        self._now = start
        self._sequence = 0
        self._heap: list[tuple[float, int, Callback, Timer]] = []

    def now(self) -> float:
        self._now += self.cost
        return self._now

    def wall(self) -> float:
        return START_WALL + self._now - self._start

    def call_soon(self, callback: Callback) -> None:
        self.call_at(self._now, callback)

    def call_at(self, when: float, callback: Callback) -> Timer:
        timer = Timer()
        self._sequence += 1
        heappush(self._heap, (max(when, self._now), self._sequence, callback, timer))
        return timer

    def call_later(self, delay: float, callback: Callback) -> Timer:
        return self.call_at(self._now + delay, callback)

    def advance(self, seconds: float) -> None:
        self.run_until(self._now + seconds)

    def run_until(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, _, callback, timer = heappop(heap)
            self._now = max(self._now, when)
            if not timer.cancelled:
                callback()
        self._now = max(self._now, until) if self.cost else until

    def sleep_through(self, seconds: float) -> None:
        """The process is stopped: time passes and nothing runs until afterwards."""
        self._now += seconds
        self.advance(0)


class _Deferred(Struct):
    kind: Literal["timer", "input"]
    callback: Callback
    timer: Timer


class WorkClock:
    """A process's clock as queries' work sees it: each reading of it takes `cost` seconds.

    So does each step of work, after which the clock is read; and a turn of the loop takes TURN.
    `held` is the longest time for which work held the loop, with nothing else in between.
    """

    TURN = 0.002

    def __init__(self, clock: ProcessClock, cost: float) -> None:
        self._clock = clock
        self._cost = cost
        self._spent = 0.0
        self._at = self._since = 0.0
        self.held = 0.0

    def now(self) -> float:
        at = self._clock.now()
        if at != self._at:
            self._at, self._since = at, self._spent
        self._spent += self._cost
        self.held = max(self.held, self._spent - self._since)
        return at + self._spent

    def wall(self) -> float:
        return self._clock.wall()

    def call_soon(self, callback: Callback) -> None:
        self.call_at(self._clock.now() + self.TURN, callback)

    def call_at(self, when: float, callback: Callback) -> Timer:
        return self._clock.call_at(when, callback)


class ProcessClock:
    """The scheduler of one hub process, which can be stopped (SIGSTOP) and killed.

    Its monotonic time may begin at another `origin`, and its wall clock be wrong by `skew`:
    nothing may depend on either.
    """

    def __init__(self, clock: VirtualClock, origin: float = 0.0, skew: float = 0.0) -> None:
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
        return self._clock.wall() + self._skew

    def call_soon(self, callback: Callback) -> None:
        timer = Timer()
        self._clock.call_soon(lambda: self._run("timer", callback, timer))

    def call_at(self, when: float, callback: Callback) -> Timer:
        timer = Timer()

        def fire() -> None:
            if when <= self._clock.now() + self._origin + 0.001:
                self._floor = max(self._floor, when)
            self._run("timer", callback, timer)

        self._clock.call_at(when - self._origin, fire)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        self._clock.advance(seconds)

    def deliver(self, callback: Callback) -> None:
        """Run a callback for input from the network, now."""
        self._run("input", callback, Timer())

    def kill(self) -> None:
        """SIGKILL: no callback of the process runs any more."""
        self.dead = True

    def stop(self) -> None:
        """SIGSTOP: callbacks wait until `go_on`."""
        self._stopped = True

    def go_on(self, random: Random | None = None) -> None:
        """SIGCONT: run what waited, in order of time or, with `random`, perhaps one kind first."""
        self._stopped = False
        deferred, self._deferred = self._deferred, []
        first = "" if random is None else random.choice(["", "timer", "input"])
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
