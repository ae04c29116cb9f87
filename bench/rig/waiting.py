"""Waiting for conditions, and for many things that are done side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from bench.errors import BenchError

A = TypeVar("A")
B = TypeVar("B")


async def until(
    what: str,
    done: Callable[[], bool] | Callable[[], Awaitable[bool]],
    seconds: float,
    *,
    every: float = 0.01,
) -> float:
    """Poll until `done`; returns when that was (`time.monotonic()`).

    Raises BenchError when it does not happen within so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        answer = done()
        if answer if isinstance(answer, bool) else await answer:
            return time.monotonic()
        if time.monotonic() > end:
            raise BenchError(f"not seen within {seconds:g} s: {what}")
        await asyncio.sleep(every)


async def side_by_side(
    things: Iterable[A], act: Callable[[A], Awaitable[B]], at_once: int
) -> list[B]:
    """Do it for all things, at most `at_once` at a time; returns the results in their order.

    The first failure is raised as it is, and ends the others.
    """
    waiting = enumerate(things)
    results: dict[int, B] = {}

    async def take() -> None:
        for number, thing in waiting:
            results[number] = await act(thing)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(take())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[number] for number in sorted(results)]


def shares(total: int, parts: int) -> list[int]:
    """`total` in so many parts, which differ by one at most."""
    return [total // parts + (number < total % parts) for number in range(parts)]
