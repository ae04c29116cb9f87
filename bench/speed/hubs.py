"""One hub against several that share its port: heartbeats, as far as this machine's cores go."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from bench.load.talk import heartbeats
from bench.results.report import Report
from bench.rig.cores import Cores
from bench.rig.progress import progress
from bench.rig.rounds import alternate
from bench.scenario import Scenario
from bench.speed.scene import Driving, Scene


class Options(Driving, frozen=True, kw_only=True):
    """The command line."""

    workers: Annotated[int, Meta(ge=2, le=64, description="hub processes, against one")] = 2
    connections: Annotated[int, Meta(ge=1, le=100_000, description="agents that heartbeat")] = 200
    outstanding: Annotated[
        int, Meta(ge=1, le=256, description="requests outstanding of each connection")
    ] = 16


async def run(options: Options) -> Report:
    """Measure one hub and several in turn, with the same load on the same cores."""
    report = SCENARIO.report(options)
    workers, outstanding = options.workers, options.outstanding
    talk = heartbeats(outstanding)
    several, one = f"{workers} hubs on one port", "one hub"
    async with Scene(options, Cores.plan_several(workers)) as scene:
        driven = [
            await scene.connect(
                await scene.hub(workers=count),
                talk,
                options.connections,
                register=True,
                outstanding=outstanding,
            )
            for count in (workers, 1)
        ]
        with progress("heartbeats", total=2 * options.rounds) as step:
            first, second = driven
            rates = await alternate(options.rounds, first.rate, second.rate, told=step)
    report.compare(several, *rates, unit="/s", baseline=one)
    for what, each in zip((several, one), driven, strict=True):
        each.tell(report, what)
    return report


SCENARIO = Scenario(
    "hubs", "heartbeats of several hubs on one port, against those of one", Options, run
)
