"""Waiting for what tells nobody when it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 10.0
"""Seconds that anything may take which should take milliseconds."""


def wait_until(
    condition: Callable[[], Any],
    within: float = LIMIT,
    *,
    what: str = "",
    ignoring: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """Ask until the answer is true and return it; an AssertionError when time is up.

    One of the exceptions in `ignoring` is an answer too: not yet.
    """
    limit = time.monotonic() + within
    while True:
        try:
            result = condition()
        except ignoring:
            result = None
        if result:
            return result
        assert time.monotonic() < limit, f"not within {within} s: {what or condition}"
        time.sleep(0.02)


def wait_for_file(path: Path, text: str, within: float = 30.0) -> None:
    """Until a program that has been started has written this text, and nothing else."""
    wait_until(lambda: path.exists() and path.read_text() == text, within, what=f"{path}: {text}")


async def until(condition: Callable[[], Any], within: float = LIMIT) -> Any:
    """The same, for a test that is a coroutine."""
    limit = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < limit, f"not within {within} s: {condition}"
        await asyncio.sleep(0.005)
    return result
