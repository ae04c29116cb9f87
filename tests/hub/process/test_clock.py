"""The scheduler: on the real loops, and on a loop that fires early."""

from __future__ import annotations

import asyncio
import time

from actors.ports.clock import Scheduler
from hub.process.clock import LoopScheduler, read_clock


async def test_a_timer_never_fires_early():
    scheduler: Scheduler = LoopScheduler(asyncio.get_running_loop())
    fired: list[float] = []
    done = asyncio.Event()
    wanted = [scheduler.now() + delay / 10_000 for delay in range(0, 300, 7)]

    def note(when: float) -> None:
        fired.append(scheduler.now() - when)
        if len(fired) == len(wanted):
            done.set()

    for when in wanted:
        scheduler.call_at(when, lambda when=when: note(when))
    await asyncio.wait_for(done.wait(), 5)
    assert min(fired) >= 0


async def test_a_timer_in_the_past_fires_in_the_next_turn():
    scheduler = LoopScheduler(asyncio.get_running_loop())
    done = asyncio.Event()
    scheduler.call_at(scheduler.now() - 100, done.set)
    assert not done.is_set()
    await asyncio.wait_for(done.wait(), 5)


async def test_a_cancelled_timer_does_not_fire():
    scheduler = LoopScheduler(asyncio.get_running_loop())
    fired: list[str] = []
    done = asyncio.Event()
    timer = scheduler.call_at(scheduler.now() + 0.01, lambda: fired.append("cancelled"))
    scheduler.call_at(scheduler.now() + 0.02, done.set)
    timer.cancel()
    timer.cancel()
    await asyncio.wait_for(done.wait(), 5)
    assert fired == []


async def test_the_timers_that_wait_are_counted():
    scheduler = LoopScheduler(asyncio.get_running_loop())
    done = asyncio.Event()
    timer = scheduler.call_at(scheduler.now() + 60, lambda: None)
    fired = scheduler.call_at(scheduler.now() + 0.01, done.set)
    assert scheduler.timers == 2
    await asyncio.wait_for(done.wait(), 5)
    fired.cancel()
    assert scheduler.timers == 1
    timer.cancel()
    timer.cancel()
    assert scheduler.timers == 0


async def test_call_soon_comes_in_order_and_not_at_once():
    scheduler = LoopScheduler(asyncio.get_running_loop())
    calls: list[int] = []
    scheduler.call_soon(lambda: calls.append(1))
    scheduler.call_soon(lambda: calls.append(2))
    assert calls == []
    await asyncio.sleep(0)
    assert calls == [1, 2]


async def test_the_wall_clock_is_unix_time_and_now_goes_on_during_a_suspend():
    scheduler = LoopScheduler(asyncio.get_running_loop())
    assert abs(scheduler.wall() - time.time()) < 5
    if hasattr(time, "CLOCK_BOOTTIME"):
        assert abs(scheduler.now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
    assert read_clock() >= scheduler.now() - 5


class EarlyLoop:
    """Fires every delay at half its time, and counts."""

    class Handle:
        def __init__(self) -> None:
            self.cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    def __init__(self) -> None:
        self.time = 100.0
        self.waiting: list[tuple[float, object, EarlyLoop.Handle]] = []

    def call_later(self, delay: float, callback) -> EarlyLoop.Handle:
        handle = self.Handle()
        self.waiting.append((delay, callback, handle))
        return handle

    def fire(self) -> None:
        delay, callback, handle = self.waiting.pop(0)
        self.time += delay / 2
        if not handle.cancelled:
            callback()


def test_a_loop_that_fires_early_is_asked_again(monkeypatch):
    loop = EarlyLoop()
    monkeypatch.setattr("hub.process.clock.read_clock", lambda: loop.time)
    scheduler = LoopScheduler(loop)
    fired: list[float] = []
    scheduler.call_at(100.1, lambda: fired.append(loop.time))
    fires = 0
    while loop.waiting:
        assert fired == []
        loop.fire()
        fires += 1
    assert fired[0] >= 100.1
    assert 3 <= fires <= 12  # the rest is never so short that it spins


def test_a_timer_that_was_asked_again_can_be_cancelled(monkeypatch):
    loop = EarlyLoop()
    monkeypatch.setattr("hub.process.clock.read_clock", lambda: loop.time)
    fired: list[float] = []
    timer = LoopScheduler(loop).call_at(101.0, lambda: fired.append(loop.time))
    loop.fire()
    timer.cancel()
    loop.fire()
    assert (fired, loop.waiting) == ([], [])
