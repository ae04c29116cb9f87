"""Deadlines: one heap, lazy renewal, one timer."""

from __future__ import annotations

import random
from collections.abc import Callable

from actors.ports.clock import INFINITE
from actors.runtime.deadlines import FEW, Deadlines
from tests.support.clock import VirtualClock


class Somebody:
    def __init__(self, scheduler: VirtualClock) -> None:
        self.deadline = INFINITE
        self.scheduled = INFINITE
        self.scheduler = scheduler
        self.called: list[float] = []
        self.then: Callable[[], None] = lambda: None

    def deadline_reached(self) -> None:
        self.called.append(self.scheduler.now())
        self.then()


def test_no_owner_is_called_early() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, scheduler.now() + 10)
    scheduler.advance(9.999)
    assert owner.called == []
    scheduler.advance(0.001)
    assert owner.called == [1010.0]
    assert owner.deadline == INFINITE
    scheduler.advance(1000)
    assert len(owner.called) == 1
    assert len(deadlines) == 0


def test_a_deadline_that_moves_later_pushes_nothing() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, scheduler.now() + 10)
    for _ in range(1000):
        scheduler.advance(0.5)
        deadlines.set(owner, scheduler.now() + 10)
        assert len(deadlines) == 1
    assert owner.called == []
    scheduler.advance(9.9)
    assert owner.called == []
    scheduler.advance(0.1)
    assert owner.called == [1510.0]


def test_an_owner_may_move_its_deadline_without_a_call() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, 1010.0)
    owner.deadline = 1025.0
    scheduler.advance(24.9)
    assert owner.called == []
    scheduler.advance(0.1)
    assert owner.called == [1025.0]


def test_an_owner_whose_deadline_moves_earlier_is_called_then_and_once() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, 1100.0)
    deadlines.set(owner, 1050.0)
    deadlines.set(owner, 1005.0)
    scheduler.advance(5)
    assert owner.called == [1005.0]
    scheduler.advance(500)
    assert owner.called == [1005.0], "the entries left behind call no owner"
    assert len(deadlines) == 0


def test_earlier_and_then_later_again() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, 1045.0)
    deadlines.set(owner, 1005.0)
    deadlines.set(owner, 1045.0)
    scheduler.advance(44.9)
    assert owner.called == []
    scheduler.advance(0.1)
    assert owner.called == [1045.0]
    scheduler.advance(100)
    assert owner.called == [1045.0]


def test_a_deadline_that_swings_leaves_a_bounded_heap() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    for _ in range(10_000):
        deadlines.set(owner, scheduler.now() + 45)
        scheduler.advance(0.01)
        deadlines.set(owner, scheduler.now() + 5)
        scheduler.advance(0.01)
    assert owner.called == []
    assert len(deadlines) <= 45 / 5 + 2


def test_an_owner_may_set_its_next_deadline_when_it_is_called() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    owner.then = lambda: deadlines.set(owner, scheduler.now() + 3)
    deadlines.set(owner, 1003.0)
    scheduler.advance(10)
    assert owner.called == [1003.0, 1006.0, 1009.0]
    assert len(deadlines) == 1


def test_an_owner_may_set_the_deadline_of_another() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    one, other = Somebody(scheduler), Somebody(scheduler)
    one.then = lambda: deadlines.set(other, scheduler.now())
    deadlines.set(other, 1090.0)
    deadlines.set(one, 1002.0)
    scheduler.advance(2)
    assert other.called == [1002.0]
    scheduler.advance(100)
    assert other.called == [1002.0]


def test_infinite_is_never() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, 1010.0)
    deadlines.set(owner, INFINITE)
    scheduler.advance(1000)
    assert owner.called == []
    assert len(deadlines) == 0


def test_a_fleet_is_called_in_order_each_exactly_at_its_time() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    chance = random.Random(7)
    owners = [Somebody(scheduler) for _ in range(2000)]
    due: dict[int, float] = {}
    for number in (*range(2000), *chance.choices(range(2000), k=4000)):
        due[number] = 1000 + round(chance.uniform(1, 50), 3)
        deadlines.set(owners[number], due[number])
    assert len([t for t in scheduler._heap if not t[3].cancelled]) == 1, "one timer for all"
    scheduler.advance(60)
    assert all(owner.called == [due[number]] for number, owner in enumerate(owners))
    assert len(deadlines) == 0


def test_a_deadline_in_the_past_is_called_as_soon_as_possible() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, 1005.0)
    scheduler.sleep_through(50)
    assert owner.called == [1050.0]


def test_after_clear_no_owner_is_called() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    owner = Somebody(scheduler)
    deadlines.set(owner, 1005.0)
    deadlines.clear()
    scheduler.advance(100)
    assert owner.called == []
    assert len(deadlines) == 0


def test_owners_that_ended_are_let_go_of_while_others_come_and_go() -> None:
    scheduler = VirtualClock()
    deadlines = Deadlines(scheduler)
    living = [Somebody(scheduler) for _ in range(200)]
    for number, owner in enumerate(living):
        deadlines.set(owner, scheduler.now() + 1000 + number)
    for number in range(20 * FEW):
        one = Somebody(scheduler)
        deadlines.set(one, scheduler.now() + 5000)
        if number % 3 == 0:
            deadlines.set(one, scheduler.now() + 4000)  # an earlier entry beside the first
        one.deadline = INFINITE
        assert len(deadlines) <= 2 * len(living) + FEW + 2
    assert one.called == []

    deadlines.set(one, scheduler.now() + 10)  # it comes back
    scheduler.advance(10)
    assert one.called == [1010.0]
    scheduler.advance(6000)
    assert all(owner.called == [2000.0 + number] for number, owner in enumerate(living))
    assert len(one.called) == 1
    assert len(deadlines) == 0
