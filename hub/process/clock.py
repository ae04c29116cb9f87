"""The clock and the timers of a hub: `actors.ports.clock.Scheduler` on an asyncio loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

SHORTEST_WAIT = 0.001
"""Seconds; uvloop rounds a shorter delay to zero, and a timer would spin."""


read_clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
"""Monotonic seconds. CLOCK_BOOTTIME continues while the machine is suspended, so a hub notices the
suspend; the loop's own clock stops meanwhile. Only Linux has it: elsewhere this is the plain
monotonic clock."""


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
        """Prevent the call of the callback; a second cancel has no effect."""
        self._handle.cancel()
        self._finish()

    def _fire(self) -> None:
        # A loop counts milliseconds (uvloop) or uses another clock than `now`, so a handle may fire
        # slightly early: wait for the rest.
        rest = self._when - self._scheduler.now()
        if rest > 0:
            self._handle = self._scheduler.loop.call_later(max(rest, SHORTEST_WAIT), self._fire)
        elif (callback := self._finish()) is not None:
            callback()

    def _finish(self) -> Callable[[], None] | None:
        callback, self._callback = self._callback, None
        if callback is not None:
            self._scheduler.timers -= 1
        return callback


class LoopScheduler:
    """Time and timers on `loop`; use it on the thread of the loop only.

    The loop's timers stop during a suspend, so afterwards they fire late by `now`, never early.
    The clocks are attributes, because a heartbeat reads them several times and a method costs more.
    """

    now: Callable[[], float]
    """Monotonic seconds from an arbitrary start; includes suspends where the system allows it."""

    wall: Callable[[], float]
    """Unix time in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.timers = 0
        """The number of timers that have neither fired nor been cancelled."""
        self.now = read_clock
        self.wall = time.time

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop's next turn."""
        self.loop.call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> LoopTimer:
        """Call `callback` at `when` on the scale of `now`; in the next turn if that has passed."""
        return LoopTimer(self, when, callback)
