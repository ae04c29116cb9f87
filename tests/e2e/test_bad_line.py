"""A line that breaks again and again: living agents stay reachable, and what they say arrives."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
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


async def talk(agent: AgentClient, good: asyncio.Event, seed: int) -> dict[str, Any]:
    """Say something all the time, and give some of it up. Returns the last words."""
    dice = random.Random(seed)
    last: dict[str, Any] = {}
    number = 0
    while not good.is_set():
        number += 1
        said: dict[str, Any] = {"metadata": {"said": number}}
        if dice.random() < 0.5:
            said["status"] = dice.choice(["healthy", "degraded", "unhealthy"])
        call = agent.report
        if dice.random() < 0.5:
            call, said["version"] = agent.update, str(number)  # type: ignore[assignment]
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.choice([None, 0.001, 0.1])):
                await call(**said)
        last |= said
        await asyncio.sleep(dice.uniform(0.0, 0.1))
    return last


async def test_agents_on_a_bad_line_are_never_unreachable_and_what_they_say_arrives(
    place: Place,
) -> None:
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
        talking = [talk(agents[n], good, n) for n, (_, good) in enumerate(lines)]
        words = await asyncio.gather(*talking)
        for agent, last in zip(agents, words, strict=True):
            for _ in range(200):  # the rest of what was given up is on its way
                found = await hub.get(agent.agent_id)
                if (known := {field: getattr(found, field) for field in last}) == last:
                    break
                await asyncio.sleep(0.05)
            assert known == last
        watching.cancel()
    kinds = [event.kind for event in seen]
    assert kinds.count("lost") >= AGENTS * CUTS // 2, "the line broke"
    assert [
        event.agent.health.reason for event in seen if event.agent.status == "unreachable"
    ] == []
