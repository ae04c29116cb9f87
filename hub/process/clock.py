"""The clock and the timers of a hub: `actors.ports.clock.Scheduler` on an asyncio loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

SHORTEST_WAIT = 0.001
"""Seconds; below this uvloop rounds a delay to nothing, and a timer would spin."""


read_clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
"""Monotonic seconds. CLOCK_BOOTTIME goes on while the machine is suspended, which is how a hub
notices that it slept; the loop's own clock stands still then. Elsewhere than on Linux there is
only the plain monotonic clock."""


class LoopTimer:
    """One scheduled callback; it fires once, never before its time."""

    __slots__ = ("_callback", "_handle", "_scheduler", "_when")

    def __init__(self, scheduler: LoopScheduler, when: float, callback: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._when = when
        self._callback: Callable[[], None] | None = callback
        scheduler.timers += 1
        self._handle = scheduler.loop.call_later(max(0.0, when - scheduler.now()), self._fire)

    def cancel(self) -> None:
        """The callback will not be called; a second cancel changes nothing."""
        self._handle.cancel()
        self._over()

    def _fire(self) -> None:
        # Loops keep time in milliseconds (uvloop) or on another clock than ours, so a handle may
        # fire a hair early: wait for the rest.
        rest = self._when - self._scheduler.now()
        if rest > 0:
            self._handle = self._scheduler.loop.call_later(max(rest, SHORTEST_WAIT), self._fire)
        elif (callback := self._over()) is not None:
            callback()

    def _over(self) -> Callable[[], None] | None:
        callback, self._callback = self._callback, None
        if callback is not None:
            self._scheduler.timers -= 1
        return callback


class LoopScheduler:
    """Time and timers on `loop`; use it on the loop's own thread only.

    Timers of the loop stand still during a suspend: after it they fire late by `now`, never early.
    The clocks are attributes and not methods, since a heartbeat reads them several times.
    """

    now: Callable[[], float]
    """Monotonic seconds from an arbitrary start, suspends included where the system can."""

    wall: Callable[[], float]
    """Unix time in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.timers = 0
        """How many have neither fired nor been cancelled."""
        self.now = read_clock
        self.wall = time.time

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call back in the loop's next turn."""
        self.loop.call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> LoopTimer:
        """Call back at `when` on the scale of `now`, or in the next turn if that has passed."""
        return LoopTimer(self, when, callback)
