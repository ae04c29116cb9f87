"""`python -m bench.costs`: what agents, heartbeats and changes cost Redis and hubs, measured here.

Exit status: 0, or 1 when something went wrong and the figures mean nothing, 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, to_builtins

from bench.costs.hubs import (
    Load,
    Scene,
    measure_agents,
    measure_changes,
    measure_namespaces,
)
from bench.costs.script import measure_script
from bench.errors import BenchError
from bench.options import parse
from bench.processes import StoreServer, temporary_directory
from bench.report import Report
from bench.scenario import say


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
    report = Report(
        name="costs",
        title="what agents, heartbeats and changes cost Redis and hubs",
        options=to_builtins(options),
    )
    report.figure("machine", f"{_processor()}, {os.cpu_count()} cores, Python {_python()}")
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


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _python() -> str:
    return platform.python_version()


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    options, as_json = parse(
        Options,
        arguments,
        program="python -m bench.costs",
        description="Measures what things cost.",
    )
    try:
        report = asyncio.run(measure(options))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        return 1
    except BenchError as error:
        print("\n".join([f"costs: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1
    print(report.as_json() if as_json else report.as_text())
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
