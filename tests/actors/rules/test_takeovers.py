"""Programs that take an id from each other: the third takeover within a minute is refused."""

from __future__ import annotations

import pytest

from actors.rules import takeovers
from actors.rules.takeovers import TakeoverRefusal, Takeovers

ID, OTHER = "a", "b"


def fought(*times: float, agent_id: str = ID) -> Takeovers:
    """What is counted after takeovers at these times, each of which was granted."""
    counted = Takeovers()
    for now in times:
        assert counted.refuse(agent_id, now) is None
        counted.taken_over(agent_id, now)
    return counted


def waits(counted: Takeovers, *times: float) -> list[float | None]:
    refusals = [counted.refuse(ID, now) for now in times]
    return [None if each is None else each.wait for each in refusals]


def test_two_takeovers_within_a_minute_are_granted_and_the_third_is_not() -> None:
    assert fought(0.0, 0.5).refuse(ID, 1.0) == TakeoverRefusal(2, 2.0, new=True)
    assert fought(0.0, 0.5).refuse(ID, 59.9) == TakeoverRefusal(2, 2.0, new=True)


def test_takeovers_that_are_a_minute_old_count_no_more() -> None:
    assert fought(0.0, 0.5).refuse(ID, 60.0) is None
    fought(0.0, 30.0, 60.0, 90.0, 120.0)  # twice a minute, for ever


def test_each_refusal_is_to_wait_longer_and_half_a_minute_at_most() -> None:
    counted = fought(0.0, 0.5)
    assert waits(counted, 1, 3, 7, 15, 31, 61, 91) == [2, 4, 8, 16, 30, 30, 30]
    assert waits(counted, *range(100, 30_000, 30)) == [30.0] * 997


def test_while_the_fight_lasts_the_holder_stays() -> None:
    counted = fought(0.0, 0.5)
    now = 1.0
    for _ in range(100):  # long after both takeovers, a supervisor starts it every five minutes
        assert counted.refuse(ID, now) is not None
        now += 300.0


def test_it_is_over_ten_minutes_after_the_last_attempt() -> None:
    counted = fought(0.0, 0.5)
    assert waits(counted, 1.0, 600.9) == [2, 4]
    assert waits(counted, 1200.9) == [None]
    counted.taken_over(ID, 1200.9)
    assert waits(counted, 1201.0) == [None], "it begins anew"


def test_ids_are_counted_apart() -> None:
    counted = fought(0.0, 0.5)
    assert counted.refuse(OTHER, 1.0) is None
    counted.taken_over(OTHER, 1.0)
    assert counted.refuse(OTHER, 1.0) is None
    assert counted.refuse(ID, 1.0) is not None


def test_a_fight_is_worth_a_line_once_a_minute() -> None:
    counted = fought(0.0, 0.5)
    refusals = [counted.refuse(ID, now) for now in (1.0, 3.0, 60.9, 61.0, 100.0, 121.0)]
    assert [each.new for each in refusals if each] == [True, False, False, True, False, True]


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeovers, "MOST_IDS", 3)
    counted = Takeovers()
    for number in range(10):
        counted.taken_over(str(number), float(number))
    assert len(counted) == 3
    assert counted.refuse("9", 10.0) is None
    counted.taken_over("7", 10.0)
    counted.taken_over("10", 11.0)
    assert counted.refuse("7", 12.0) is not None, "the one that was quiet for longest is forgotten"


def test_what_is_over_is_forgotten() -> None:
    counted = fought(0.0, 0.5)
    counted.taken_over(OTHER, 700.0)
    assert len(counted) == 1
