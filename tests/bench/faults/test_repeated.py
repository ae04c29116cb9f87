"""A scenario run several times over, summed up."""

from __future__ import annotations

from bench.faults.repeated import repeat
from bench.results.report import Report


async def test_a_check_holds_where_it_did_each_time_and_a_goal_has_a_value_for_each() -> None:
    values = iter([1.0, 5.0, 3.0])

    async def once(report: Report) -> None:
        value = next(values)
        report.check("always", True)
        report.check("small", value < 4, f"{value}")
        report.goal("value", [value], unit="s", must=4.0, higher=False)
        report.figure("seen", value)

    report = Report(name="x", title="", options={})
    await repeat(report, 3, once)

    assert [(each.what, each.holds, each.detail) for each in report.checks] == [
        ("always", True, ""),
        ("small", False, "round 2: 5.0"),
    ]
    (goal,) = report.goals
    assert (goal.values, goal.must, goal.reached) == ([1.0, 5.0, 3.0], 4.0, True)
    assert [each.value for each in report.figures] == [3.0]
