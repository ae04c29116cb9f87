"""The user's callbacks: each call runs in a separate task, so that none delays the client."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

logger = logging.getLogger("homeport.client")

T = TypeVar("T")

Callback = Callable[[T], Awaitable[Any] | Any]
"""A function or coroutine function of one argument. A plain function must not block the loop."""


GRACE = 1.0
"""Seconds that callbacks have to end when their client is closed."""


class CallbackTasks:
    """The calls that are running."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, callback: Callback[T] | None, argument: T) -> None:
        """Start a call; an exception is logged."""
        if callback is None:
            return
        task = asyncio.create_task(_call(callback, argument), name="homeport-callback")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, seconds: float = GRACE) -> None:
        """Give the calls `seconds` to end, then cancel them.

        A callback that calls this is not waited for.
        """
        others = self._tasks - {asyncio.current_task()}
        if not others:
            return
        _, late = await asyncio.wait(others, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=seconds)


async def _call(callback: Callback[T], argument: T) -> None:
    try:
        result = callback(argument)
        if inspect.isawaitable(result):
            await result
    except Exception:
        logger.exception("the callback %r failed", callback)
