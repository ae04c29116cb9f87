"""Running one hub as a process: its event loop and its exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import uvloop

from hub.process.hub import Hub
from hub.process.service import serve
from hub.settings import Settings, Source
from hub.telemetry import logs

logger = logs.get("hub")


def run(
    settings: Settings,
    announce: Callable[[str], None],
    source: Source,
    *,
    shared_port: bool = False,
    embedded: bool = False,
    warnings: Sequence[str] = (),
    stdout: int = 1,
) -> int:
    """Run a hub until a signal ends it; return the exit status.

    `announce` is called with one line that has the URL, once the hub listens. The settings are read
    again from `source` on SIGHUP. With `shared_port` the hub is one of several workers; `embedded`
    and `warnings` are then what its parent has to tell of the store, and `stdout` the descriptor of
    its parent's standard output. Raises HubError when it cannot start.
    """

    async def main() -> int:
        asyncio.get_running_loop().set_exception_handler(report_unhandled)
        hub = Hub(
            settings,
            source,
            shared_port=shared_port,
            embedded=embedded,
            warnings=warnings,
            stdout=stdout,
        )
        return await serve(hub, announce)

    logs.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def report_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody handled, as the loop does, but no connection that failed unwaited for.

    A connection may fail in the very turn in which whoever wanted it gives up: uvloop's future has
    the failure then, and nobody left to take it.
    """
    error, future = context.get("exception"), context.get("future")
    unwaited = future is not None and not isinstance(future, asyncio.Task)
    if unwaited and isinstance(error, OSError):
        logger.debug("a connection failed that nobody waited for", reason=str(error))
        return
    loop.default_exception_handler(context)
