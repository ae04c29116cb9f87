"""A line that breaks again and again: agents that live, at a hub that lives, stay reachable."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

from agent_client import AgentClient, Event, HubClient
from tests.support.hub_process import Place

AGENTS = 10
CUTS = 6
"""Connections of each agent that break, and as many handshakes."""


@asynccontextmanager
async def bad_line(url: str, seed: int) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to the hub: one connection is reset in its handshake, the next one soon after it.

    Yields its URL, and the event that it has become a good line.
    """
    at, dice, good = urlsplit(url), random.Random(seed), asyncio.Event()
    numbers, cuts = itertools.count(), itertools.count(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(numbers) % 2 and not good.is_set():
            with suppress(OSError, EOFError):
                await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
            return
        hub_reader, hub_writer = await asyncio.open_connection(at.hostname, at.port)

        def cut() -> None:
            if next(cuts) == CUTS:
                good.set()
            writer.transport.abort()
            hub_writer.transport.abort()

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.transport.abort()

        if not good.is_set():
            asyncio.get_running_loop().call_later(dice.uniform(1.1, 2.0), cut)
        await asyncio.gather(pump(reader, hub_writer), pump(hub_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", good


async def test_agents_whose_connections_break_often_are_never_unreachable(place: Place) -> None:
    seen: list[Event] = []

    async def look(hub: HubClient) -> None:
        async for item in hub.watch():
            if isinstance(item, Event):
                seen.append(item)

    async with (
        HubClient(place.hub.url, namespace=place.namespace) as hub,
        asyncio.timeout(120),
        AsyncExitStack() as stack,
    ):
        watching = asyncio.create_task(look(hub))
        lines = [await stack.enter_async_context(bad_line(place.hub.url, n)) for n in range(AGENTS)]
        agents = [
            await stack.enter_async_context(
                AgentClient(url, name=f"bad-line-{n}", type="cost", namespace=place.namespace)
            )
            for n, (url, _) in enumerate(lines)
        ]
        for _, good in lines:
            await good.wait()
        await asyncio.gather(*(agent.wait_connected() for agent in agents))
        for agent in agents:
            await agent.report()
        found = await hub.find(type="cost")
        watching.cancel()
    assert [agent.status for agent in found] == ["healthy"] * AGENTS
    kinds = [event.kind for event in seen]
    assert kinds.count("lost") >= AGENTS * CUTS // 2, "the line broke"
    assert [
        event.agent.health.reason for event in seen if event.agent.status == "unreachable"
    ] == []
