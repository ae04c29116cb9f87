"""A scene: the store, the hubs and the clients of one run, which all end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack

from redis.asyncio import Redis

from agent_client import HubClient
from bench.peers.follower import Follower
from bench.peers.raw_client import RawClient
from bench.results.report import Report
from bench.rig.cores import Cores
from bench.rig.processes import HubProcess, StoreServer, temporary_directory


class Scene(AsyncExitStack):
    """What one run starts, as an async context that ends it, the latest first.

    With `cores` the hubs are pinned to those.
    """

    def __init__(self, cores: Cores | None = None) -> None:
        super().__init__()
        self.cores = cores
        self.hubs: list[HubProcess] = []

    async def store(self) -> StoreServer:
        """Start a store server."""
        directory = self.enter_context(temporary_directory())
        return await self.enter_async_context(StoreServer(directory))

    async def redis(self, store: StoreServer) -> Redis:
        """Connect to a store server."""
        redis = Redis.from_url(store.url)
        self.push_async_callback(redis.aclose)
        return redis

    async def hub(self, *, max_open_files: int = 0, **settings: object) -> HubProcess:
        """Start a hub with these settings, as HubProcess takes them."""
        directory = self.enter_context(temporary_directory())
        hub = HubProcess(directory, cores=self.cores, max_open_files=max_open_files, **settings)
        await self.enter_async_context(hub)
        self.hubs.append(hub)
        return hub

    async def connect(self, url: str) -> RawClient:
        """Connect to a hub."""
        client = await RawClient.connect(url)
        self.callback(client.abort)
        return client

    async def follow(self, *urls: str) -> Follower:
        """Watch everything at the first of these hubs that can be reached."""
        client = await self.enter_async_context(HubClient([*urls], shuffle=False))
        follower = Follower(client)
        self.go_on(follower.follow())
        return follower

    def go_on(self, work: Coroutine[None, None, None]) -> None:
        """Run it as a task until the scene ends."""
        self.callback(asyncio.create_task(work).cancel)

    def failures(self) -> int:
        """How many internal failures the hubs logged."""
        return sum(hub.failures() for hub in self.hubs)

    def judge_hubs(self, report: Report) -> None:
        """Check that no hub logged an internal failure."""
        whose = "the hub logged no failure of its own"
        if len(self.hubs) > 1:
            whose = "the hubs logged no failure of their own"
        report.none(whose, self.failures())
