"""A server under load: what each measurement came to, and which cores it took."""

from __future__ import annotations

import asyncio
import statistics
from typing import Protocol

from msgspec import Struct

from bench.load.crowd import Outcome
from bench.results.report import Report
from bench.rig.machine import busy_time, children, is_store, usage


class Server(Struct, frozen=True):
    """Where its websockets are, and its process; None for that of a hub that is there already."""

    url: str
    pid: int | None


class AnyLoad(Protocol):
    """A load of websockets, `bench.load.crowd.Crowd`, or one of HTTP requests."""

    seconds: float
    """Of one run."""

    @property
    def pids(self) -> list[int]: ...

    async def run(self) -> Outcome: ...


class Shares:
    """Shares of a core, by whose they are."""

    def __init__(self) -> None:
        self._of: dict[str, list[float]] = {}

    def note(self, whose: str, share: float) -> None:
        # Clocks of processes are coarse: the share of others may come out below 0.
        self._of.setdefault(whose, []).append(max(0.0, share))

    def add_to(self, report: Report, words: str) -> None:
        """Note the medians; `{}` in `words` stands for whose they are."""
        for whose, shares in self._of.items():
            report.figure(words.format(whose), 100 * statistics.median(shares), "%")


class ServerUnderLoad:
    """A server and the load on it, measured again and again."""

    def __init__(self, load: AnyLoad, server: Server) -> None:
        self._load = load
        self._server = server
        self._latencies: list[float] = []
        self._troubles: list[str] = []
        self._shares = Shares()

    async def rate(self) -> float:
        """Answers a second, in one run of the load."""
        _, outcome = await asyncio.gather(self._watch(), self._load.run())
        self._shares.note("load", outcome.share)
        self._latencies += outcome.latencies
        self._troubles += outcome.troubles
        return outcome.rate

    def add_to(self, report: Report, what: str) -> None:
        """Note all but the rates: shares of cores, latencies, and that every answer was right."""
        self._shares.add_to(report, f"{what}: share of a core, {{}}")
        report.spread(f"{what}: until answered", self._latencies)
        report.latencies(what, self._latencies)
        report.none(f"{what}: every answer was right", self._troubles)

    async def _watch(self) -> None:
        """Note who uses the cores, in the middle of the run.

        The others, which disturb, are this program, its progress bar, and all else that runs here.
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
            self._shares.note(whose, (after[whose] - before[whose]) / seconds)

    def _used(self, pid: int) -> dict[str, float]:
        """Seconds of CPU until now of the server with all its processes, its store, and others."""
        used = cpu_used(pid)
        ours = sum(used.values()) + sum(usage(each).cpu for each in self._load.pids)
        return {**used, "others": busy_time() - ours}


def cpu_used(pid: int) -> dict[str, float]:
    """Seconds of CPU that a server has had with all its processes, and its store if it has one."""
    family = [pid, *children(pid)]
    stores = [each for each in family if is_store(each)]
    used = {"server": sum(usage(each).cpu for each in family if each not in stores)}
    return {**used, "store": sum(usage(each).cpu for each in stores)} if stores else used
