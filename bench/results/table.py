"""Results for people: a table of the goals, then the figures and checks of each report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from rich.table import Table
from rich.text import Text

from bench.results.console import WIDTH, cell, grid, heading, line, output, put, quantity, with_unit
from bench.results.document import Result
from bench.results.report import Figure, Goal, Report, Spread, Unit


def show(result: Result) -> None:
    """Print everything on stdout."""
    console = output()
    line(console, _machine(result), "dim")
    if any(report.goals for report in result.reports):
        put(console, _goals(result.reports, wide=console.width >= WIDTH))
    for report in result.reports:
        console.print(_details(report), soft_wrap=True)
    for failure in result.failures:
        line(console, f"{failure.name} could not be run: {failure.why}\n", "red")
    console.print(_verdict(result), soft_wrap=True)


def verdict(goal: Goal) -> Text:
    """Whether a goal was reached, or how far off it is."""
    if goal.must is not None and not goal.reached:
        off = abs(goal.median - goal.must) / goal.must * 100 if goal.must else 100.0
        words = f"{off:.0f}" if off >= 1 else f"{off:.1g}"
        return Text(f"{'short' if goal.higher else 'over'} by {words} %", style="bold red")
    if goal.aim is not None and goal.reaches(goal.aim):
        return Text("aim reached", style="bold green")
    if goal.must is None:
        words = "below aim" if goal.higher else "above aim"
        return Text("" if goal.aim is None else words, style="yellow")
    return Text("reached", style="green")


def bound(goal: Goal, value: float) -> str:
    """What is to be reached, such as `≥ 1.3`."""
    return f"{'≥' if goal.higher else '≤'} {with_unit(f'{value:,g}', unit_of(goal))}"


def unit_of(goal: Goal) -> Unit:
    """The unit of what is judged: a ratio has none."""
    return "" if goal.baseline else goal.unit


def _goals(reports: Sequence[Report], *, wide: bool) -> Table:
    """The table; a narrow one has room for the spread of what is judged only."""
    table = grid("goal\nvs its baseline", ("ours", "baseline", "ratio", "must\naim"), "verdict")
    for report in reports:
        if report.goals:
            heading(table, report.name)
        for goal in report.goals:
            unsure = report.busy and (goal.must is None or report.undecided(goal))
            words = Text("machine busy", style="yellow") if unsure else verdict(goal)
            table.add_row(*_row(goal, words, wide=wide))
    return table


def _row(goal: Goal, words: Text, *, wide: bool) -> tuple[Text, ...]:
    what = Text(goal.what)
    if goal.baseline:
        what.append(f"\nvs {goal.baseline}", style="dim")
        ours = [cell(each, goal.unit, ends=wide) for each in (goal.own, goal.against)]
        cells = [*ours, cell(goal.values, "")]
    else:
        cells = [cell(goal.values, goal.unit), Text(""), Text("")]
    bounds = [bound(goal, each) for each in (goal.must, goal.aim) if each is not None]
    return what, *cells, Text("\n".join(bounds)), words


def _details(report: Report) -> Text:
    options = [f"{name} {value}" for name, value in report.options.items() if value != ""]
    text = Text.assemble((report.name, "bold cyan"), f": {report.title}\n")
    text.append(f"  ({', '.join(options)})\n" if options else "", style="dim")
    if report.busy and report.others is not None:
        used = f"this machine was busy: other programs used {report.others:.2f} of a core"
        left = "no goal is judged" if report.unjudged else "only what is reached counts"
        text.append(f"  {used}, so {left}\n", style="yellow")
    text.append("\n" if report.figures else "")
    width = max((len(figure.what) for figure in report.figures), default=0)
    for each in report.figures:
        text.append(f"  {each.what:<{width}}  {_shown(each)}\n")
    text.append("\n" if report.checks else "")
    for check in report.checks:
        word, style = ("holds", "green") if check.holds else ("FAILS", "bold red")
        text.append(f"  {word}  ", style)
        text.append(f"{check.what}: {check.detail}\n" if check.detail else f"{check.what}\n")
    return text


def _shown(figure: Figure) -> str:
    value, unit = figure.value, figure.unit
    match value:
        case str():
            return value
        case int():
            return with_unit(f"{value:,}", unit)
        case float():
            return quantity(value, unit)
        case Spread():
            named = {"median": value.median, "p99": value.p99, "max": value.max}
            shown = [f"{name} {quantity(each, unit)}" for name, each in named.items()]
            return f"{', '.join(shown)} (of {value.count:,})"
        case _:
            assert_never(value)


def _machine(result: Result) -> str:
    commit = f" ({result.commit[:12]})" if result.commit else ""
    return (
        f"homeport {result.homeport}{commit}, Python {result.python}, {result.processor}, "
        f"{result.cores} cores"
    )


def _verdict(result: Result) -> Text:
    if result.holds:
        return Text("everything holds", style="bold green")
    goals = [goal for report in result.reports for goal in report.missed]
    unjudged = [goal for report in result.reports for goal in report.unjudged]
    checks = [each for report in result.reports for each in report.checks if not each.holds]
    counts = {
        "not reached": len(goals),
        "not held": len(checks),
        "could not be run": len(result.failures),
    }
    words = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if unjudged and not words and not result.interrupted:
        goals_are = "1 goal is" if len(unjudged) == 1 else f"{len(unjudged)} goals are"
        return Text(
            f"no verdict: this machine was busy, {goals_are} not judged", style="bold yellow"
        )
    return Text(f"NOT everything holds: {words or 'interrupted'}", style="bold red")
