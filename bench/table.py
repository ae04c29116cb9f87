"""Results for people: a table of the goals, and beneath it each report's figures and checks."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report import Figure, Goal, Report, Spread, Unit
from bench.result import Result

WIDTH = 100
"""Columns of what is no terminal."""

DASH = "\N{EN DASH}"

_DIGITS: dict[Unit, int] = {
    "": 2,
    "s": 2,
    "ms": 2,
    "µs": 1,
    "/s": 0,
    "B": 0,
    "KB": 1,
    "MB": 1,
    "%": 1,
}


def show(result: Result) -> None:
    """Print everything on stdout."""
    console = output()
    console.print(Text(_machine(result), style="dim"))
    if any(report.goals for report in result.reports):
        console.print(_goals(result.reports))
    for report in result.reports:
        console.print(_details(report), soft_wrap=True)
    for failure in result.failures:
        console.print(Text(f"\n{failure.name} could not be run: {failure.why}", style="red"))
    console.print(_verdict(result))


def output() -> Console:
    """Where results go: stdout, with colours and its own width only if it is a terminal."""
    if hasattr(sys.stdout, "reconfigure"):  # not what a test may have put there
        sys.stdout.reconfigure(errors="backslashreplace")
    width = None if sys.stdout.isatty() else WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def quantity(value: float, unit: Unit) -> str:
    """A number with its unit, rounded to what can be told apart."""
    behind = unit if unit in ("", "%", "/s") else f" {unit}"
    return f"{value:,.{_DIGITS[unit]}f}{behind}"


def spread(values: Sequence[float], unit: Unit) -> str:
    """From the least to the most."""
    digits = _DIGITS[unit]
    return f"{min(values):,.{digits}f}{DASH}{max(values):,.{digits}f}"


def verdict(goal: Goal) -> Text:
    """Whether a goal was reached, and by how much not."""
    if goal.must is None and goal.aim is None:
        return Text("")
    if goal.must is not None and not goal.reached:
        return Text(f"short by {_short(goal, goal.must):.0f} %", style="bold red")
    if goal.aim is None:
        return Text("reached", style="green")
    if (goal.median >= goal.aim) if goal.higher else (goal.median <= goal.aim):
        return Text("aim reached", style="bold green")
    return Text("reached", style="green")


def _short(goal: Goal, bound: float) -> float:
    return abs(goal.median - bound) / bound * 100 if bound else 100.0


def _goals(reports: Sequence[Report]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
    table.add_column("goal", overflow="fold", ratio=1)
    table.add_column("ours", justify="right")
    table.add_column("baseline", justify="right", overflow="fold")
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("must", justify="right", no_wrap=True)
    table.add_column("aim", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for report in reports:
        for goal in report.goals:
            table.add_row(*_row(report, goal))
    return table


def _row(report: Report, goal: Goal) -> tuple[Text, ...]:
    what = Text.assemble((report.name, "cyan"), "\n", goal.what)
    sign = "≥" if goal.higher else "≤"
    if goal.baseline:
        unit: Unit = ""
        ours, ratio = _cell(goal.own, goal.unit), _cell(goal.values, "")
        baseline = _cell(goal.against, goal.unit).append(f"\n{goal.baseline}", style="dim")
    else:
        unit = goal.unit
        ours, ratio, baseline = _cell(goal.values, goal.unit), Text(""), Text("")
    bounds = [
        Text("" if bound is None else f"{sign} {quantity(bound, unit)}")
        for bound in (goal.must, goal.aim)
    ]
    return what, ours, baseline, ratio, *bounds, verdict(goal)


def _cell(values: Sequence[float], unit: Unit) -> Text:
    median = quantity(statistics.median(values), unit)
    return Text.assemble((median, "bold"), "\n", (spread(values, unit), "dim"))


def _details(report: Report) -> Text:
    options = ", ".join(f"{name} {value}" for name, value in report.options.items())
    width = max((len(figure.what) for figure in report.figures), default=0)
    text = Text.assemble("\n", (report.name, "bold cyan"), f": {report.title}\n")
    if options:
        text.append(f"  ({options})\n", style="dim")
    if report.figures:
        text.append("\n")
    for each in report.figures:
        text.append(f"  {each.what:<{width}}  {_shown(each)}\n")
    if report.checks:
        text.append("\n")
    for check in report.checks:
        detail = f": {check.detail}" if check.detail else ""
        text.append(
            "  holds  " if check.holds else "  FAILS  ", "green" if check.holds else "bold red"
        )
        text.append(f"{check.what}{detail}\n")
    return text


def _shown(figure: Figure) -> str:
    value, unit = figure.value, figure.unit
    match value:
        case str():
            return value
        case int():
            return f"{value:,}{unit if unit in ('', '%', '/s') else f' {unit}'}"
        case float():
            return quantity(value, unit)
        case Spread():
            named = {"median": value.median, "p99": value.p99, "max": value.max}
            shown = [f"{name} {quantity(each, unit)}" for name, each in named.items()]
            return f"{', '.join(shown)} (of {value.count:,})"


def _machine(result: Result) -> str:
    commit = f" ({result.commit[:12]})" if result.commit else ""
    return (
        f"homeport {result.homeport}{commit}, Python {result.python}, {result.processor}, "
        f"{result.cores} cores"
    )


def _verdict(result: Result) -> Text:
    if result.holds:
        return Text("everything holds", style="bold green")
    return Text("NOT everything holds", style="bold red")
