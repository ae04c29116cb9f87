"""Programs of one agent_id: supervised ones come to rest, and exclusive ones win once."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest

from agent_client import (
    AgentClient,
    CannotConnect,
    Conflict,
    Event,
    Fenced,
    HomeportError,
    HubClient,
    Snapshot,
)
from tests.support.hub_process import Hub
from tests.support.waiting import LIMIT

RESTART = 0.1
"""Seconds after which a supervisor starts its program again."""


async def supervised(
    url: str, agent_id: str, name: str, ends: list[type[HomeportError]], given_up: asyncio.Semaphore
) -> None:
    """A program that is started again whenever it ends, as a supervisor does it."""
    while True:
        try:
            async with AgentClient(
                url, name=name, type="twin", agent_id=agent_id, connect_timeout=1.0
            ) as agent:
                await agent.wait_ended()
        except HomeportError as error:
            ends.append(type(error))
            if isinstance(error, CannotConnect) and "its own agent_id" in str(error):
                given_up.release()
        await asyncio.sleep(RESTART)


async def everywhere(urls: list[str], agent_id: str) -> None:
    """Wait until every hub lists the agent."""
    async with asyncio.timeout(6 * LIMIT):
        for url in urls:
            async with HubClient(url) as hub, hub.watch() as watch:
                async for item in watch:
                    if isinstance(item, Snapshot):
                        known = any(agent.id == agent_id for agent in item.agents)
                    else:
                        known = isinstance(item, Event) and item.agent.id == agent_id
                    if known:
                        break


@pytest.fixture(params=[1, 2])
def hubs(request: pytest.FixtureRequest, start_hub: Any, start_server: Any) -> list[str]:
    redis = start_server().url
    started: list[Hub] = [start_hub("--redis", redis) for _ in range(request.param)]
    return [hub.url for hub in started]


async def test_two_supervised_programs_of_one_id_come_to_rest(hubs: list[str]) -> None:
    agent_id, ends, told = str(uuid.uuid4()), list[type[HomeportError]](), 0
    given_up = asyncio.Semaphore(0)
    async with HubClient(hubs[0]) as hub, hub.watch(type="twin") as watch:
        assert isinstance(await anext(watch), Snapshot)
        programs = [
            asyncio.create_task(
                supervised(hubs[n % len(hubs)], agent_id, f"twin-{n}", ends, given_up)
            )
            for n in range(2)
        ]
        try:
            async with asyncio.timeout(6 * LIMIT):
                await given_up.acquire()
                await given_up.acquire()
            # One of them has given up twice; the other one has had the id all that time. (A hub
            # that has not heard of the first registration takes its own for no takeover.)
            assert ends.count(Fenced) <= 2 * len(hubs) + 1
            record = await hub.get(agent_id)
            assert (record.health.connection, record.status) == ("websocket", "healthy")
        finally:
            for program in programs:
                program.cancel()
            await asyncio.wait(programs)
        async with asyncio.timeout(6 * LIMIT):
            async for item in watch:
                if isinstance(item, Event) and item.kind == "unregistered":
                    break
                told += isinstance(item, Event)
    assert told <= 2 * len(hubs) + 2


async def test_of_exclusive_programs_at_all_hubs_at_once_one_wins(hubs: list[str]) -> None:
    agent_id = str(uuid.uuid4())
    for _ in range(5):
        clients = [
            AgentClient(
                hubs[n % len(hubs)], name=f"n{n}", type="twin", agent_id=agent_id, exclusive=True
            )
            for n in range(8)
        ]
        results = await asyncio.gather(*(each.start() for each in clients), return_exceptions=True)
        winners = [each for each, result in zip(clients, results, strict=True) if result is None]
        refusals = [result for result in results if result is not None]
        assert len(winners) == 1, results
        assert all(isinstance(each, Conflict) and not each.retryable for each in refusals)
        assert winners[0].connected
        await everywhere(hubs, agent_id)
        for url in hubs:
            late = AgentClient(url, name="late", type="twin", agent_id=agent_id, exclusive=True)
            with pytest.raises(Conflict, match="end that program"):
                await late.start()
            assert over_http(url, agent_id) == 409
        assert winners[0].connected
        await winners[0].close()


def over_http(url: str, agent_id: str) -> int:
    """The status of an exclusive registration over HTTP."""
    spec = {"name": "h", "type": "twin", "host": "h", "port": 1}
    body = json.dumps({**spec, "agent_id": agent_id, "exclusive": True}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/agents/register", body, timeout=LIMIT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
