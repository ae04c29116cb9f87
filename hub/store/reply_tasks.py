"""Work whose outcome goes to a callback: exactly once, later, and in every case."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from actors.ports.store import Away
from hub.store.backends.failures import STOPPING, is_bug, reason_of
from hub.telemetry import logs

T = TypeVar("T")

FINISH_TIMEOUT = 2.0
"""Seconds that work which may finish has left when the store is closed."""

logger = logs.get("hub.store")


def log_bug(error: BaseException) -> None:
    """Log a failure that is caused by neither Redis nor the network."""
    if is_bug(error):
        logger.error("the store failed in an unforeseen way", exc_info=error)


class ReplyTasks:
    """Tasks, each of which calls one callback with its result, or with Away and the reason.

    `reason` makes one plain phrase of an error.
    """

    def __init__(self, reason: Callable[[BaseException], str] = reason_of) -> None:
        self._reason = reason
        self._to_finish: set[asyncio.Task[Any]] = set()
        self._to_cancel: set[asyncio.Task[Any]] = set()
        self._closing = False

    def start(
        self,
        work: Callable[[], Awaitable[T]],
        reply: Callable[[T | Away], None],
        *,
        finish: bool = False,
    ) -> None:
        """Do the work, then call `reply`. With `finish`, `close` lets the work finish."""
        loop = asyncio.get_running_loop()
        if self._closing:
            loop.call_soon(reply, Away(STOPPING))
            return
        tasks = self._to_finish if finish else self._to_cancel
        task = loop.create_task(_awaited(work))
        tasks.add(task)
        # A done callback and not the task replies: a task that is cancelled early never runs.
        task.add_done_callback(partial(self._answer, reply, tasks))

    async def close(self) -> None:
        """Answer everything that waits; from now on the answer is Away."""
        self._closing = True
        waiting, finishing = [*self._to_cancel], [*self._to_finish]
        for task in waiting:
            task.cancel()
        if finishing:
            await asyncio.wait(finishing, timeout=FINISH_TIMEOUT)
            for task in finishing:
                task.cancel()
        await asyncio.gather(*waiting, *finishing, return_exceptions=True)

    def _answer(
        self,
        reply: Callable[[T | Away], None],
        tasks: set[asyncio.Task[Any]],
        task: asyncio.Task[T],
    ) -> None:
        tasks.discard(task)
        if task.cancelled():
            reply(Away(STOPPING))
            return
        error = task.exception()
        if error is None:
            reply(task.result())
        else:
            log_bug(error)
            reply(Away(self._reason(error)))


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
