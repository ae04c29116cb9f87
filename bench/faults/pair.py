"""Two hubs on one Redis, agents of the real client that know both, and watchers of each."""

from __future__ import annotations

import asyncio

from agent_client import AgentRecord, HubClient
from bench.errors import BenchError
from bench.peers.client_fleet import COME_BACK, ClientFleet, Session
from bench.peers.follower import Follower
from bench.peers.watcher import Watcher
from bench.rig.machine import connections_per_process
from bench.rig.processes import HubProcess
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.scene import Scene

NAMES = ("hub-a", "hub-b")
PROCESSES = 4
ASK_AGAIN = 0.25  # seconds between two looks at where the agents are


class Pair(Scene):
    """The scene; the hubs have default settings, but for their names."""

    followers: list[Follower]
    _fleet: ClientFleet

    async def start(self, agents: int) -> None:
        """Start the store, the hubs, the watchers, and workers for so many agents."""
        room = connections_per_process()
        if agents > room:
            raise BenchError(
                f"one hub may have to hold all {agents:,} agents, and may hold about {room:,} "
                "connections here: raise the limit of open files (ulimit -n)"
            )
        store = await self.store()
        for name in NAMES:
            await self.hub(hub_id=name, redis=store.url)
        urls = [hub.url for hub in self.hubs]
        self.followers = [await self.follow(*urls), await self.follow(*urls[::-1])]
        self._fleet = await ClientFleet.start(self, ",".join(urls), agents, processes=PROCESSES)
        say(f"registering {agents:,} agents from {self._fleet.processes} processes")

    async def register(self) -> dict[str, Session]:
        """Register all agents, which spread over the hubs by themselves."""
        return await self._fleet.register()

    async def settled(self, away: HubProcess) -> dict[str, Session]:
        """Wait until every agent has a session, and none at the hub that is away."""
        async with asyncio.timeout(COME_BACK):
            while True:
                sessions = await self._fleet.rest()
                if not self.of(away, sessions):
                    return sessions
                await asyncio.sleep(ASK_AGAIN)

    def of(self, hub: HubProcess, sessions: dict[str, Session]) -> dict[str, Session]:
        """Those of the sessions that are at this hub."""
        return {key: each for key, each in sessions.items() if _port(each.url) == _port(hub.url)}

    async def caught_up(self, revision: int, *watchers: Watcher, seconds: float) -> None:
        """Wait until these watchers and the followers have heard of this revision."""
        watches: list[Watcher | Follower] = [*watchers, *self.followers]
        await until(
            "all watches at one revision",
            lambda: all(each.revision >= revision for each in watches),
            seconds,
        )

    async def directory(self, hub: HubProcess) -> dict[str, AgentRecord]:
        """All agents, as this hub shows them."""
        async with HubClient(hub.url) as client:
            return {agent.id: agent for agent in await client.find()}


def _port(url: str) -> str:
    return url.removesuffix("/ws").rpartition(":")[2]
