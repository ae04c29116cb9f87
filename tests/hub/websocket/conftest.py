"""Every test here runs on both loops, since their transports differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from tests.hub.websocket.fakes import RunningHub


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def hub() -> AsyncIterator[RunningHub]:
    hub = RunningHub()
    await hub.start()
    yield hub
    await hub.listener.stop(1.0)
