"""On which event loop an agent's session runs: the program's, or that of a thread beside it.

A program that blocks its loop answers no ping of its hub, and its lease ends. In the thread the
session goes on: pings are answered, lost connections replaced. But heartbeats say that the program
lives, so each of them waits until the program's loop has turned. A hub that gets pongs and no
heartbeats knows that the program hangs, and says so (`heartbeat_overdue`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from agent_client.forks import belongs_elsewhere
from agent_client.loop_thread import SHARED
from agent_client.one_loop import OneLoop

T = TypeVar("T")


class SessionLoop(Protocol):
    """Where a session runs, as seen from its program's loop and from any other thread."""

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` where the session runs; to be awaited on the program's loop."""
        ...

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """The same from any thread; raises RuntimeError when the loop is closed."""
        ...

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the program's loop; called where the session runs."""
        ...

    async def program_turned(self, seconds: float) -> bool:
        """Wait until the program's loop has turned since the last call that returned True.

        False when it has not within `seconds`; awaited where the session runs.
        """
        ...


class ProgramLoop:
    """The session runs on the program's loop."""

    def __init__(self, program: asyncio.AbstractEventLoop) -> None:
        self._program = program
        self._only = OneLoop("AgentClient")
        self._only.check()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            self._only.check()
        except RuntimeError:
            coroutine.close()
            raise
        return await coroutine

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._program)
        except RuntimeError:
            coroutine.close()
            raise

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        function(*arguments)

    async def program_turned(self, seconds: float) -> bool:
        return True


class ThreadLoop:
    """The session runs in the thread that all of them share.

    `abandoned` is called there once when the program's loop is closed, and the session is not.
    """

    def __init__(
        self, program: asyncio.AbstractEventLoop, *, abandoned: Callable[[], Awaitable[None]]
    ) -> None:
        self._program = program
        self._process = os.getpid()
        self._abandoned = abandoned
        self._turned: asyncio.Future[None] | None = None
        self._leaving: asyncio.Future[None] | None = None

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if os.getpid() != self._process:
            coroutine.close()  # it will not be awaited
            raise belongs_elsewhere("AgentClient", self._process)
        return await SHARED.run(coroutine)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return SHARED.submit(coroutine)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._program.call_soon_threadsafe(function, *arguments)

    async def program_turned(self, seconds: float) -> bool:
        if self._turned is None:
            here = asyncio.get_running_loop()
            turned = here.create_future()
            try:
                self._program.call_soon_threadsafe(here.call_soon_threadsafe, _done, turned)
            except RuntimeError:
                if self._leaving is None:
                    self._leaving = asyncio.ensure_future(self._abandoned())
                await asyncio.sleep(seconds)
                return False
            self._turned = turned
        await asyncio.wait({self._turned}, timeout=seconds)
        if not self._turned.done():
            return False
        self._turned = None
        return True


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
