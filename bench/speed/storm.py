"""A registration storm: a fleet connects and registers as fast as it can."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Group, Kind
from bench.results.report import Report
from bench.rig.rounds import Rounds, in_turn
from bench.scenario import scenario
from bench.speed.scene import HubUrl, SpeedScene
from bench.speed.under_load import Shares, cpu_used


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rounds: Rounds = 5
    agents: Annotated[int, Meta(ge=1, le=100_000, description="agents that connect")] = 10_000
    at_once: Annotated[
        int, Meta(ge=1, le=4000, description="of which so many are on their way at a time")
    ] = 200
    url: HubUrl = ""


class _Storms:
    """Storms of one kind."""

    def __init__(self, options: Options, kind: Kind) -> None:
        self._options = options
        self._group = Group(kind, options.agents, at_once=options.at_once)
        self._shares = Shares()
        self._troubles: list[str] = []

    async def rate(self) -> float:
        """Connections a second, at a server that has just been started."""
        async with SpeedScene() as scene:
            if self._group.kind == "agent":
                server = await scene.hub_at(self._options.url)
            else:
                server = await scene.bare("uvicorn-upgrades")
            crowd = await scene.crowd(server, self._group)
            before = {} if server.pid is None else cpu_used(server.pid)
            opened = await crowd.open()
            after = {} if server.pid is None else cpu_used(server.pid)
            if server.pid is None:
                await crowd.leave()
        self._troubles += opened.troubles
        self._shares.note("load", opened.cpu / opened.seconds)
        for whose, seconds in after.items():
            self._shares.note(whose, (seconds - before[whose]) / opened.seconds)
        return self._options.agents / opened.seconds

    def add_to(self, report: Report, what: str) -> None:
        """Note all but the rates."""
        self._shares.add_to(report, f"{what}: {{}}'s share of a core")
        report.none(f"{what}: each was answered as it must be", self._troubles)


@scenario("storm", "a fleet connects and registers, against bare handshakes", Options)
async def run(options: Options, report: Report) -> None:
    """Have a fleet come to a new hub, and as many connections to a new bare server, in turn."""
    hub, bare = _Storms(options, "agent"), _Storms(options, "silent")
    own, against = await in_turn("storms", options.rounds, hub.rate, bare.rate)
    report.goal(
        f"{options.agents:,} agents connect and are registered, durably",
        *(own, against),
        unit="/s",
        baseline="handshakes of uvicorn and ServerProtocol alone",
        must=0.5,
        aim=0.7,
    )
    hub.add_to(report, "agents")
    bare.add_to(report, "bare handshakes")
