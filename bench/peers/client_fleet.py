"""A worker that holds agents of the real client: `python -m bench.peers.client_fleet`.

Words of the run: `start` registers them all, `settle` waits until each of them has come back from
a lost connection by itself, `rest` until all are connected, as they may have been all the time.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from agent_client import AgentClient, HomeportError, Lease
from bench.errors import BenchError
from bench.rig.workers import Run, work

STARTING = 50
"""Clients of one worker that start at the same time."""


class ClientsSpec(Struct, frozen=True, kw_only=True):
    """Agents are named `{name}-{number}` and are of the type `client`; `url` may be several."""

    url: str
    name: str
    count: int


class Held(Struct, frozen=True):
    """An agent's session at the hub of this URL, and when it began (`time.monotonic()`)."""

    agent_id: str
    epoch: int
    resumed: bool
    at: float
    url: str


class Sessions(Struct, frozen=True):
    """The sessions of all clients: the first ones, or the newest."""

    held: list[Held]


class _Client:
    """One client, and each session that it had."""

    def __init__(self, url: str, name: str) -> None:
        self.sessions: list[Held] = []
        self.changed = asyncio.Event()
        self.agent = AgentClient(
            url,
            name=name,
            type="client",
            capabilities=["probe"],
            on_connected=self._connected,
            connect_timeout=60.0,
        )

    def _connected(self, lease: Lease) -> None:
        at = time.monotonic()
        self.sessions.append(Held(lease.agent_id, lease.epoch, lease.resumed, at, lease.url))
        self.changed.set()

    async def has(self, sessions: int) -> None:
        """Wait until it has had so many sessions."""
        while len(self.sessions) < sessions:
            self.changed.clear()
            await self.changed.wait()


async def _main(spec: ClientsSpec, run: Run) -> None:
    clients = [_Client(spec.url, f"{spec.name}-{number}") for number in range(spec.count)]
    await run.word("start")
    gate = asyncio.Semaphore(STARTING)

    async def start(client: _Client) -> None:
        async with gate:
            await client.agent.start()
        await client.has(1)

    try:
        await asyncio.gather(*map(start, clients))
    except HomeportError as error:
        raise BenchError(f"a client could not register: {error}") from None
    run.tell(Sessions([client.sessions[0] for client in clients]))
    while True:
        if await run.word("settle", "rest") == "settle":
            await asyncio.gather(*(client.has(2) for client in clients))
        else:
            await asyncio.gather(*(client.agent.wait_connected() for client in clients))
        run.tell(Sessions([client.sessions[-1] for client in clients]))


if __name__ == "__main__":
    work(ClientsSpec, _main)
