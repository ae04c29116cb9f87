"""A table of columns: fitted to a terminal's width, or whole and aligned for a pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from hub.cli.text import printable

GAP = 2
"""Blanks between two columns."""

OUTLIERS = 0.25
"""Share of a column's cells that may be cut for the sake of columns of a higher rank."""


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells of a terminal; what is left out is shown by an ellipsis."""
    if cell_len(text) <= width:
        return text
    ellipsis = "…" if printable("…") == "…" else "~"
    return set_cell_size(text, width - 1).rstrip(" ") + ellipsis if width > 0 else ""


def padded(text: str, width: int, right: bool = False) -> str:
    """`text` filled with blanks to `width` cells of a terminal."""
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a table, and what becomes of it where there is not room for all.

    Columns get room in the order of their `rank`: each as much as its texts need, `enough` at most,
    and a few long texts count for nothing, so that they do not push out other columns. What is then
    left over is given out in the same order. A column that would be narrower than `least` is left
    out; the `essential` ones are only when no other is left.
    """

    heading: str
    rank: int
    least: int
    enough: int
    essential: bool = False
    right: bool = False
    style: Callable[[str], str] = lambda cell: ""
    shorten: Callable[[str, int], str] = cut


class Layout(NamedTuple):
    """The width of each column, 0 for one that is left out."""

    widths: Sequence[int]

    @property
    def complete(self) -> bool:
        return all(self.widths)


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Layout:
    """Divide `width` cells among the columns of a table with these rows."""
    cells = [[cell_len(row[at]) for row in rows] for at in range(len(columns))]
    head = [len(column.heading) for column in columns]
    whole = [max(head[at], *cells[at], 0) for at in range(len(columns))]
    least = [min(whole[at], max(head[at], columns[at].least)) for at in range(len(columns))]
    order = sorted(range(len(columns)), key=lambda at: columns[at].rank)

    kept = [at for at in order if columns[at].essential]
    while len(kept) > 1 and sum(least[at] + GAP for at in kept) > width + GAP:
        kept.pop()
    widths = [0] * len(columns)
    for at in kept:
        widths[at] = least[at]
    room = width + GAP - sum(least[at] + GAP for at in kept)
    for at in order:
        wanted = min(whole[at], max(_usual(cells[at], columns[at].enough), least[at]))
        if widths[at]:
            more = min(wanted - widths[at], max(room, 0))
        elif not columns[at].essential and room >= least[at] + GAP:
            more = min(wanted, room - GAP)
            room -= GAP
        else:
            continue
        widths[at] += more
        room -= more
    for at in order:
        if widths[at]:
            more = min(whole[at] - widths[at], max(room, 0))
            widths[at] += more
            room -= more
    if room < 0:  # a terminal narrower than the least of the first column
        widths[order[0]] = max(widths[order[0]] + room, 1)
    return Layout(widths)


def _usual(cells: Sequence[int], enough: int) -> int:
    """The width that holds all texts but a few long ones; `enough` when many are that long."""
    held = [cell for cell in cells if cell <= enough]
    few = len(cells) - len(held) <= OUTLIERS * len(cells)
    return max(held, default=0) if few else enough


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: Layout) -> list[Text]:
    """The lines of a terminal's table: no wider than the width that `layout` was made for."""
    shown = [at for at in range(len(columns)) if layout.widths[at]]
    lines = [_line(columns, [c.heading for c in columns], layout, shown, head=True)]
    lines += [_line(columns, row, layout, shown) for row in rows]
    return lines


def left_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: Layout) -> list[str]:
    """The names of the columns for which there was no room, but for those without any text."""
    return [
        column.heading.lower()
        for at, column in enumerate(columns)
        if not layout.widths[at] and any(row[at] for row in rows)
    ]


def plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for a pipe: every column whole, `-` where a cell is empty.

    Columns are separated by two blanks or more, and no cell holds two in a row, so that both a
    person and `awk -F '  +'` can tell them apart.
    """
    table = [[column.heading for column in columns]]
    table += [[cell.replace("  ", " \\x20") or "-" for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    blanks = " " * GAP
    return [
        blanks.join(
            padded(cell, width, column.right)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip(" ")
        for row in table
    ]


def _line(
    columns: Sequence[Column],
    row: Sequence[str],
    layout: Layout,
    shown: Sequence[int],
    head: bool = False,
) -> Text:
    line = Text(no_wrap=True, overflow="ignore", end="")
    for at in shown:
        column, width = columns[at], layout.widths[at]
        cell = cut(row[at], width) if head else column.shorten(row[at], width)
        text = padded(cell, width, column.right)
        line.append(text, style="bold" if head else column.style(row[at]))
        line.append(" " * GAP)
    line.rstrip()
    return line
