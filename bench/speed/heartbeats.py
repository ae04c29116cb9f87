"""Heartbeats, committed and acknowledged, against the echo of bare servers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bench.load.talk import echo, heartbeats
from bench.results.report import Report
from bench.scenario import scenario
from bench.speed.scene import HubUrl, LoadOptions, SpeedScene


class Options(LoadOptions, frozen=True, kw_only=True):
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
"""The first, which is judged, runs as its documentation says, by `asyncio.run`."""

PIPELINED = (Baseline("serverprotocol", "ServerProtocol echo", 0.45, 0.7),)


@scenario(
    "heartbeats",
    "heartbeats, stored and acknowledged, against a bare echo of the same size",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Measure with one request outstanding, and with several."""
    await _measure(report, options, 1, ONE_OUTSTANDING)
    await _measure(report, options, options.pipelined, PIPELINED)


async def _measure(
    report: Report, options: Options, outstanding: int, baselines: tuple[Baseline, ...]
) -> None:
    """Measure the hub and the bare servers in turn."""
    what = f"heartbeats, {outstanding} outstanding"
    talk, count = heartbeats(outstanding), options.connections
    same = echo(talk.size, outstanding)
    async with SpeedScene(options) as scene:
        hub = await scene.hub_at(options.url)
        loaded = [await scene.load(hub, talk, count, outstanding=outstanding, register=True)]
        for baseline in baselines:
            bare = await scene.bare(baseline.name)
            loaded.append(await scene.load(bare, same, count, outstanding=outstanding))
        own, *others = await scene.rates(what, loaded)
    for each, rates in zip(baselines, others, strict=True):
        report.goal(
            *(what, own, rates), unit="/s", baseline=each.words, must=each.must, aim=each.aim
        )
    names = [what, *(f"{each.words}, {outstanding} outstanding" for each in baselines)]
    for name, server in zip(names, loaded, strict=True):
        server.add_to(report, name)
