"""Waiting for a condition by polling, where nothing notifies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 10.0
"""Seconds allowed for what should take milliseconds."""


def wait_until(
    condition: Callable[[], Any],
    within: float = LIMIT,
    *,
    what: str = "",
    ignoring: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """Poll until `condition()` is true, and return its value; AssertionError when time is up.

    An exception of a type in `ignoring` means: not yet.
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
    """Wait until a program has written exactly this text to the file."""
    wait_until(lambda: path.exists() and path.read_text() == text, within, what=f"{path}: {text}")


async def until(condition: Callable[[], Any], within: float = LIMIT) -> Any:
    """`wait_until` for coroutines."""
    limit = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < limit, f"not within {within} s: {condition}"
        await asyncio.sleep(0.005)
    return result
