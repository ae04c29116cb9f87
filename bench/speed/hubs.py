"""One hub against several that share its port: heartbeats, as far as this machine's cores go."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from bench.load.talk import heartbeats
from bench.results.report import Report
from bench.rig.cores import Cores
from bench.scenario import scenario
from bench.speed.scene import LoadOptions, SpeedScene


class Options(LoadOptions, frozen=True, kw_only=True):
    """The command line."""

    workers: Annotated[int, Meta(ge=2, le=64, description="hub processes, against one")] = 2
    connections: Annotated[int, Meta(ge=1, le=100_000, description="agents that heartbeat")] = 200
    outstanding: Annotated[
        int, Meta(ge=1, le=256, description="requests outstanding of each connection")
    ] = 16


@scenario("hubs", "heartbeats of several hubs on one port, against those of one", Options)
async def run(options: Options, report: Report) -> None:
    """Measure one hub and several in turn, with the same load on the same cores."""
    workers, outstanding = options.workers, options.outstanding
    talk = heartbeats(outstanding)
    several, one = f"{workers} hubs on one port", "one hub"
    async with SpeedScene(options, Cores.plan_several(workers)) as scene:
        loaded = [
            await scene.load(
                await scene.hub_at(workers=count),
                talk,
                options.connections,
                register=True,
                outstanding=outstanding,
            )
            for count in (workers, 1)
        ]
        own, against = await scene.rates("heartbeats", loaded)
    report.goal(several, own, against, unit="/s", baseline=one)
    for what, each in zip((several, one), loaded, strict=True):
        each.add_to(report, what)
