"""What the soak makes of what it saw."""

from __future__ import annotations

import pytest

from bench.faults.soak.leftovers import GAUGES, Held, judge_held, reason_of
from bench.faults.soak.soak import judge_memory
from bench.results.report import Report


def report() -> Report:
    return Report(name="soak", title="", options={})


@pytest.mark.parametrize("name", GAUGES)
def test_one_more_than_at_first_is_left_over(name: str) -> None:
    first = Held(dict.fromkeys(GAUGES, 3))
    last = Held({**first.counts, name: 4})
    told = report()
    judge_held(told, first, last)

    assert last.beyond(first) == [name]
    assert [each.what for each in told.checks if not each.holds] == [f"no {GAUGES[name]} left over"]


def test_fewer_than_at_first_are_not() -> None:
    first = Held(dict.fromkeys(GAUGES, 3))
    assert Held(dict.fromkeys(GAUGES, 2)).beyond(first) == []


@pytest.mark.parametrize(
    ("key", "runs_out", "known"),
    [
        ("agents:log", False, True),
        ("agents:log", True, False),
        ("agents:active", False, False),
        ("agent:0b3c", True, False),
        ("epoch:0b3c", True, True),
        ("epoch:0b3c", False, False),
        ("{passing-1}:agents:log", True, True),
        ("{passing-1}:agents:log", False, False),
        ("{passing-1}:agent:0b3c", True, False),
    ],
)
def test_a_key_is_left_over_unless_it_is_kept_by_design(
    key: str, runs_out: bool, known: bool
) -> None:
    assert (reason_of(key, runs_out=runs_out) is not None) is known


def test_memory_that_grows_after_the_first_minutes_is_noticed_and_what_comes_before_is_not() -> (
    None
):
    for growth, reached in ((0.03, True), (0.10, False)):
        samples = [
            (at, 50e6 if at < 300 else 100e6 * (1 + growth * (at - 300) / 600))
            for at in range(0, 900, 2)
        ]
        told = report()
        judge_memory(told, 900.0, samples)
        (goal,) = told.goals
        assert goal.reached is reached


def test_memory_of_a_short_run_is_not_judged() -> None:
    told = report()
    judge_memory(told, 120.0, [(at, at * 1e6) for at in range(120)])

    assert told.goals == []
    assert "not judged" in str(told.figures[0].value)
