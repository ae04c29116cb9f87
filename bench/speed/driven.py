"""A server under load: what each drive came to, and whose cores it took."""

from __future__ import annotations

import asyncio
import statistics

from msgspec import Struct

from bench.load.load import Load
from bench.machine import children, is_store, usage
from bench.report import Report, listed


class Server(Struct, frozen=True):
    """Where its websockets are, and its process; None where that is not ours to watch."""

    url: str
    pid: int | None


class Driven:
    """A server and the load that drives it, again and again."""

    def __init__(self, load: Load, server: Server) -> None:
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
            words = f"{what}: {whose}'s share of a core"
            report.figure(words, 100 * statistics.median(shares), "%")
        report.spread(f"{what}: until answered", self._latencies)
        report.latencies(what, self._latencies)
        report.check(f"{what}: every answer was right", not self._troubles, listed(self._troubles))

    async def _watch(self) -> None:
        """Note what the server and its store use of their cores, in the middle of the drive."""
        pid = self._server.pid
        if pid is None:
            return
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._load.seconds * 0.3)
        began, before = clock(), _cpu(pid)
        await asyncio.sleep(self._load.seconds * 0.6)
        seconds, after = clock() - began, _cpu(pid)
        for whose in after:
            self._note(whose, (after[whose] - before[whose]) / seconds)

    def _note(self, whose: str, share: float) -> None:
        self._shares.setdefault(whose, []).append(share)


def _cpu(pid: int) -> dict[str, float]:
    """Seconds of CPU that the server has had, all its processes together, and its store if any."""
    family = [pid, *children(pid)]
    stores = [each for each in family if is_store(each)]
    used = {"server": sum(usage(each).cpu for each in family if each not in stores)}
    return {**used, "store": sum(usage(each).cpu for each in stores)} if stores else used
