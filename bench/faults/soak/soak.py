"""A fleet that joins, leaves, dies, returns, watches and finds for half an hour, and then goes.

Meanwhile the hub's memory must not grow, and afterwards nothing may be left of anybody.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Annotated

from msgspec import Meta, Struct

from bench.faults.soak.churn import ChurnSpec, Lived
from bench.faults.soak.leftovers import Held, held_at_first, held_in_the_end, judge_held, judge_keys
from bench.faults.soak.place import Times
from bench.peers.scrape import scrape
from bench.results.report import Report
from bench.rig.machine import usage
from bench.rig.progress import progress, say
from bench.rig.workers import Done, Worker
from bench.scenario import scenario
from bench.scene import Scene

SAMPLE_EVERY = 2.0  # seconds between two looks at the hub's memory
SETTLING = 300.0  # seconds after which memory must not grow
LONG_ENOUGH = 600.0  # seconds of a run that is long enough to judge memory
PARTS = 10  # parts of the time after SETTLING, whose medians are compared
LEAVING = 60.0  # seconds that the current lives may take to end
FORGETTING = 120.0  # seconds after which nothing may be left: unused namespaces are kept for 60
LOG_LENGTH = 500
"""Changes that the hub keeps: few, so that its history is full long before memory is judged."""


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    seconds: Annotated[
        float,
        Meta(
            ge=5,
            le=604_800,
            description="how long they come and go; memory is judged from 600 on, after the "
            "first 300",
        ),
    ] = 1800.0
    lives: Annotated[
        int, Meta(ge=1, le=5000, description="agents, watchers and callers at the same time")
    ] = 100


@scenario(
    "soak",
    "half an hour of coming and going: memory stays flat, and nothing is left over",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Start a hub and its store, let them come and go, and see what is left."""
    times = Times()
    async with Scene() as scene:
        store = await scene.store()
        hub = await scene.hub(
            redis=store.url,
            heartbeat_interval=times.interval,
            heartbeat_timeout=times.timeout,
            lease_ttl=times.lease,
            resume_window=times.window,
            loss_share=1,  # many die here, and no removal is to be held
            log_length=LOG_LENGTH,
            log_level="warning",
        )
        first = await held_at_first(hub.url)
        spec = ChurnSpec(url=hub.url, lives=options.lives, times=times)
        worker = await scene.enter_async_context(Worker("bench.faults.soak.churn", spec))
        memory = await _churn(worker, hub.pid, options.seconds)
        busy = Held.of(await scrape(hub.url))
        cpu = usage(hub.pid).cpu
        say("everybody leaves")
        lived = await worker.request("leave", Lived, LEAVING)
        say("waiting until nothing is left of them")
        last = await held_in_the_end(hub.url, first, FORGETTING)
        report.figure("share of one core: hub", 100 * cpu / options.seconds, "%")
        _add_figures(report, memory, busy, lived)
        report.figure("memory once all have gone", usage(hub.pid).memory / 2**20, "MB")
        judge_memory(report, options.seconds, memory)
        judge_held(report, first, last)
        await judge_keys(report, await scene.redis(store), LOG_LENGTH)
        report.none("every answer was one that may be", lived.troubles)
        scene.judge_hubs(report)


async def _churn(worker: Worker, pid: int, seconds: float) -> list[tuple[float, float]]:
    """Let them live for so long; returns (seconds since the beginning, resident bytes)."""
    await worker.request("live", Done)
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    with progress("they come and go", total=seconds) as step:
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append((elapsed, usage(pid).memory))
            await asyncio.sleep(min(SAMPLE_EVERY, seconds - elapsed))
            step(SAMPLE_EVERY)
    await worker.request("report", Lived)  # raises if it has died
    return samples


def _add_figures(
    report: Report, memory: list[tuple[float, float]], busy: Held, lived: Lived
) -> None:
    for what, count in sorted(lived.lives.items()):
        report.figure(what, count)
    report.figure("answers", sum(lived.answers.values()))
    for name in ("homeport_agents", "homeport_sessions", "homeport_watches", "homeport_hubs"):
        report.figure(f"{name}, when they were to leave", busy.counts[name])
    points = [(at, size / 2**20) for at, size in memory]
    report.figure("memory at the beginning", points[0][1], "MB")
    report.figure("memory in the end", points[-1][1], "MB")
    report.growth("memory of the hub", "s", "MB", points)


def judge_memory(report: Report, seconds: float, memory: list[tuple[float, float]]) -> None:
    """Check that memory stayed as it was, if the run was long enough."""
    if seconds < LONG_ENOUGH:
        report.figure("whether memory grows", f"not judged: it takes {LONG_ENOUGH:g} s")
        return
    settled = [size for at, size in memory if at >= SETTLING]
    size = len(settled) / PARTS
    parts = [
        statistics.median(settled[int(part * size) : int((part + 1) * size)])
        for part in range(PARTS)
    ]
    report.growth(
        "memory after the first 5 minutes, by tenths",
        "tenth",
        "MB",
        [(part + 1, median / 2**20) for part, median in enumerate(parts)],
    )
    apart = 100 * (max(parts) - min(parts)) / parts[0]
    report.goal(
        "memory after the first 5 minutes, least to most", [apart], unit="%", must=5, higher=False
    )
