"""Serving until a signal: the order of start, announcement and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from hub.errors import HubError
from hub.process.signals import handle_signals
from hub.telemetry import logs

STOP_TIMEOUT = 9.5
"""Seconds after which a stop that has not finished is abandoned."""

logger = logs.get("hub")


class Service(Protocol):
    """A hub, or several."""

    async def start(self) -> str:
        """Start, and return the URL. Raises HubError, and leaves nothing running then."""
        ...

    async def failure(self) -> HubError:
        """Wait until the service cannot continue; return the reason."""
        ...

    async def stop(self) -> None:
        """Stop gracefully."""
        ...

    def reload(self) -> None:
        """Read the settings again, and take over those that may change meanwhile."""
        ...

    def report(self) -> None:
        """Log where the service is."""
        ...


async def serve(
    service: Service, announce: Callable[[str], None], *, patience: float = STOP_TIMEOUT
) -> int:
    """Serve until a signal ends it; return the exit status of the process.

    `announce` is called with one line that has the URL, once the service listens. Raises HubError
    when the service cannot start or continue. What each signal does: `hub.process.signals`. A stop
    that takes longer than `patience` seconds is abandoned.
    """
    stopping = asyncio.Event()
    handle_signals(stop=stopping.set, reload=service.reload, report=service.report)
    starting = asyncio.create_task(service.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return 0
    announce(f"Homeport is listening on {starting.result()}")
    failing = asyncio.create_task(service.failure())
    await asyncio.wait([failing, stopped], return_when=asyncio.FIRST_COMPLETED)
    failed = failing.result() if failing.done() else None
    failing.cancel()
    stopped.cancel()
    try:
        async with asyncio.timeout(patience):
            await service.stop()
    except TimeoutError:
        logger.error("stopping took too long; ending now")
        if failed is None:
            return 1
    if failed is not None:
        raise failed
    return 0
