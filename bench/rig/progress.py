"""Progress on stderr: moving bars at a terminal, plain lines elsewhere.

    say("connecting 1,000 agents")
    with progress("heartbeats", total=rounds) as step:
        for _ in range(rounds):
            ...
            step()

Results go to stdout; this does not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

PLAIN_EVERY = 5.0  # seconds between plain lines about the same thing

Step = Callable[..., None]
"""`step()` says that one more of the total is done, `step(3)` that three more are."""

_bars: list[Progress] = []
"""The display of bars, if there is one: all share it."""


def say(words: str) -> None:
    """Say what begins now."""
    if _bars:
        _bars[0].console.print(Text(f"… {words}", style="dim"))
    else:
        print(f"… {words}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: float) -> Iterator[Step]:
    """Show how far a thing is; may be nested, and used by several tasks at once."""
    with bars():
        if not _bars:
            yield _plain(what, total)
            return
        (shown,) = _bars
        task = shown.add_task(what, total=total)
        try:
            yield lambda count=1: shown.advance(task, count)
        finally:
            shown.remove_task(task)


@contextmanager
def bars() -> Iterator[None]:
    """At a terminal, have all bars within share one display, which is cleared at the end."""
    if _bars or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # What is printed to stdout meanwhile is the result: it must not be redirected to stderr.
    # Drawing takes time from what is measured, so it is not done often.
    console = Console(stderr=True)
    shown = Progress(
        *columns, console=console, transient=True, redirect_stdout=False, refresh_per_second=4
    )
    with shown:
        _bars.append(shown)
        try:
            yield
        finally:
            _bars.clear()


def _plain(what: str, total: float) -> Step:
    say(what)
    done, told_at = 0.0, time.monotonic()

    def step(count: float = 1) -> None:
        nonlocal done, told_at
        done += count
        if time.monotonic() - told_at >= PLAIN_EVERY and done < total:
            told_at = time.monotonic()
            say(f"{what}: {done:g} of {total:g}")

    return step
