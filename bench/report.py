"""What a run found: figures, and what must hold; for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

Unit = Literal["", "s", "ms", "/s", "KB", "MB", "%"]

_DIGITS: dict[Unit, int] = {"": 2, "s": 2, "ms": 2, "/s": 0, "KB": 1, "MB": 1, "%": 1}


class Figure(Struct, frozen=True):
    """Something measured."""

    what: str
    value: float | int | str
    unit: Unit = ""


class Check(Struct, frozen=True):
    """Something that must hold; `detail` says what was seen."""

    what: str
    holds: bool
    detail: str = ""


class Report(Struct, kw_only=True):
    """The result of one run."""

    name: str
    title: str
    options: dict[str, Any]
    figures: list[Figure] = []
    checks: list[Check] = []

    @property
    def holds(self) -> bool:
        """Whether everything that must hold did."""
        return all(check.holds for check in self.checks)

    def figure(self, what: str, value: float | int | str, unit: Unit = "") -> None:
        """Note a figure, in `unit`."""
        self.figures.append(Figure(what, value, unit))

    def spread(self, what: str, seconds: Sequence[float]) -> None:
        """Note median, 99th percentile and maximum of some durations, in milliseconds."""
        if not seconds:
            self.figure(what, "none")
            return
        ordered = sorted(seconds)
        for name, value in (
            ("median", percentile(ordered, 0.5)),
            ("p99", percentile(ordered, 0.99)),
            ("max", ordered[-1]),
        ):
            self.figure(f"{what}, {name}", value * 1000, "ms")

    def check(self, what: str, holds: bool, detail: str = "") -> None:
        """Note whether something that must hold did."""
        self.checks.append(Check(what, holds, detail))

    def as_text(self) -> str:
        """For people: plain lines, aligned."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        width = max((len(figure.what) for figure in self.figures), default=0)
        lines = [f"{self.name}: {self.title}", f"  ({options})", ""]
        lines += [f"  {each.what:<{width}}  {_shown(each)}" for each in self.figures]
        lines += [""] if self.figures else []
        for check in self.checks:
            detail = f": {check.detail}" if check.detail else ""
            lines.append(f"  {'holds' if check.holds else 'FAILS'}  {check.what}{detail}")
        lines += ["", "everything holds" if self.holds else "NOT everything holds"]
        return "\n".join(lines)

    def as_json(self) -> str:
        """For programs: one JSON document."""
        return msgspec.json.encode({"holds": self.holds, **msgspec.to_builtins(self)}).decode()


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def listed(things: Sequence[object], limit: int = 5) -> str:
    """The first few of some things, and how many there are."""
    if not things:
        return "none"
    shown = ", ".join(str(thing) for thing in things[:limit])
    return shown if len(things) <= limit else f"{shown}, … ({len(things)} in all)"


def _shown(figure: Figure) -> str:
    value, unit = figure.value, figure.unit
    text = value if isinstance(value, str) else f"{value:,.{_DIGITS[unit]}f}"
    if isinstance(value, int):
        text = f"{value:,}"
    return f"{text}{'' if unit in ('', '%', '/s') else ' '}{unit}"
