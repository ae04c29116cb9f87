"""Charts of a result, as PNG files: goals with their bounds, latencies, and figures along an axis.

Drawn with matplotlib, which only this needs: it is imported when a chart is drawn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.results.console import quantity
from bench.results.document import Result
from bench.results.report import Curve, Goal, Report
from bench.results.table import bound, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0  # inches; 150 points each
LONGEST = 125  # characters of a goal for which there is room above its chart
OURS, MUST, AIM, QUIET = "#2563a8", "#c0392b", "#2e8b57", "#667080"
LINES = (OURS, "#e08a1e", AIM, "#8e5ea2", "#c0392b", "#17889b", "#7a6a53", QUIET)

TOP = 4.0  # the maximum on the axis of percentiles, which grows by one with each further nine

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
}


def prepare(directory: str) -> None:
    """Raise BenchError, before anything is measured, if charts cannot be drawn."""
    try:
        import matplotlib  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise BenchError(
            "charts need the package matplotlib, which is not installed; "
            "in a checkout of Homeport, run: pip install '.[bench]'"
        ) from None
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{directory} cannot be made: {error.strerror or error}") from None


def draw(result: Result, directory: str) -> list[Path]:
    """Draw what there is to draw into a directory that exists; returns the files.

    Raises BenchError when a file cannot be written.
    """
    place = Path(directory)
    drawn = []
    goals = [(report, goal) for report in result.reports for goal in report.goals]
    if goals:
        height = 0.9 * len(goals) + 0.4
        drawn.append(_save(place / "goals.png", height, partial(_goals, goals)))
    for report in result.reports:
        for name, curves in _alike(report).items():
            path = place / f"{report.name}-{name}.png"
            drawn.append(_save(path, 4.8, partial(_curves, report, curves)))
    return drawn


def _save(path: Path, height: float, fill: Callable[[Figure], None]) -> Path:
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        fill(figure)
        try:
            figure.savefig(path, dpi=150, format="png")
        except OSError as error:
            raise BenchError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def _goals(goals: Sequence[tuple[Report, Goal]], figure: Figure) -> None:
    rows = figure.subplots(len(goals), 1, squeeze=False)[:, 0]
    for axes, (report, goal) in zip(rows, goals, strict=True):
        _goal(axes, report, goal)


def _goal(axes: Axes, report: Report, goal: Goal) -> None:
    bounds = [
        (each, words, colour)
        for each, words, colour in ((goal.must, "must", MUST), (goal.aim, "aim", AIM))
        if each is not None
    ]
    what = goal.what if goal.what.startswith(report.name) else f"{report.name}: {goal.what}"
    title = f"{what}, vs {goal.baseline}" if goal.baseline else what
    axes.set_title(shorten(title, LONGEST, placeholder=" …"), fontsize=9)
    axes.barh(0, goal.median, height=0.5, color=OURS if goal.reached else MUST, alpha=0.35)
    axes.plot(goal.values, [0.0] * len(goal.values), "|", color=OURS, markersize=12)
    span = 1.25 * max([*goal.values, *(value for value, _, _ in bounds)]) or 1.0
    least = min((value for value, _, _ in bounds), default=0.0)
    for value, words, colour in bounds:
        axes.axvline(value, color=colour, linestyle="--", linewidth=1.4)
        # The labels of two close bounds stand back to back.
        side = "right" if value == least and least > 0.15 * span else "left"
        label = f" {words} {bound(goal, value)} "
        axes.text(value, 0.85, label, color=colour, fontsize=8, va="top", ha=side)
    axes.set_xlim(min(0.0, *goal.values) * 1.25, span)
    axes.set_ylim(-0.4, 0.9)
    axes.set_yticks([0], [quantity(goal.median, unit_of(goal))], fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _alike(report: Report) -> dict[str, list[Curve]]:
    """Curves with the same axes, which share a chart, by the name of its file."""
    found: dict[str, list[Curve]] = {}
    for curve in report.curves:
        if curve.points:
            name = "latency" if curve.x == "percentile" else f"{curve.y} by {curve.x}"
            name = re.sub(r"[^a-z0-9]+", "-", name.replace("/s", "per second").lower()).strip("-")
            found.setdefault(name, []).append(curve)
    return found


def _curves(report: Report, curves: Sequence[Curve], figure: Figure) -> None:
    axes = figure.subplots()
    axes.set_title(f"{report.name}: {report.title}", wrap=True)
    latencies = curves[0].x == "percentile"
    for number, curve in enumerate(curves):
        xs, ys = zip(*curve.points, strict=True)
        marker = "o" if len(xs) <= 20 else ""
        places = [_nines(x) for x in xs] if latencies else xs
        again, place = divmod(number, len(LINES))
        look: dict[str, Any] = {"color": LINES[place], "linestyle": ("-", "--", ":")[again % 3]}
        axes.plot(places, ys, marker=marker, markersize=5, label=curve.what, **look)
    _axes(axes, curves)
    if latencies:
        ticks = {0: "0", 50: "50", 90: "90", 99: "99", 99.9: "99.9", 100: "max"}
        axes.set_xticks([_nines(each) for each in ticks], list(ticks.values()))
    if len(curves) > 1:
        axes.legend()
    else:
        axes.set_title(f"{report.name}: {curves[0].what}", wrap=True)


def _axes(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_xlabel(curves[0].x)
    axes.set_ylabel({"/s": "a second", "ms": "milliseconds"}.get(curves[0].y, curves[0].y))
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    latencies = curves[0].x == "percentile"
    if not latencies and min(xs) > 0 and max(xs) >= 50 * min(xs):
        axes.set_xscale("log")
        axes.set_xticks(sorted(set(xs)), [f"{x:,g}" for x in sorted(set(xs))])
        axes.minorticks_off()
    if latencies and min(ys) > 0 and max(ys) >= 20 * min(ys):
        axes.set_yscale("log", subs=[2, 5])
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(0, max(ys) * 1.1 or 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def _nines(percentile: float) -> float:
    """The place of a percentile on its axis: 0, 90, 99 and 99.9 are equally far apart."""
    return TOP if percentile >= 100 else min(TOP, -math.log10(1 - percentile / 100))
