"""Output on stdout: fitted and coloured for a terminal, plain in a pipe."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.results.report import Unit

WIDTH = 100  # columns where stdout is no terminal
NARROWEST = 80  # least columns of a table: in fewer there is no room for words beside the numbers
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


def output() -> Console:
    """The console for results: stdout, with colours and its width only if it is a terminal."""
    if hasattr(sys.stdout, "reconfigure"):  # a test may have replaced it
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, NARROWEST) if sys.stdout.isatty() else WIDTH
    return console


def show_json(document: bytes) -> None:
    """Print a JSON document: indented for a person at a terminal, else in one line."""
    shown = msgspec.json.format(document, indent=2 if sys.stdout.isatty() else -1)
    print(shown.decode())


def line(console: Console, words: str, style: str = "") -> None:
    """Print a line that is not cut or wrapped."""
    console.print(Text(words, style=style), soft_wrap=True)


def grid(first: str, numbers: Sequence[str], last: str) -> Table:
    """A table of one column of words, some of numbers, and one of verdicts."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(first, ratio=1, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(last, no_wrap=True)
    return table


def put(console: Console, table: Table) -> None:
    """Print a table between empty lines, without the trailing blanks that rich adds."""
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    print("", *lines, "", sep="\n")


def heading(table: Table, words: str) -> None:
    """Begin a part of a table."""
    table.add_section()
    table.add_row(Text(words, style="bold cyan"))


def cell(values: Sequence[float], unit: Unit, *, ends: bool = True) -> Text:
    """The median, and beneath it the least and the most where there are several."""
    text = Text(quantity(statistics.median(values), unit), style="bold")
    if len(values) == 1 or not ends:
        return text
    digits = _digits(max(values), unit)
    both = f"{min(values):,.{digits}f}{DASH}{max(values):,.{digits}f}"
    return text.append(f"\n{both}", style="not bold dim")


def quantity(value: float, unit: Unit) -> str:
    """A number with its unit, rounded to significant digits."""
    return with_unit(f"{value:,.{_digits(value, unit)}f}", unit)


def with_unit(number: str, unit: Unit) -> str:
    """A formatted number with its unit."""
    return f"{number}{unit}" if unit in ("", "%", "/s") else f"{number} {unit}"


def _digits(value: float, unit: Unit) -> int:
    enough = 100 if unit == "" else 1000
    return _DIGITS[unit] if abs(value) < enough else 0
