"""Writing results: text for a terminal, JSON for a program."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec


def is_terminal() -> bool:
    """Whether a person reads stdout directly."""
    return sys.stdout is not None and sys.stdout.isatty()


def now() -> float:
    """Unix time, from which ages are computed."""
    return time.time()


def show(text: str) -> None:
    """Write `text` and a line end to stdout, at once."""
    click.echo(text)


def note(text: str) -> None:
    """Write a remark to stderr; a failure to write it is ignored."""
    try:
        click.echo(text, err=True)
    except OSError:
        pass


def show_json(value: Any) -> None:
    """Write `value` (Structs included) as one JSON document, at once.

    It is indented on a terminal, otherwise one line. Always UTF-8, independent of the locale.
    """
    data = msgspec.json.encode(value)
    click.echo(msgspec.json.format(data, indent=2) if is_terminal() else data)


def show_json_line(value: Any) -> None:
    """Write `value` as one line of a JSON stream, at once."""
    click.echo(msgspec.json.encode(value))
