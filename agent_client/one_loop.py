"""A client's connections belong to the event loop in which it is first used, and to no other."""

from __future__ import annotations

import asyncio
import os

from agent_client.forks import belongs_elsewhere

HUB_INSTEAD = ", or use agent_client.Hub, which works in every thread and without a loop"


class OneLoop:
    """The event loop of one `owner`, which the errors name; `instead` is what else to do."""

    def __init__(self, owner: str, instead: str = "") -> None:
        self._owner = owner
        self._instead = instead
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    @property
    def elsewhere(self) -> bool:
        """Whether the loop is one of the process from which this one was forked."""
        return self._process not in (0, os.getpid())

    @property
    def closed(self) -> bool:
        """Whether the loop has been closed, and everything on it has ended."""
        return self._loop is not None and self._loop.is_closed()

    def check_process(self) -> None:
        """Raise RuntimeError in a child of the process of the first call."""
        if self.elsewhere:
            raise belongs_elsewhere(self._owner, self._process)

    def check(self) -> None:
        """Raise RuntimeError unless the running loop is the one of the first call."""
        here = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._process = here, os.getpid()
        self.check_process()
        if here is self._loop:
            return
        if self.closed:
            whose = "an event loop that is closed, such as that of an earlier asyncio.run()"
        else:
            whose = "another event loop, which may be another thread's"
        raise RuntimeError(
            f"this {self._owner} belongs to {whose}: make one within each asyncio.run()"
            f"{self._instead}"
        )
