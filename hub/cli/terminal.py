"""Text and tables on stdout: coloured and fitted to a terminal, plain and whole for a pipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from hub.cli.columns import Column, fit, fitted, left_out, plain
from hub.cli.output import is_terminal, show


def terminal_width() -> int:
    """Columns of the terminal; `COLUMNS` says so where it is set."""
    return shutil.get_terminal_size().columns


def show_text(text: Text) -> None:
    """Print `text` with a line end at once, in colours on a terminal, where its lines must fit."""
    if not is_terminal():
        show(text.plain)
        return
    writer = console()
    with writer.capture() as capture:
        writer.print(text, soft_wrap=True)  # rich would wrap a dumb terminal at 80 columns
    click.echo(capture.get(), nl=False, color=True)  # rich has decided about colours


def show_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], summary: Sequence[Text]
) -> None:
    """Print a table; on a terminal also `summary`, and which columns there was no room for."""
    if not is_terminal():
        show("\n".join(plain(columns, rows)))
        return
    width = terminal_width()
    layout = fit(columns, rows, width)
    show_text(Text("\n").join(fitted(columns, rows, layout)))
    show_text(Text("\n") + _listed(summary, width))
    if missing := left_out(columns, rows, layout):
        missing[0] = f"left out for {width} columns: {missing[0]}"
        missing[-1] += "; --json has all"
        show_text(_listed([Text(name, style="dim") for name in missing], width))


def _listed(items: Sequence[Text], width: int) -> Text:
    """The items with commas between them, in lines of at most `width` cells."""
    text, taken = Text(), 0
    for item in items:
        if taken and taken + 2 + item.cell_len > width - 1:  # 1: a comma at the end of the line
            text.append(",\n")
            taken = 0
        elif taken:
            text.append(", ")
            taken += 2
        text.append_text(item)
        taken += item.cell_len
    return text


def console() -> Console:
    """How rich writes to the terminal."""
    # Without colours rich would go on with bold and dim.
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")
    return Console(
        force_terminal=True,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )
