"""Starting a child process again that ended by itself: the store server, a worker.

It stands beside `errors` and `version`, because the engine and the workers both need it and neither
may import the other's folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.stdlib import BoundLogger

from hub.errors import HubError

PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each start of a process that ended by itself; the last one repeats."""

STEADY = 60.0
"""Seconds of service after which a process counts as steady, and the pauses begin anew."""


class Restarter:
    """Starts one child process again and again; `failed` is what the log says when it cannot."""

    def __init__(
        self, start: Callable[[], Awaitable[object]], logger: BoundLogger, failed: str
    ) -> None:
        self._start = start
        self._logger = logger
        self._failed = failed
        self._attempts = 0

    async def restart(self, served: float) -> None:
        """Start the process, and try again until that works; it had served for so many seconds.

        Only cancellation ends the attempts: whatever fails is logged, and may work later.
        """
        if served > STEADY:
            self._attempts = 0
        while True:
            await asyncio.sleep(PAUSES[min(self._attempts, len(PAUSES) - 1)])
            self._attempts += 1
            try:
                await self._start()
            except HubError as error:
                self._logger.error(self._failed, error=str(error))
            except Exception:
                self._logger.exception(self._failed)
            else:
                return
