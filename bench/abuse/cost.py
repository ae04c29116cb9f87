"""What a hub and its store use while something is done to them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.rig.machine import open_files, usage
from bench.rig.processes import HubProcess

LOOK_EVERY = 0.25
"""Seconds between two looks."""

MIB = 1 << 20


class Costs(Struct, kw_only=True):
    """What was used in a span: the most of what is held, and shares of a core in the mean."""

    memory: int = 0
    """Resident bytes of the hub."""
    open_files: int = 0
    store_memory: int = 0
    """Bytes of the store's data and connections."""
    store_clients: int = 0
    cpu: float = 0.0
    """The hub's share of a core."""


class Look:
    """Looks at a hub and its store again and again."""

    def __init__(self, hub: HubProcess, redis: Redis) -> None:
        self._hub = hub
        self._redis = redis
        self._costs = Costs()
        self._cpu = usage(hub.pid).cpu
        self._since = time.monotonic()

    async def go_on(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Look once."""
        costs = self._costs
        costs.memory = max(costs.memory, usage(self._hub.pid).memory)
        costs.open_files = max(costs.open_files, open_files(self._hub.pid))
        with suppress(RedisError):
            memory = int((await self._redis.info("memory"))["used_memory"])
            costs.store_memory = max(costs.store_memory, memory)
            clients = int((await self._redis.info("clients"))["connected_clients"])
            costs.store_clients = max(costs.store_clients, clients)

    async def span(self) -> Costs:
        """What was used since this was last asked."""
        await self.look()
        costs, self._costs = self._costs, Costs()
        now, cpu = time.monotonic(), usage(self._hub.pid).cpu
        costs.cpu = (cpu - self._cpu) / (now - self._since)
        self._since, self._cpu = now, cpu
        return costs

    async def log_bytes(self) -> int:
        """Bytes that the change log takes in the store."""
        return int(await self._redis.memory_usage("agents:log", samples=0) or 0)
