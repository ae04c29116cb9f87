"""`run`: asyncio.run for agents, which SIGTERM and Ctrl-C end cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Self, TypeVar

from agent_client.leaving import LEAVE_TIMEOUT, LEAVING, end_by

T = TypeVar("T")

_Handler = Callable[[int, FrameType | None], Any] | int | None


def run(
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
) -> T:
    """Run a coroutine function or a coroutine as `asyncio.run` does, and return its result.

        async def main() -> None:
            async with AgentClient(name="cost-1", type="cost") as agent:
                ...

        run(main)

    SIGTERM and SIGINT (Ctrl-C) cancel it, so that every `async with` is left: agents unregister
    within a second, those that are open without a context too. Then the process ends without a
    traceback: by SIGTERM, as it would have, or with exit status 130 (`SystemExit`) after SIGINT. A
    second signal ends it at once. An exception that is raised on the way out is raised here.

    A signal that somebody else handles or ignores is left alone. So are all signals outside the
    main thread. Within a running event loop (a notebook, for instance) this raises RuntimeError:
    there, await the coroutine.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "run() cannot be called within a running event loop: await the coroutine"
        )
    with _Signals() as signals:
        try:
            with asyncio.Runner(debug=debug) as runner:
                result = runner.run(signals.cancelling(main() if callable(main) else main))
            if signals.first is None:
                return result
        except asyncio.CancelledError:
            if signals.first is None:
                raise
    raise _end(signals.first)


class _Signals:
    """The first SIGINT or SIGTERM cancels the task, the second has its default action."""

    def __init__(self) -> None:
        self.first: int | None = None
        self._cancel: Callable[[], object] = lambda: None
        self._before: dict[signal.Signals, _Handler] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
                self._handle(signal.SIGINT)
            if LEAVING.unhandled:  # a client that was not closed may have left its handler there
                self._handle(signal.SIGTERM)
        return self

    def __exit__(self, *_: object) -> None:
        for signum in self._ours():
            signal.signal(signum, self._before[signum])
        LEAVING.begun = False

    async def cancelling(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await it in this task, which the first signal cancels.

        Clients that are still open when a signal has ended it leave then, on the running loop.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self.first is not None:
            task.cancel()
        try:
            return await coroutine
        finally:
            if self.first is not None and (leaving := LEAVING.begin()):
                await asyncio.wait(map(asyncio.wrap_future, leaving), timeout=LEAVE_TIMEOUT)

    def _received(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child has its parent's handlers
            if signum == signal.SIGINT:
                signal.signal(signum, signal.default_int_handler)
                raise KeyboardInterrupt
            signal.signal(signum, signal.SIG_DFL)
            end_by(signum)
        self.first = signum
        LEAVING.begun = True
        for each in self._ours():
            signal.signal(each, signal.SIG_DFL)
        self._cancel()

    def _handle(self, signum: signal.Signals) -> None:
        self._before[signum] = signal.signal(signum, self._received)

    def _ours(self) -> list[signal.Signals]:
        """Whose handlers nobody has replaced since."""
        return [each for each in self._before if signal.getsignal(each) == self._received]


def _end(signum: int) -> SystemExit:
    """End the process as the signal does; the end that SIGINT has is returned, to be raised."""
    if signum != signal.SIGINT:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # nothing else does, when a signal ends the process
        end_by(signum)
    return SystemExit(128 + signum)
