"""An event loop in a thread: for programs whose own loop may block, and for those without one."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_STOP_TIMEOUT = 2.0
"""Seconds that the tasks have to end when the process exits."""


class LoopThread:
    """A daemon thread that runs an event loop, started at the first `submit`.

    One is enough for a process: `SHARED`. At exit all of its tasks are cancelled, and it ends. A
    forked child has no threads of its parent: there the first `submit` starts another thread with
    a new loop, and nothing that ran in the parent goes on.
    """

    def __init__(self, name: str = "homeport") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._abandoned: list[object] = []
        atexit.register(self.stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    @property
    def current(self) -> bool:
        """Whether the caller runs in this thread, where waiting for a future would be for ever."""
        return self._thread is threading.current_thread()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `coroutine` as a task of the thread's loop; from any thread.

        Cancelling the future cancels the task. Raises RuntimeError when the process is exiting.
        """
        with self._lock:
            try:
                loop = self._loop or self._start()
            except BaseException:
                coroutine.close()
                raise
            # Within the lock: a loop that `stop` has stopped would take the task and not run it.
            return asyncio.run_coroutine_threadsafe(coroutine, loop)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the thread, and wait for it on the caller's loop.

        Cancelling this cancels the task there, and waits for its end as for a coroutine here.
        """
        task: asyncio.Task[T] | None = None

        async def begin() -> asyncio.Task[T]:
            nonlocal task
            task = asyncio.ensure_future(coroutine)
            await asyncio.wait({task})
            return task

        async def cancel() -> None:
            assert task is not None  # this runs after `begin`
            task.cancel()

        ended = asyncio.wrap_future(self.submit(begin()))
        cancelled: asyncio.CancelledError | None = None
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as error:
                if not ended.cancelled():  # else the thread was stopped
                    self.submit(cancel())
                cancelled = error
        if task is None:
            coroutine.close()  # the thread was stopped before it began
        if cancelled is not None and (ended.cancelled() or ended.result().exception() is None):
            raise cancelled
        return ended.result().result()

    def stop(self) -> None:
        """Cancel all tasks and end the thread; a later `submit` starts another one."""
        with self._lock:
            thread, loop = self._thread, self._loop
            self._thread = self._loop = None
        if thread is None or loop is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(2 * _STOP_TIMEOUT)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=(loop,), name=self._name, daemon=True)
        thread.start()  # raises RuntimeError when the interpreter is shutting down
        self._thread, self._loop = thread, loop
        return loop

    def _forked(self) -> None:
        # The selector is shared with the parent: closing the loop here would harm its loop there.
        self._abandoned.append(self._loop)
        self._lock = threading.Lock()
        self._thread = self._loop = None


SHARED = LoopThread()
"""The one of this process."""


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_STOP_TIMEOUT))
        asyncio.set_event_loop(None)
        loop.close()
