"""A scenario that is run several times over, and reported as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import structs

from bench.results.report import Check, Goal, Report
from bench.rig.progress import say


async def repeat(report: Report, rounds: int, once: Callable[[Report], Awaitable[None]]) -> None:
    """Do it `rounds` times, each time into an empty report, and sum them up in `report`.

    Goals have a value for each round, a check holds where it did in all rounds, and the figures
    and curves are those of the last one.
    """
    reports: list[Report] = []
    for number in range(rounds):
        if rounds > 1:
            say(f"round {number + 1} of {rounds}")
        reports.append(Report(name=report.name, title=report.title, options=report.options))
        await once(reports[-1])
    report.figures += reports[-1].figures
    report.curves += reports[-1].curves
    checks = zip(*(one.checks for one in reports), strict=True)
    report.checks += [_summed_up(each) for each in checks]
    report.goals += [_joined(each) for each in zip(*(one.goals for one in reports), strict=True)]


def _summed_up(checks: tuple[Check, ...]) -> Check:
    """The first that failed, else the last."""
    for number, check in enumerate(checks, 1):
        if not check.holds:
            return structs.replace(check, detail=f"round {number}: {check.detail}")
    return checks[-1]


def _joined(goals: tuple[Goal, ...]) -> Goal:
    values = [value for goal in goals for value in goal.values]
    return structs.replace(goals[0], values=values)
