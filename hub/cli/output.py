"""Writing results: text for a terminal, JSON for a program."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec

from hub.cli.text import printable_json


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

    On a terminal it is indented, and what could control the terminal is escaped as JSON does;
    otherwise it is one line, always UTF-8, independent of the locale.
    """
    data = msgspec.json.encode(value)
    click.echo(_shown(msgspec.json.format(data, indent=2)) if is_terminal() else data)


def show_json_line(value: Any) -> None:
    """Write `value` as one line of a JSON stream, at once; on a terminal escaped as `show_json`."""
    data = msgspec.json.encode(value)
    click.echo(_shown(data) if is_terminal() else data)


def _shown(document: bytes) -> bytes:
    return printable_json(document.decode()).encode()
