"""Users' callbacks: each call in a task of its own, so that none holds up or breaks the client."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

log = logging.getLogger("homeport.client")

T = TypeVar("T")

Callback = Callable[[T], Awaitable[Any] | Any]
"""A function or coroutine function of one argument. A plain function must not block the loop."""


class CallbackTasks:
    """The calls that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, callback: Callback[T] | None, argument: T) -> None:
        """Begin a call; what it raises is logged."""
        if callback is None:
            return
        task = asyncio.create_task(_call(callback, argument), name="homeport-callback")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, seconds: float) -> None:
        """Let the calls end by themselves for `seconds`, then cancel them.

        A callback that waits here for its own end is left to run.
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
        log.exception("the callback %r failed", callback)
