"""Heartbeats, committed and acknowledged, against the echo of bare servers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated

from msgspec import Meta, Struct

from bench.baselines.process import BaselineProcess
from bench.cores import Cores
from bench.load.load import Load, LoadSpec
from bench.load.talk import echo, heartbeats
from bench.report import Report
from bench.rounds import alternate
from bench.scenario import Scenario
from bench.speed.measuring import Measuring, open_hub


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    connections: Annotated[int, Meta(ge=1, le=100_000, description="agents that heartbeat")] = 200
    pipelined: Annotated[
        int, Meta(ge=1, le=256, description="requests outstanding, in the pipelined part")
    ] = 16
    rounds: Annotated[int, Meta(ge=1, le=1000, description="rounds; the medians count")] = 5
    seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long each measurement goes on")
    ] = 3.0
    warm_up: Annotated[
        float, Meta(ge=0, le=60, description="seconds before each measurement that do not count")
    ] = 0.5
    processes: Annotated[int, Meta(ge=1, le=64, description="processes that drive")] = 1
    url: Annotated[
        str, Meta(description="a hub that is there already, http://HOST:PORT; none: start one")
    ] = ""


class _Part(Struct, frozen=True):
    """One way to drive, what it is compared with, and what it must reach."""

    what: str
    outstanding: int
    baseline: str
    words: str
    must: float
    aim: float


def _parts(options: Options) -> list[_Part]:
    return [
        _Part("heartbeats, 1 outstanding", 1, "websockets", "websockets.asyncio echo", 1.3, 1.6),
        _Part(
            f"heartbeats, {options.pipelined} outstanding",
            options.pipelined,
            "serverprotocol",
            "ServerProtocol echo",
            0.45,
            0.7,
        ),
    ]


async def run(options: Options) -> Report:
    """Measure each part: the hub and the bare server in turn."""
    report = SCENARIO.report(options)
    cores = Cores.plan()
    for part in _parts(options):
        async with AsyncExitStack() as stack:
            hub = await open_hub(stack, cores, options.url)
            bare = await stack.enter_async_context(BaselineProcess(part.baseline, cores=cores))
            talk = heartbeats(part.outstanding)
            spec = LoadSpec(
                url=hub.url,
                talk=talk,
                count=options.connections,
                register=True,
                outstanding=part.outstanding,
                warm_up=options.warm_up,
                seconds=options.seconds,
            )
            echoes = LoadSpec(
                url=bare.url,
                talk=echo(talk.size, part.outstanding),
                count=options.connections,
                outstanding=part.outstanding,
                warm_up=options.warm_up,
                seconds=options.seconds,
            )
            own = Measuring(
                await Load.connect(stack, spec, processes=options.processes, cores=cores), hub
            )
            other = Measuring(
                await Load.connect(stack, echoes, processes=options.processes, cores=cores), bare
            )
            rates = await alternate(options.rounds, own.rate, other.rate)
            await own.leave()
        report.compare(
            part.what,
            *rates,
            unit="/s",
            baseline=part.words,
            must=part.must,
            aim=part.aim,
        )
        own.tell(report, part.what)
        other.tell(report, part.words)
    return report


SCENARIO = Scenario(
    "heartbeats",
    "heartbeats, committed to the store and acknowledged, against a bare echo of the same size",
    Options,
    run,
)
