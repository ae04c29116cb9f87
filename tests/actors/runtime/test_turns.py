"""Turns: in which order work goes on, how long it holds the loop, and that all of it ends."""

from __future__ import annotations

import pytest

from actors.runtime.turns import BUDGET, SLICE, Steps, Turns, Work, complete
from homeport_protocol.errors import ProtocolError
from tests.actors.runtime.loop import Loop as BareLoop

STEP = SLICE * 0.51
"""Seconds that a step takes, in these tests: a slice has two."""


class Loop(BareLoop):
    """An event loop whose clock only steps of work move on; notes how long each turn takes."""

    def __init__(self) -> None:
        super().__init__(100.0)
        self.turns: list[float] = []
        self.reports: list[BaseException] = []
        self.work = Turns(self, lambda _name, _about, error: self.reports.append(error))
        self.done: list[tuple[str, object]] = []
        self.order: list[str] = []

    def turn(self) -> None:
        began = self.time
        super().turn()
        self.turns.append(self.time - began)

    def steps(self, name: str, count: int, cost: float = STEP) -> Steps[str]:
        """Work of so many steps, which comes to its name."""
        for _ in range(count):
            self.time += cost
            self.order.append(name)
            yield
        return name

    def start(self, name: str, count: int, cost: float = STEP, *, ahead: bool = False) -> Work[str]:
        steps = self.steps(name, count, cost)
        return self.work.start(steps, lambda got: self.done.append((name, got)), ahead=ahead)

    @property
    def finished(self) -> list[str]:
        return [name for name, _ in self.done]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_work_that_nobody_waits_before_is_done_at_once(loop: Loop) -> None:
    work = loop.start("a", 1)
    assert loop.done == [("a", "a")]
    assert work.over
    assert loop.work.waiting == 0


def test_work_of_one_turn_takes_its_budget_and_the_rest_goes_on_in_the_next(loop: Loop) -> None:
    began = loop.time
    loop.start("a", 100)
    assert BUDGET <= loop.time - began < BUDGET + 2 * STEP
    assert loop.done == []
    loop.run()
    assert loop.done == [("a", "a")]
    assert max(loop.turns) < BUDGET + 2 * STEP
    assert loop.order == ["a"] * 100


def test_all_that_begin_in_one_turn_of_the_loop_share_one_budget(loop: Loop) -> None:
    began = loop.time
    for number in range(20):
        loop.start(f"{number}", 2)
    assert loop.time - began < BUDGET + 2 * STEP
    loop.run()
    assert max(loop.turns) < BUDGET + 2 * STEP
    assert loop.finished == [f"{number}" for number in range(20)]


def test_those_who_wait_go_on_in_turn_each_for_a_slice(loop: Loop) -> None:
    for name in "abc":
        loop.start(name, 40)
    loop.order.clear()
    loop.turn()
    assert loop.order == [*"aabbccaabb"]
    loop.turn()
    assert loop.order[10:] == [*"ccaabbccaa"]


def test_who_asks_for_little_waits_for_one_round_of_the_others_and_no_longer(loop: Loop) -> None:
    for number in range(10):
        loop.start(f"dear {number}", 10_000)
    loop.turn()
    began = loop.time
    loop.start("cheap", 1)
    while "cheap" not in loop.finished:
        loop.turn()
    assert loop.time - began < 11 * (SLICE + STEP)
    assert loop.finished == ["cheap"]


def test_one_who_asks_again_and_again_gets_no_more_than_one_who_asks_once(loop: Loop) -> None:
    def again(_: object) -> None:
        loop.work.start(loop.steps("greedy", 3), again)

    loop.start("hog", 1000)
    loop.work.start(loop.steps("greedy", 3), again)
    loop.order.clear()
    for _ in range(50):
        loop.turn()
    greedy, hog = loop.order.count("greedy"), loop.order.count("hog")
    assert greedy <= hog
    assert greedy > hog / 2


def test_a_long_line_of_cheap_work_never_takes_more_than_a_budget_a_turn(loop: Loop) -> None:
    for number in range(1000):
        loop.start(f"{number}", 1)
    loop.run()
    assert max(loop.turns) < BUDGET + 2 * STEP
    assert loop.finished == [f"{number}" for number in range(1000)]


def test_work_for_many_goes_ahead_and_leaves_half_of_each_turn_to_the_others(loop: Loop) -> None:
    loop.start("hog", 1000)
    loop.start("news", 50, ahead=True)
    loop.order.clear()
    while "news" not in loop.finished:
        loop.turn()
    assert loop.order[0] == "news"
    assert 30 <= loop.order.count("hog") <= 70
    assert max(loop.turns) < BUDGET + 2 * STEP


def test_a_step_that_takes_too_long_ends_the_turn(loop: Loop) -> None:
    loop.start("a", 3, cost=2 * BUDGET)
    loop.start("b", 3, cost=2 * BUDGET)
    loop.run()
    assert max(loop.turns) == pytest.approx(2 * BUDGET)
    assert loop.order == [*"aababb"]


def test_an_attempt_comes_to_something_at_once_or_can_go_on_later(loop: Loop) -> None:
    assert loop.work.attempt(loop.steps("a", 2)) == "a"
    long = loop.steps("long", 20)
    assert loop.work.attempt(long) is None
    assert loop.work.attempt(loop.steps("b", 1)) is None, "the turn's budget is used up"
    loop.work.later(long, lambda got: loop.done.append(("long", got)))
    assert loop.work.attempt(loop.steps("c", 1)) is None, "another waits"
    loop.run()
    assert loop.done == [("long", "long")]
    assert loop.order == [*"aa", *["long"] * 20]


def test_an_attempt_raises_what_it_comes_to(loop: Loop) -> None:
    def refused() -> Steps[None]:
        yield
        raise ProtocolError("no_match", "none")

    with pytest.raises(ProtocolError):
        loop.work.attempt(refused())


def test_later_never_begins_before_it_returns(loop: Loop) -> None:
    loop.work.later(loop.steps("a", 1), lambda got: loop.done.append(("a", got)))
    assert loop.order == []
    loop.run()
    assert loop.done == [("a", "a")]


def test_cancelled_work_goes_on_no_more_and_tells_nobody(loop: Loop) -> None:
    closed: list[str] = []

    def steps() -> Steps[None]:
        try:
            yield from loop.steps("a", 1000)
        finally:
            closed.append("a")

    work = loop.work.start(steps(), lambda got: loop.done.append(("a", got)))
    loop.start("b", 4)
    work.cancel()
    assert closed == ["a"]
    work.cancel()
    loop.order.clear()
    loop.run()
    assert set(loop.order) == {"b"}
    assert loop.finished == ["b"]
    assert loop.work.waiting == 0


def test_work_may_be_cancelled_by_what_it_does_itself(loop: Loop) -> None:
    works: list[Work[None]] = []

    def steps() -> Steps[None]:
        yield
        works[0].cancel()
        yield
        raise AssertionError("it goes on")

    works.append(loop.work.later(steps(), lambda got: loop.done.append(("a", got))))
    loop.run()
    assert loop.done == []
    assert loop.reports == []
    assert loop.work.waiting == 0


def test_an_error_is_what_the_work_comes_to(loop: Loop) -> None:
    error = ProtocolError("no_match", "none")

    def steps() -> Steps[None]:
        yield
        raise error

    loop.work.start(steps(), lambda got: loop.done.append(("a", got)))
    assert loop.done == [("a", error)]
    assert loop.reports == []


def test_a_bug_is_reported_answered_and_no_concern_of_the_others(loop: Loop) -> None:
    bug = RuntimeError("bug")

    def steps() -> Steps[None]:
        yield
        raise bug

    def raises(_: object) -> None:
        raise bug

    loop.start("hog", 100)
    loop.work.start(steps(), lambda got: loop.done.append(("a", got)))
    loop.work.start(loop.steps("b", 1), raises)
    loop.start("c", 1)
    loop.run()
    name, got = loop.done[0]
    assert name == "a"
    assert isinstance(got, ProtocolError)
    assert got.code == "internal"
    assert loop.reports == [bug, bug]
    assert loop.finished == ["a", "c", "hog"]


def test_complete_does_all_and_raises_what_it_comes_to(loop: Loop) -> None:
    assert complete(loop.steps("a", 7)) == "a"

    def refused() -> Steps[None]:
        yield
        raise ProtocolError("no_match", "none")

    with pytest.raises(ProtocolError):
        complete(refused())
