"""A registration storm: a fleet connects and registers as fast as it is let."""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Crowd, CrowdSpec, Group, Kind, Opened
from bench.results.report import Report, listed
from bench.rig.cores import Cores
from bench.rig.machine import children, is_store, usage
from bench.rig.progress import progress
from bench.rig.rounds import Rounds, alternate
from bench.scenario import Scenario
from bench.speed.driven import Server
from bench.speed.scene import HubUrl, Scene


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rounds: Rounds = 5
    agents: Annotated[int, Meta(ge=1, le=100_000, description="agents that connect")] = 10_000
    at_once: Annotated[
        int, Meta(ge=1, le=4000, description="of which so many are on their way at a time")
    ] = 200
    url: HubUrl = ""


class _Storms:
    """Storms of one kind, and what all of them came to."""

    def __init__(self, options: Options, kind: Kind) -> None:
        self._options = options
        self._group = Group(kind, options.agents, at_once=options.at_once)
        self.shares: dict[str, list[float]] = {"load": []}
        self.troubles: list[str] = []

    async def rate(self) -> float:
        """Connections a second, at a server that has just been started."""
        async with Scene() as scene:
            if self._group.kind == "agent":
                server = await scene.hub(self._options.url)
            else:
                server = await scene.bare("uvicorn-upgrades")
            spec = CrowdSpec(url=server.url, groups=[self._group])
            async with Crowd(spec, Cores.plan()) as crowd:
                before = _cpu(server)
                opened = await crowd.open()
                self._note(opened, before, _cpu(server))
                if server.pid is None:
                    await crowd.leave()
        return self._options.agents / opened.seconds

    def tell(self, report: Report, what: str) -> None:
        """Note all but the rates."""
        for whose, shares in self.shares.items():
            words = f"{what}: {whose}'s share of a core"
            report.figure(words, 100 * statistics.median(shares), "%")
        report.check(
            f"{what}: each was answered as it must be", not self.troubles, listed(self.troubles)
        )

    def _note(self, opened: Opened, before: dict[str, float], after: dict[str, float]) -> None:
        self.troubles += opened.troubles
        self.shares["load"].append(opened.cpu / opened.seconds)
        for whose, seconds in after.items():
            share = (seconds - before[whose]) / opened.seconds
            self.shares.setdefault(whose, []).append(share)


def _cpu(server: Server) -> dict[str, float]:
    """Seconds of CPU that the server has had, and its store if it has one."""
    if server.pid is None:
        return {}
    used = {"server": usage(server.pid).cpu}
    stores = [each for each in children(server.pid) if is_store(each)]
    return {**used, "store": sum(usage(each).cpu for each in stores)} if stores else used


async def run(options: Options) -> Report:
    """Have a fleet come to a new hub, and as many connections to a new bare server, in turn."""
    report = SCENARIO.report(options)
    hub, bare = _Storms(options, "agent"), _Storms(options, "silent")
    with progress("storms", total=2 * options.rounds) as step:
        own, against = await alternate(options.rounds, hub.rate, bare.rate, told=step)
    report.compare(
        f"{options.agents:,} agents connect and are registered, durably",
        *(own, against),
        unit="/s",
        baseline="handshakes of uvicorn and ServerProtocol alone",
        must=0.5,
        aim=0.7,
    )
    hub.tell(report, "agents")
    bare.tell(report, "bare handshakes")
    return report


SCENARIO = Scenario(
    "storm", "a fleet connects and registers, against bare handshakes", Options, run
)
