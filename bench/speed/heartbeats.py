"""Heartbeats, committed and acknowledged, against the echo of bare servers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bench.load.talk import echo, heartbeats
from bench.progress import progress
from bench.report import Report
from bench.rounds import alternate
from bench.scenario import Scenario
from bench.speed.scene import Driving, Scene


class Options(Driving, frozen=True, kw_only=True):
    """The command line."""

    connections: Annotated[int, Meta(ge=1, le=100_000, description="agents that heartbeat")] = 200
    pipelined: Annotated[
        int, Meta(ge=1, le=256, description="requests outstanding, in the pipelined part")
    ] = 16
    url: Annotated[
        str, Meta(description="a hub that is there already, http://HOST:PORT; none: start one")
    ] = ""


class Part(Struct, frozen=True):
    """One way to drive, the bare server that it is compared with, and the ratio it must reach."""

    outstanding: int
    baseline: str
    words: str
    must: float
    aim: float


async def run(options: Options) -> Report:
    """Measure both parts: the hub and the bare server in turn."""
    report = SCENARIO.report(options)
    for part in (
        Part(1, "websockets", "websockets.asyncio echo", 1.3, 1.6),
        Part(options.pipelined, "serverprotocol", "ServerProtocol echo", 0.45, 0.7),
    ):
        await _measure(report, options, part)
    return report


async def _measure(report: Report, options: Options, part: Part) -> None:
    what = f"heartbeats, {part.outstanding} outstanding"
    talk = heartbeats(part.outstanding)
    same = echo(talk.size, part.outstanding)
    count, outstanding = options.connections, part.outstanding
    async with Scene(options) as scene:
        hub = await scene.hub(options.url)
        bare = await scene.bare(part.baseline)
        own = await scene.connect(hub, talk, count, outstanding=outstanding, register=True)
        baseline = await scene.connect(bare, same, count, outstanding=outstanding)
        with progress(what, total=2 * options.rounds) as step:
            rates = await alternate(options.rounds, own.rate, baseline.rate, told=step)
    report.compare(what, *rates, unit="/s", baseline=part.words, must=part.must, aim=part.aim)
    own.tell(report, what)
    baseline.tell(report, f"{part.words}, {outstanding} outstanding")


SCENARIO = Scenario(
    "heartbeats",
    "heartbeats, committed to the store and acknowledged, against a bare echo of the same size",
    Options,
    run,
)
