"""Running a hub as a process: its event loop, its signals, its exit status."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import uvloop

from hub import logs
from hub.hub import Hub
from hub.settings import Settings

STOP_TIMEOUT = 9.5
"""Seconds after which a stop that does not come to its end is cut short."""

log = logs.get("hub")


def run(settings: Settings, announce: Callable[[str], None]) -> int:
    """Run a hub until SIGTERM or SIGINT; returns the exit status.

    `announce` is given the one line with the URL once the hub listens. Raises HubError when it
    cannot start. A second signal ends the process at once.
    """
    logs.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[str], None]) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        log.info("signal received", signal=number.name)
        stopping.set()
        loop.remove_signal_handler(number)  # the next one has its default effect

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    hub = Hub(settings)
    starting = asyncio.create_task(hub.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return 0
    url = starting.result()
    announce(f"Homeport is listening on {url}")
    await stopped
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await hub.stop()
    except TimeoutError:
        log.error("stopping took too long; ending now")
        return 1
    return 0
