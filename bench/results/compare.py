"""`python -m bench compare A.json B.json`: what changed from one result to another.

A change is real where the rounds of the two do not overlap, from the least to the most of each;
otherwise it is noise. Figures of few rounds cannot be told apart, and neither can those of a busy
machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.results.console import cell, grid, heading, line, output, put, show_json
from bench.results.document import Result
from bench.results.report import Goal, Report, Spread, Unit

Verdict = Literal["better", "worse", "changed", "noise", "too few rounds", "machine busy"]

FEWEST = 3  # with fewer rounds of either result, nothing can be said

_MOVED = 10  # rows of the first screen, each of which may take two lines
_DIFFERENCES = 5  # lines of it

_STYLES: dict[Verdict, str] = {"better": "bold green", "worse": "bold red", "changed": "bold"}


class UnreadableError(Exception):
    """A file is no result of the bench; says which, and why."""


class Change(Struct, frozen=True):
    """Something that both results have; `change` is in percent of the first's median.

    `before` and `after` have a value for each round. The verdict is none for what has no rounds.
    """

    scenario: str
    what: str
    unit: Unit
    before: list[float]
    after: list[float]
    change: float | None
    verdict: Verdict | None


class Comparison(Struct, frozen=True):
    """What two results have in common, and what not; `differs` names other possible causes."""

    differs: list[str]
    changes: list[Change]
    only_before: list[str]
    only_after: list[str]


def main(arguments: Sequence[str], *, program: str) -> int:
    """Run the command line of `compare`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=program, description="what changed from A to B")
    parser.add_argument("before", metavar="A.json", help="what --json printed")
    parser.add_argument("after", metavar="B.json", help="what --json printed later, or elsewhere")
    parser.add_argument("--all", action="store_true", help="every figure, noise included")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    given = parser.parse_args(arguments)
    try:
        before, after = read(given.before), read(given.after)
    except UnreadableError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    comparison = compare(before, after)
    if given.json:
        show_json(msgspec.json.encode(comparison))
    else:
        show(before, after, comparison, everything=given.all)
    return 0


def read(path: str) -> Result:
    """The result in this file; raises UnreadableError."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Result)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror or error}") from None
    except msgspec.ValidationError as error:
        raise UnreadableError(f"{path} is no result of the bench: {error}") from None
    except msgspec.DecodeError as error:
        raise UnreadableError(f"{path} is not JSON: {error}") from None


def compare(before: Result, after: Result) -> Comparison:
    """Match what both have, by scenario and words."""
    old, new = _everything(before), _everything(after)
    return Comparison(
        differs=_differences(before, after),
        changes=[_change(*key, old[key], new[key]) for key in old if key in new],
        only_before=[": ".join(key) for key in old if key not in new],
        only_after=[": ".join(key) for key in new if key not in old],
    )


class _Series(Struct, frozen=True):
    """The values of one thing, and whether higher is better, where that is known."""

    values: list[float]
    unit: Unit
    higher: bool | None = None
    rounds: bool = True
    busy: bool = False


def _everything(result: Result) -> dict[tuple[str, str], _Series]:
    """By scenario and words. What was measured beside several baselines counts once."""
    found: dict[tuple[str, str], _Series] = {}
    for report in result.reports:
        for what, each in _all(report):
            found.setdefault((report.name, what), replace(each, busy=report.busy))
    return found


def _all(report: Report) -> Iterator[tuple[str, _Series]]:
    for goal in report.goals:
        yield from _of_goal(goal)
    for figure in report.figures:
        match figure.value:
            case Spread(median=value) | (int() | float() as value):
                yield figure.what, _Series([float(value)], figure.unit, rounds=False)
            case _:
                pass


def _of_goal(goal: Goal) -> Iterator[tuple[str, _Series]]:
    if not goal.baseline:
        yield goal.what, _Series(goal.values, goal.unit, goal.higher)
        return
    yield f"{goal.what}, ratio to {goal.baseline}", _Series(goal.values, "", goal.higher)
    yield f"{goal.what}, ours", _Series(goal.own, goal.unit, goal.higher)
    yield f"{goal.what}, {goal.baseline}", _Series(goal.against, goal.unit)


def _change(scenario: str, what: str, old: _Series, new: _Series) -> Change:
    base, now = statistics.median(old.values), statistics.median(new.values)
    change = (now - base) / abs(base) * 100 if base else None
    verdict = _verdict(old, new, now - base) if old.rounds else None
    return Change(scenario, what, new.unit, old.values, new.values, change, verdict)


def _verdict(old: _Series, new: _Series, change: float) -> Verdict:
    if old.busy or new.busy:
        return "machine busy"
    if min(len(old.values), len(new.values)) < FEWEST:
        return "too few rounds"
    if max(old.values) >= min(new.values) and max(new.values) >= min(old.values):
        return "noise"
    if new.higher is None:
        return "changed"
    return "better" if (change > 0) is new.higher else "worse"


def _differences(before: Result, after: Result) -> list[str]:
    names = ("homeport", "python", "platform", "processor", "cores")
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    for name in {**before.versions, **after.versions}:
        pairs[name] = before.versions.get(name), after.versions.get(name)
    old = {report.name: report.options for report in before.reports}
    for report in after.reports:
        for name, value in report.options.items() if report.name in old else ():
            pairs[f"{report.name} --{name.replace('_', '-')}"] = old[report.name].get(name), value
    return [f"{name}: {old}, now {new}" for name, (old, new) in pairs.items() if old != new]


def show(before: Result, after: Result, comparison: Comparison, *, everything: bool) -> None:
    """Print a comparison on stdout: what moved beyond noise, the furthest first, or everything."""
    console = output()
    for name, result in (("A", before), ("B", after)):
        commit = f", commit {result.commit[:12]}" if result.commit else ""
        line(console, f"{name}: {result.date}{commit}", "dim")
        busy = ", ".join(report.name for report in result.reports if report.busy)
        if busy:
            line(console, f"   this machine was busy, so there is no verdict on: {busy}", "yellow")
    if comparison.differs:
        line(console, "\nNot alike, so that a change may come from this:", "yellow")
        shown = comparison.differs if everything else comparison.differs[:_DIFFERENCES]
        for words in shown:
            line(console, f"  {words}", "yellow")
        if len(shown) < len(comparison.differs):
            line(console, f"  … and {len(comparison.differs) - len(shown)} more", "yellow")
    if not comparison.changes:
        line(console, "\nThey have nothing in common.")
    elif everything:
        put(console, _table(comparison.changes))
    else:
        _show_moved(console, comparison.changes)
    for name, missing in (("A", comparison.only_before), ("B", comparison.only_after)):
        if everything:
            for words in missing:
                line(console, f"only in {name}: {words}", "dim")
        elif missing:
            line(console, f"only in {name}: {len(missing)} figures", "dim")


def _show_moved(console: Console, changes: Sequence[Change]) -> None:
    moved = [each for each in changes if each.verdict in _STYLES]
    moved.sort(key=lambda each: -abs(each.change or 0.0))
    if moved:
        put(console, _table(moved[:_MOVED], ends=False, name_scenario=True))
    elif any(each.verdict == "noise" for each in changes):
        line(console, "\nNothing moved beyond noise.\n", "bold")
    else:
        line(console, "\nNothing could be judged.\n", "bold")
    counts = Counter(each.verdict or "without rounds" for each in changes)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    left = f"; {len(moved) - _MOVED} that moved less are left out" if len(moved) > _MOVED else ""
    line(console, f"{len(changes)} figures: {words}{left}. --all shows every one.", "dim")


def _table(changes: Sequence[Change], *, ends: bool = True, name_scenario: bool = False) -> Table:
    """The changes under headings, or, with `name_scenario`, each with its scenario before it."""
    table = grid("", ("A", "B", "change"), "verdict")
    scenario = ""
    for each in changes:
        if each.scenario != scenario and not name_scenario:
            scenario = each.scenario
            heading(table, scenario)
        style = _STYLES.get(each.verdict, "") if each.verdict else ""
        table.add_row(
            Text(f"{each.scenario}: {each.what}" if name_scenario else each.what),
            cell(each.before, each.unit, ends=ends),
            cell(each.after, each.unit, ends=ends),
            Text("" if each.change is None else f"{each.change:+.1f} %", style=style),
            Text(each.verdict or "", style=style),
        )
    return table
