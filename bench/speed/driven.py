"""A server under load: what each drive came to, and whose cores it took."""

from __future__ import annotations

import asyncio
import statistics
from typing import Protocol

from msgspec import Struct

from bench.load.load import Outcome
from bench.results.report import Report, listed
from bench.rig.machine import busy_time, children, is_store, usage


class Server(Struct, frozen=True):
    """Where its websockets are, and its process; None where that is not ours to watch."""

    url: str
    pid: int | None


class AnyLoad(Protocol):
    """A load of websockets, `bench.load.load.Load`, or one of HTTP requests."""

    seconds: float
    """How long a drive takes."""

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        ...

    async def drive(self) -> Outcome:
        """Drive the server once."""
        ...


class Driven:
    """A server and the load that drives it, again and again."""

    def __init__(self, load: AnyLoad, server: Server) -> None:
        self._load = load
        self._server = server
        self._latencies: list[float] = []
        self._troubles: list[str] = []
        self._shares: dict[str, list[float]] = {}

    async def rate(self) -> float:
        """Answers a second, in one drive."""
        _, outcome = await asyncio.gather(self._watch(), self._load.drive())
        self._note("load", outcome.share)
        self._latencies += outcome.latencies
        self._troubles += outcome.troubles
        return outcome.rate

    def tell(self, report: Report, what: str) -> None:
        """Note all but the rates: shares of cores, latencies, and that every answer was right."""
        for whose, shares in self._shares.items():
            words = f"{what}: share of a core, {whose}"
            report.figure(words, 100 * statistics.median(shares), "%")
        report.spread(f"{what}: until answered", self._latencies)
        report.latencies(what, self._latencies)
        report.check(f"{what}: every answer was right", not self._troubles, listed(self._troubles))

    async def _watch(self) -> None:
        """Note whose the cores are, in the middle of the drive.

        Others, who disturb, are this program, its progress bar, and whatever else runs here.
        """
        pid = self._server.pid
        if pid is None:
            return
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._load.seconds * 0.3)
        began, before = clock(), self._used(pid)
        await asyncio.sleep(self._load.seconds * 0.6)
        seconds, after = clock() - began, self._used(pid)
        for whose in after:
            self._note(whose, (after[whose] - before[whose]) / seconds)

    def _used(self, pid: int) -> dict[str, float]:
        """Seconds of CPU until now: of the server with all its processes, its store, and others."""
        family = [pid, *children(pid)]
        stores = [each for each in family if is_store(each)]
        servers = [each for each in family if each not in stores]
        cpu = {each: usage(each).cpu for each in [*family, *self._load.pids]}
        used = {"server": sum(cpu[each] for each in servers)}
        if stores:
            used["store"] = sum(cpu[each] for each in stores)
        return {**used, "others": busy_time() - sum(cpu.values())}

    def _note(self, whose: str, share: float) -> None:
        # The clocks of processes are coarse: that of others may seem to have run backwards.
        self._shares.setdefault(whose, []).append(max(0.0, share))
