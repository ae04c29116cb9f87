"""One hub in this process, on memory://."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub import hub as module
from hub.hub import Hub
from hub.settings import Settings
from protocol.errors import ProtocolError
from protocol.record import AgentSpec


@pytest.fixture
async def running() -> AsyncIterator[Hub]:
    hub = Hub(Settings(redis="memory://", port=0))
    await hub.start()
    yield hub
    await hub.stop()


async def until_namespaces(hub: Hub, names: set[str]) -> None:
    async with asyncio.timeout(10):
        while set(hub._namespaces) != names:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_namespace_that_nobody_uses_is_let_go_of(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NAMESPACE_IDLE", 0.1)
    empty, used = await running.namespace("empty"), await running.namespace("used")
    registered = asyncio.Event()
    used.register(AgentSpec(name="a", type="cost"), None, lambda _: registered.set())
    await registered.wait()
    await until_namespaces(running, {"default", "used"})
    store = running._namespaces["default"].store
    assert await store.namespaces() == ["default", "used"]
    again = await running.namespace("empty")
    assert again is not empty
    assert await store.namespaces() == ["default", "empty", "used"]


async def test_there_is_a_limit_of_namespaces(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_NAMESPACES", 2)
    await running.namespace("one")
    with pytest.raises(ProtocolError, match="serves 2 namespaces already") as refused:
        await running.namespace("two")
    assert refused.value.code == "unavailable"
    assert (await running.namespace("one")).ready


async def test_a_bad_name_of_a_namespace_is_refused(running: Hub) -> None:
    with pytest.raises(ProtocolError, match="namespace: 1 to 63 letters") as refused:
        await running.namespace("-no-")
    assert refused.value.code == "bad_request"
