"""The report of a scenario: figures, goals, and what must hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from bench.errors import BenchError

Unit = Literal["", "s", "ms", "µs", "/s", "B", "KB", "MB", "%"]

BUSY = 0.1
"""Share of a core that other programs may use while goals are judged."""


class Spread(Struct, frozen=True):
    """The distribution of a figure."""

    count: int
    median: float
    p99: float
    max: float


class Figure(Struct, frozen=True):
    """Something measured."""

    what: str
    value: float | int | str | Spread
    unit: Unit = ""


class Check(Struct, frozen=True):
    """Something that must hold; `detail` is what was seen."""

    what: str
    holds: bool
    detail: str = ""


class Goal(Struct, frozen=True):
    """A figure that must reach something; `values` has one for each round.

    Where `baseline` says against what, the values are ratios, ours to the baseline's of the same
    round, and `own` and `against` hold both in `unit`. Else the values are in `unit`. The median
    counts. `must` and `aim` are lower bounds where `higher` is better, else upper bounds.
    """

    what: str
    values: list[float]
    unit: Unit
    must: float | None = None
    aim: float | None = None
    higher: bool = True
    baseline: str = ""
    own: list[float] = []
    against: list[float] = []

    def __post_init__(self) -> None:
        measured = (self.values, self.own, self.against) if self.baseline else (self.values,)
        if not self.values or {len(each) for each in measured} != {len(self.values)}:
            raise ValueError("a goal has a value for each round, and so has its baseline")

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    def reaches(self, bound: float) -> bool:
        """Whether the median is on the right side of this bound."""
        return self.median >= bound if self.higher else self.median <= bound

    @property
    def reached(self) -> bool:
        """Whether it is what it must be, if anything."""
        return self.must is None or self.reaches(self.must)


class Curve(Struct, frozen=True):
    """Figures along an axis, for charts: a growth curve, or latencies by percentile."""

    what: str
    x: str
    y: str
    points: list[tuple[float, float]]


class Report(Struct, kw_only=True):
    """The result of one run.

    Goals of a hub that is there already, at a `url`, have no bounds: what it can reach depends on
    where it runs and how far away that is. `others` is the share of a core that programs which are
    none of the bench used meanwhile, None where that is not known.
    """

    name: str
    title: str
    options: dict[str, Any]
    figures: list[Figure] = []
    checks: list[Check] = []
    goals: list[Goal] = []
    curves: list[Curve] = []
    others: float | None = None

    @property
    def busy(self) -> bool:
        """Whether other programs used too much of the machine for goals to be judged."""
        return self.others is not None and self.others > BUSY

    @property
    def unjudged(self) -> list[Goal]:
        """The goals that must be reached, where the machine was too busy to say."""
        return [goal for goal in self.goals if self.undecided(goal)]

    def undecided(self, goal: Goal) -> bool:
        """Whether the machine was too busy to say if it reaches this goal.

        A figure by itself that is reached beside other programs is reached without them as well;
        a ratio need not be.
        """
        if not self.busy or goal.must is None:
            return False
        return bool(goal.baseline) or not goal.reached

    @property
    def missed(self) -> list[Goal]:
        """The goals that were not reached, on a machine that could have reached them."""
        return [] if self.busy else [goal for goal in self.goals if not goal.reached]

    @property
    def holds(self) -> bool:
        """Whether all checks hold, and all goals could be judged and are reached."""
        return all(check.holds for check in self.checks) and not (self.missed or self.unjudged)

    def goal(
        self,
        what: str,
        own: Sequence[float],
        against: Sequence[float] = (),
        *,
        unit: Unit,
        baseline: str = "",
        must: float | None = None,
        aim: float | None = None,
        higher: bool = True,
    ) -> None:
        """Note a figure that must reach something, once for each round.

        With a `baseline`, `against` is what that reached in the same rounds, and the ratio counts.
        Raises BenchError where that reached nothing.
        """
        must, aim = (None, None) if self.options.get("url") else (must, aim)
        values = list(own)
        if baseline:
            if not all(against):
                raise BenchError(f"{what}: {baseline} reached nothing in at least one round")
            values = [each / other for each, other in zip(own, against, strict=True)]
        own = own if baseline else ()
        self.goals.append(
            Goal(what, values, unit, must, aim, higher, baseline, list(own), list(against))
        )

    def latencies(self, what: str, seconds: Sequence[float]) -> None:
        """Note the distribution of durations for a chart: milliseconds by percentile."""
        ordered = sorted(each * 1000 for each in seconds)
        shares = [*range(1, 100), 99.5, 99.9, 100]
        points = [(share, percentile(ordered, share / 100)) for share in shares] if ordered else []
        self.curves.append(Curve(what, "percentile", "ms", points))

    def growth(self, what: str, x: str, y: str, points: Sequence[tuple[float, float]]) -> None:
        """Note a figure along an axis, for a chart."""
        self.curves.append(Curve(what, x, y, list(points)))

    def figure(self, what: str, value: float | int | str, unit: Unit = "") -> None:
        """Note a figure, in `unit`."""
        self.figures.append(Figure(what, value, unit))

    def spread(self, what: str, seconds: Sequence[float]) -> None:
        """Note the distribution of durations, in milliseconds."""
        if not seconds:
            self.figure(what, "none")
            return
        ordered = sorted(each * 1000 for each in seconds)
        spread = Spread(
            len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1]
        )
        self.figures.append(Figure(what, spread, "ms"))

    def check(self, what: str, holds: bool, detail: str = "") -> None:
        """Note whether something holds that must."""
        detail = "" if holds and detail in ("none", "0") else detail
        self.checks.append(Check(what, holds, detail))

    def none(self, what: str, things: Sequence[object] | int, detail: str = "") -> None:
        """Note a check that there are none of these, or that their count is 0."""
        found = str(things) if isinstance(things, int) else listed(things)
        self.check(what, not things, detail or found)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the sorted values does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def listed(things: Sequence[object], limit: int = 5) -> str:
    """The first few of some things, and how many there are."""
    if not things:
        return "none"
    shown = ", ".join(str(thing) for thing in things[:limit])
    return shown if len(things) <= limit else f"{shown}, … ({len(things)} in all)"
