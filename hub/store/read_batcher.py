"""Batching reads: one command for all single reads of one turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from actors.ports.store import Away

T = TypeVar("T")
Reply = Callable[[T | Away | None], None]


class Start(Protocol):
    """Does work and replies once, later; see `hub.store.reply_tasks.ReplyTasks.start`."""

    def __call__(
        self,
        work: Callable[[], Awaitable[dict[str, T]]],
        reply: Callable[[dict[str, T] | Away], None],
        /,
    ) -> None: ...


class ReadBatcher(Generic[T]):
    """Collects ids until the loop's next turn, and calls `find` with all of them.

    Each caller gets the value for its id, or None.
    """

    def __init__(self, start: Start, find: Callable[[list[str]], Awaitable[dict[str, T]]]) -> None:
        self._start = start
        self._find = find
        self._pending: list[tuple[str, Reply[T]]] | None = None

    def ask(self, name: str, reply: Reply[T]) -> None:
        """Call `reply` with the value for `name`."""
        if self._pending is None:
            pending: list[tuple[str, Reply[T]]] = []
            self._pending = pending
            self._start(partial(self._find_pending, pending), partial(self._reply, pending))
        self._pending.append((name, reply))

    async def _find_pending(self, pending: list[tuple[str, Reply[T]]]) -> dict[str, T]:
        self._pending = None  # ids that are asked from now on go into the next command
        return await self._find(list(dict.fromkeys(name for name, _ in pending)))

    def _reply(self, pending: list[tuple[str, Reply[T]]], found: dict[str, T] | Away) -> None:
        if self._pending is pending:  # the task was cancelled before it started
            self._pending = None
        loop = asyncio.get_running_loop()
        for name, reply in pending:
            # Called separately, so that a reply that raises does not affect the others.
            loop.call_soon(reply, found if isinstance(found, Away) else found.get(name))
