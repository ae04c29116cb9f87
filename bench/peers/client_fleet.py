"""A worker that holds agents of the real client: `python -m bench.peers.client_fleet`.

Words of the run: `start` registers them all, `settle` waits until each of them has come back from
a lost connection by itself, `rest` until all are connected, as they may have been all the time.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from msgspec import Struct

from agent_client import AgentClient, HomeportError, Lease
from bench.errors import BenchError
from bench.rig.machine import connections_per_process
from bench.rig.waiting import shares, side_by_side
from bench.rig.workers import Run, Worker, request_all, start_all, work

STARTING = 50  # clients of one worker that start at the same time
BEGIN = 600.0  # seconds that the registration of the whole fleet may take
COME_BACK = 120.0  # seconds after which an agent that is not back fails the run


class Clients(Struct, frozen=True, kw_only=True):
    """Agents are named `{name}-{number}` and are of the type `client`; `url` may be several."""

    url: str
    name: str
    count: int


class Session(Struct, frozen=True):
    """An agent's session at the hub of this URL, and when it began (`time.monotonic()`)."""

    agent_id: str
    epoch: int
    resumed: bool
    at: float
    url: str


class Sessions(Struct, frozen=True):
    """The newest session of each client."""

    newest: list[Session]


class ClientFleet:
    """Agents of the real client in several workers."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    @classmethod
    async def start(
        cls, stack: AsyncExitStack, url: str, count: int, *, processes: int
    ) -> ClientFleet:
        """Start workers: `processes`, or as many as the limit of open files demands."""
        processes = max(min(processes, count), -(-count // connections_per_process()))
        specs = [
            Clients(url=url, name=f"client-{number}", count=share)
            for number, share in enumerate(shares(count, processes))
        ]
        return cls(await start_all(stack, "bench.peers.client_fleet", specs))

    @property
    def processes(self) -> int:
        return len(self._workers)

    async def register(self) -> dict[str, Session]:
        """Register all agents; their sessions by their ids."""
        return await self._sessions("start", BEGIN)

    async def settle(self) -> dict[str, Session]:
        """Wait until each has come back from a lost connection; their newest sessions."""
        return await self._sessions("settle", COME_BACK)

    async def rest(self) -> dict[str, Session]:
        """Wait until all are connected; their newest sessions."""
        return await self._sessions("rest", COME_BACK)

    async def _sessions(self, word: str, seconds: float) -> dict[str, Session]:
        answers = await request_all(self._workers, word, Sessions, seconds)
        return {session.agent_id: session for one in answers for session in one.newest}


class _Client:
    """One client, and each session that it had."""

    def __init__(self, url: str, name: str) -> None:
        self.sessions: list[Session] = []
        self._changed = asyncio.Event()
        self.agent = AgentClient(
            url,
            name=name,
            type="client",
            capabilities=["probe"],
            on_connected=self._connected,
            connect_timeout=60.0,
        )

    async def start(self) -> None:
        await self.agent.start()
        await self.has(1)

    async def has(self, sessions: int) -> None:
        """Wait until it has had so many sessions."""
        while len(self.sessions) < sessions:
            self._changed.clear()
            await self._changed.wait()

    def _connected(self, lease: Lease) -> None:
        at = time.monotonic()
        self.sessions.append(Session(lease.agent_id, lease.epoch, lease.resumed, at, lease.url))
        self._changed.set()


async def _main(spec: Clients, run: Run) -> None:
    clients = [_Client(spec.url, f"{spec.name}-{number}") for number in range(spec.count)]

    def newest() -> Sessions:
        return Sessions([client.sessions[-1] for client in clients])

    async def start() -> Sessions:
        try:
            await side_by_side(clients, _Client.start, STARTING)
        except HomeportError as error:
            raise BenchError(f"a client could not register: {error}") from None
        return newest()

    async def settle() -> Sessions:
        await asyncio.gather(*(client.has(2) for client in clients))
        return newest()

    async def rest() -> Sessions:
        await asyncio.gather(*(client.agent.wait_connected() for client in clients))
        return newest()

    await run.serve({"start": start, "settle": settle, "rest": rest})


if __name__ == "__main__":
    work(Clients, _main)
