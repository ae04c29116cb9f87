"""What all speed scenarios of websockets do: have a hub, drive a load, and tell what it took."""

from __future__ import annotations

import asyncio
import secrets
import statistics
from contextlib import AsyncExitStack
from typing import Protocol

from msgspec import Struct

from bench.cores import Cores
from bench.load.load import Load
from bench.machine import children, usage
from bench.processes import HubProcess, temporary_directory
from bench.report import Report, listed

PATIENT = {"heartbeat_interval": 600, "heartbeat_timeout": 900, "lease_ttl": 1200}
"""Settings of hubs whose agents say nothing while something else is measured."""


class Server(Protocol):
    """What is driven."""

    @property
    def url(self) -> str:
        """Where its websockets are."""

    @property
    def pid(self) -> int | None:
        """Its process id; None where it is not ours to watch."""


class Hub(Struct, frozen=True):
    """A hub for the agents of one load; `pid` is None where it was there already."""

    url: str
    pid: int | None


async def open_hub(stack: AsyncExitStack, cores: Cores, url: str, **settings: object) -> Hub:
    """The hub of this URL, in a namespace of our own; without one, a hub that is started."""
    if url:
        namespace = f"bench-{secrets.token_hex(4)}"
        return Hub(f"ws{url.removeprefix('http').rstrip('/')}/ws?namespace={namespace}", None)
    directory = stack.enter_context(temporary_directory())
    process = HubProcess(directory, cores=cores, **{**PATIENT, **settings})
    await stack.enter_async_context(process)
    return Hub(process.websocket_url, process.pid)


class Measuring:
    """Drives a load again and again, and remembers what each drive came to."""

    def __init__(self, load: Load, server: Server) -> None:
        self._load = load
        self._server = server
        self._rates: list[float] = []
        self._latencies: list[float] = []
        self._troubles: list[str] = []
        self._shares: dict[str, list[float]] = {}

    async def rate(self) -> float:
        """Answers a second of one drive."""
        _, outcome = await asyncio.gather(self._watch(), self._load.drive())
        self._note("load", outcome.share)
        self._latencies += outcome.latencies
        self._troubles += outcome.troubles
        return outcome.rate

    async def leave(self) -> None:
        """Have the agents unregister where the hub goes on without us."""
        if self._server.pid is None:
            await self._load.leave()

    def tell(self, report: Report, what: str) -> None:
        """Note all but the rates: shares of cores, latencies, and that every answer was right."""
        for whose, shares in self._shares.items():
            words = f"{what}: share of its core, {whose}"
            report.figure(words, 100 * statistics.median(shares), "%")
        report.spread(f"{what}: until answered", self._latencies)
        report.latencies(f"{what}: until answered", self._latencies)
        report.check(f"{what}: every answer was right", not self._troubles, listed(self._troubles))

    async def _watch(self) -> None:
        """Note what the server and its store use of their cores, in the middle of the drive."""
        pid = self._server.pid
        if pid is None:
            return
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._load.seconds * 0.3)
        began, own, store = clock(), usage(pid).cpu, _store_cpu(pid)
        await asyncio.sleep(self._load.seconds * 0.6)
        seconds = clock() - began
        self._note("server", (usage(pid).cpu - own) / seconds)
        if children(pid):
            self._note("store", (_store_cpu(pid) - store) / seconds)

    def _note(self, whose: str, share: float) -> None:
        self._shares.setdefault(whose, []).append(share)


def _store_cpu(pid: int) -> float:
    return sum(usage(child).cpu for child in children(pid))
