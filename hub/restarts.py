"""Restarting a child process that ended by itself: the store server, or a worker.

This module lies below both folders that use it: `engine` may not import `process`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.stdlib import BoundLogger

from hub.errors import HubError

PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each restart of a process; the last one repeats."""

STEADY = 60.0
"""Seconds after which a running process counts as steady, and the pauses start over."""


class Restarter:
    """Restarts one child process with `start`; `failed` is the log event when that fails."""

    def __init__(
        self, start: Callable[[], Awaitable[object]], logger: BoundLogger, failed: str
    ) -> None:
        self._start = start
        self._logger = logger
        self._failed = failed
        self._attempts = 0
        self._said, self._said_at = "", 0.0

    async def restart(self, served: float) -> None:
        """Start the process, and try again until that works; `served` is how long it ran before.

        Only cancellation ends the attempts: every failure is logged, and may be gone later.
        """
        if served > STEADY:
            self._attempts = 0
        while True:
            await asyncio.sleep(PAUSES[min(self._attempts, len(PAUSES) - 1)])
            self._attempts += 1
            try:
                await self._start()
            except HubError as error:
                self._report(str(error))
            except Exception:
                self._logger.exception(self._failed)
            else:
                return

    def _report(self, error: str) -> None:
        """Log a failure, each cause once a minute at most."""
        now = asyncio.get_running_loop().time()
        if error != self._said or now - self._said_at >= STEADY:
            self._said, self._said_at = error, now
            self._logger.error(self._failed, error=error)
