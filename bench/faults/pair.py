"""Two hubs on one Redis, agents of the real client that know both, and who watches them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from msgspec import Struct

from agent_client import AgentRecord, HubClient
from bench.errors import BenchError
from bench.faults.follower import Follower
from bench.peers.client_fleet import ClientsSpec, Held, Sessions
from bench.results.report import Report, listed
from bench.rig.machine import connections_per_process
from bench.rig.processes import HubProcess, StoreServer
from bench.rig.progress import say
from bench.rig.workers import Worker

NAMES = ("hub-a", "hub-b")
PROCESSES = 4
ASK_AGAIN = 0.25
"""Seconds between two looks at where the agents are."""

COME_BACK = 120.0
"""Seconds after which an agent that is not back fails the proof."""

BEGIN = 600.0
"""Seconds that the registration of the whole fleet may take."""


class Settled(Struct):
    """Every agent's newest session, when all had one."""

    held: dict[str, Held]

    def at(self, hub: HubProcess) -> list[Held]:
        """Those at this hub."""
        return [each for each in self.held.values() if _same_place(each.url, hub)]


class Pair:
    """The scene, as an async context; default settings, but for the names."""

    def __init__(self, stack: AsyncExitStack, directory: str, agents: int) -> None:
        self._stack = stack
        self._directory = Path(directory)
        self._agents = agents
        self._workers: list[Worker] = []
        self.hubs: list[HubProcess] = []
        self.followers: list[Follower] = []

    @classmethod
    async def start(cls, stack: AsyncExitStack, directory: str, agents: int) -> Self:
        """Start the store, the hubs and the watchers; `stack` ends them."""
        pair = cls(stack, directory, agents)
        room = connections_per_process()
        if agents > room:
            raise BenchError(
                f"one hub may have to hold all {agents:,} agents, and may hold about {room:,} "
                "connections here: raise the limit of open files (ulimit -n)"
            )
        store = await stack.enter_async_context(StoreServer(directory))
        for name in NAMES:
            place = pair._directory / name
            place.mkdir()
            hub = HubProcess(place, hub_id=name, redis=store.url)
            pair.hubs.append(await stack.enter_async_context(hub))
        for hubs in (pair.hubs, pair.hubs[::-1]):
            urls = [hub.url for hub in hubs]
            client = await stack.enter_async_context(HubClient(urls, shuffle=False))
            follower = Follower(client)
            following = asyncio.create_task(follower.follow())
            stack.callback(following.cancel)
            pair.followers.append(follower)
        return pair

    async def register(self) -> Settled:
        """Register all agents; they spread over the hubs by themselves."""
        processes = max(min(PROCESSES, self._agents), -(-self._agents // connections_per_process()))
        url = ",".join(hub.url for hub in self.hubs)
        say(f"registering {self._agents:,} agents from {processes} processes")
        for number in range(processes):
            share = self._agents // processes + (number < self._agents % processes)
            spec = ClientsSpec(url=url, name=f"client-{number}", count=share)
            self._workers.append(
                await self._stack.enter_async_context(Worker("bench.peers.client_fleet", spec))
            )
        return await self._ask("start", BEGIN)

    async def settled(self, away: HubProcess | None = None) -> Settled:
        """Wait until every agent has a session, and none at the hub that is away."""
        async with asyncio.timeout(COME_BACK):
            while True:
                told = await self._ask("rest", COME_BACK)
                if away is None or not told.at(away):
                    return told
                await asyncio.sleep(ASK_AGAIN)

    async def _ask(self, word: str, seconds: float) -> Settled:
        told = await asyncio.gather(
            *(worker.request(word, Sessions, seconds) for worker in self._workers)
        )
        return Settled({held.agent_id: held for one in told for held in one.held})

    async def directory(self, hub: HubProcess) -> dict[str, AgentRecord]:
        """Everyone, as this hub shows them."""
        async with HubClient(hub.url) as client:
            return {agent.id: agent for agent in await client.find()}

    def failures(self) -> int:
        """How many failures of their own the hubs logged."""
        return sum(hub.failures() for hub in self.hubs)


def judge_directory(
    report: Report, agents: set[str], directory: dict[str, AgentRecord], hubs: set[str]
) -> None:
    """Check that all are there, well, and held by one of these hubs."""
    missing = [agent_id for agent_id in agents if agent_id not in directory]
    report.check("every agent is in the directory", not missing, listed(missing))
    unwell = [
        f"{record.name}: {record.status}, {record.health.connection} at {record.hub}"
        for record in directory.values()
        if record.id in agents
        and (record.status != "healthy" or record.health.connection != "websocket")
    ]
    report.check("every one of them is healthy and connected", not unwell, listed(unwell))
    elsewhere = [r.name for r in directory.values() if r.id in agents and r.hub not in hubs]
    report.check(f"held by {' or '.join(sorted(hubs))}", not elsewhere, listed(elsewhere))


def judge_sessions(report: Report, who: str, before: list[Held], after: Settled) -> None:
    """Check that each of these took up its registration by itself."""
    strange = [
        held.agent_id
        for held in before
        if held.agent_id not in after.held
        or not after.held[held.agent_id].resumed
        or after.held[held.agent_id].epoch <= held.epoch
    ]
    report.check(
        f"every agent of {who} resumed by itself, under its id and a higher epoch",
        not strange,
        listed(strange) if strange else f"{len(before):,} of {len(before):,}",
    )


def _same_place(url: str, hub: HubProcess) -> bool:
    return url.removesuffix("/ws").rpartition(":")[2] == hub.url.rpartition(":")[2]
