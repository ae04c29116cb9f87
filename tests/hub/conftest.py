"""For all tests of the hub: the event loops they run on, and a hub with scripted sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tests.hub.websocket.fakes import RunningHub

ON_BOTH_LOOPS = {"net", "process", "websocket"}
"""Directories whose tests run on both loops, since the loops' transports and clocks differ."""


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.parent.name in ON_BOTH_LOOPS:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
async def hub() -> AsyncIterator[RunningHub]:
    hub = RunningHub()
    await hub.start()
    yield hub
    await hub.listener.stop(1.0)
