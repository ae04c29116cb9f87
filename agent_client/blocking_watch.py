"""A watch for threads: an iterator that blocks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from concurrent.futures import CancelledError, wait
from types import TracebackType
from typing import Self

from agent_client.forks import belongs_elsewhere
from agent_client.loop_thread import SHARED
from agent_client.watch import Watch
from agent_client.watch_items import WatchItem

_EXIT_CHECK = 0.5
"""Seconds between two looks whether the program is exiting."""


class BlockingWatch:
    """An iterator of `Snapshot`, then `Event`s, and a `Resync` where there is a gap.

    It is `Watch`, of which the items, errors and properties are, for programs without asyncio. It
    ends by `close()`, from any thread, by leaving its `with`, when its `Hub` is closed, when the
    program exits, or when the last reference to it is dropped. Threads that iterate over one watch
    get different items. After Ctrl-C it can go on: no item is lost.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._process = os.getpid()
        self._order = asyncio.Lock()
        self._items: deque[WatchItem] = deque()

    def __repr__(self) -> str:
        return repr(self._watch)

    @property
    def position(self) -> str | None:
        """Where a later watch may go on; None before the first item, unless one was given."""
        return self._watch.position

    @property
    def log(self) -> str | None:
        """The name of the log that `revision` belongs to; None before the first item."""
        return self._watch.log

    @property
    def revision(self) -> int | None:
        """The revision of the newest item; None before the first."""
        return self._watch.revision

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WatchItem:
        if self._process != os.getpid():
            raise belongs_elsewhere("watch", self._process, "begin another one here")
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the watch; a thread that waits for the next item ends its iteration."""
        if self._process == os.getpid():
            closing = SHARED.submit(self._watch.close())
            if not SHARED.current:
                wait((closing,))

    def _wait(self) -> None:
        """Wait until there may be an item; raises StopIteration when no more will come."""
        future = SHARED.submit(self._next())
        # Only the main thread's own wait ends when the program does.
        seconds = None if threading.current_thread() is threading.main_thread() else _EXIT_CHECK
        try:
            while True:
                done, _ = wait((future,), seconds)
                if done or not threading.main_thread().is_alive():
                    break
            if not done or not future.result():
                raise StopIteration
        except CancelledError:
            raise StopIteration from None  # the program is exiting
        finally:
            future.cancel()

    async def _next(self) -> bool:
        """Keep the next item; False at the end.

        So it is not lost when its thread was interrupted and this is cancelled too late.
        """
        async with self._order:
            async for item in self._watch:
                self._items.append(item)
                return True
            return False
