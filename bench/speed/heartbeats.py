"""Heartbeats, committed and acknowledged, against the echo of bare servers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bench.load.talk import echo, heartbeats
from bench.results.report import Report
from bench.rig.progress import progress
from bench.rig.rounds import in_turn
from bench.scenario import Scenario
from bench.speed.scene import Driving, HubUrl, Scene


class Options(Driving, frozen=True, kw_only=True):
    """The command line."""

    connections: Annotated[int, Meta(ge=1, le=100_000, description="agents that heartbeat")] = 200
    pipelined: Annotated[
        int, Meta(ge=1, le=256, description="requests outstanding, in the pipelined part")
    ] = 16
    url: HubUrl = ""


class Baseline(Struct, frozen=True):
    """A bare server, and the ratio to its rate that heartbeats must reach, if any."""

    name: str
    words: str
    must: float | None = None
    aim: float | None = None


ONE_OUTSTANDING = (
    Baseline("websockets", "websockets.asyncio echo", 1.3, 1.6),
    Baseline("websockets-uvloop", "websockets.asyncio echo on uvloop"),
    Baseline("serverprotocol", "ServerProtocol echo"),
)
"""What is judged runs as its documentation has it, by `asyncio.run`; the others are context."""

PIPELINED = (Baseline("serverprotocol", "ServerProtocol echo", 0.45, 0.7),)


async def run(options: Options) -> Report:
    """Measure with one request outstanding, and with several."""
    report = SCENARIO.report(options)
    await _measure(report, options, 1, ONE_OUTSTANDING)
    await _measure(report, options, options.pipelined, PIPELINED)
    return report


async def _measure(
    report: Report, options: Options, outstanding: int, baselines: tuple[Baseline, ...]
) -> None:
    """Measure the hub and the bare servers in turn."""
    what = f"heartbeats, {outstanding} outstanding"
    talk, count = heartbeats(outstanding), options.connections
    same = echo(talk.size, outstanding)
    async with Scene(options) as scene:
        hub = await scene.hub(options.url)
        driven = [await scene.connect(hub, talk, count, outstanding=outstanding, register=True)]
        for baseline in baselines:
            bare = await scene.bare(baseline.name)
            driven.append(await scene.connect(bare, same, count, outstanding=outstanding))
        with progress(what, total=len(driven) * options.rounds) as step:
            own, *others = await in_turn(options.rounds, *(each.rate for each in driven), told=step)
    for baseline, rates in zip(baselines, others, strict=True):
        report.compare(
            *(what, own, rates),
            unit="/s",
            baseline=baseline.words,
            must=baseline.must,
            aim=baseline.aim,
        )
    driven[0].tell(report, what)
    for baseline, each in zip(baselines, driven[1:], strict=True):
        each.tell(report, f"{baseline.words}, {outstanding} outstanding")


SCENARIO = Scenario(
    "heartbeats",
    "heartbeats, stored and acknowledged, against a bare echo of the same size",
    Options,
    run,
)
