"""What agents, heartbeats and changes cost Redis and hubs, measured on this machine."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bench.costs.hubs import Hubs, Load, measure_agents, measure_changes, measure_namespaces
from bench.costs.script import measure_script
from bench.results.report import Report
from bench.rig.progress import say
from bench.scenario import scenario
from bench.scene import Scene


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[int, Meta(ge=1, le=100_000, description="agents at one of two hubs")] = 5000
    interval: Annotated[
        float, Meta(gt=0, le=600, description="seconds between an agent's heartbeats")
    ] = 2.0
    changes: Annotated[
        int, Meta(ge=256, le=1_000_000, description="changes of each kind by the script alone")
    ] = 20_000
    seconds: Annotated[
        float, Meta(gt=0, le=600, description="how long each load on the hubs goes on")
    ] = 10.0


@scenario("costs", "what agents, heartbeats and changes cost Redis and hubs", Options)
async def run(options: Options, report: Report) -> None:
    """Start what is needed, measure, and leave nothing behind."""
    load = Load(options.agents, options.interval, options.seconds)
    failures = 0
    async with Scene() as scene:
        store = await scene.store()
        say("the commit script alone")
        refused = await measure_script(report, store.url, options.changes)
        for measure in (measure_agents, measure_changes, measure_namespaces):
            async with Hubs(report, load) as hubs:
                await hubs.start(store.url, measure.__name__)
                await measure(hubs, report, load)
                failures += hubs.failures()
    report.none("the script refused nothing", refused)
    report.none("the hubs logged no failure of their own", failures)
