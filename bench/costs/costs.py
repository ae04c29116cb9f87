"""What agents, heartbeats and changes cost Redis and hubs, measured on this machine."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from bench.costs.hubs import (
    Load,
    Scene,
    measure_agents,
    measure_changes,
    measure_namespaces,
)
from bench.costs.script import measure_script
from bench.results.report import Report
from bench.rig.processes import StoreServer, temporary_directory
from bench.rig.progress import say
from bench.scenario import Scenario


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


async def measure(options: Options) -> Report:
    """Start what is needed, measure, and leave nothing behind."""
    report = SCENARIO.report(options)
    load = Load(options.agents, options.interval, options.seconds)
    failures = 0
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        store = await stack.enter_async_context(StoreServer(directory))
        say("the commit script alone")
        refused = await measure_script(report, store.url, options.changes)
        for part in (measure_agents, measure_changes, measure_namespaces):
            async with AsyncExitStack() as its:
                place = its.enter_context(temporary_directory())
                scene = await Scene.start(its, Path(place), store.url, part.__name__)
                await part(report, scene, load)
                failures += scene.own.failures() + scene.other.failures()
    report.check("the script refused nothing", refused == 0, f"{refused}")
    report.check("the hubs logged no failure of their own", failures == 0, f"{failures}")
    return report


SCENARIO = Scenario(
    "costs", "what agents, heartbeats and changes cost Redis and hubs", Options, measure
)
