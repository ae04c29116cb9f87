"""Waiting for something that nobody tells of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.errors import BenchError


async def until(
    what: str,
    done: Callable[[], bool] | Callable[[], Awaitable[bool]],
    seconds: float,
    *,
    every: float = 0.01,
) -> float:
    """Look again and again until `done`; returns when it was (`time.monotonic()`).

    Raises BenchError that it did not happen within so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        answer = done()
        if answer if isinstance(answer, bool) else await answer:
            return time.monotonic()
        if time.monotonic() > end:
            raise BenchError(f"not seen within {seconds:g} s: {what}")
        await asyncio.sleep(every)
