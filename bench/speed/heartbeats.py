"""Heartbeats, committed and acknowledged, against the echo of bare servers.

And those that say something, as agents do, against those that say nothing, at the same hub.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, structs

from agent_client.session.heartbeats import heartbeat_of
from bench.load.records import bench_spec
from bench.load.talk import echo, heartbeats
from bench.results.report import Report
from bench.scenario import scenario
from bench.speed.scene import HubUrl, LoadOptions, SpeedScene
from homeport_protocol.requests import Heartbeat


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


class Said(Struct, frozen=True):
    """What agents say with their heartbeats, and the ratio to those that say nothing."""

    name: str
    said: list[Heartbeat]
    must: float | None = None
    aim: float | None = None


SPEC = bench_spec(0)

SAME = {"note": bench_spec(0).metadata["note"]}  # type: ignore[index]
"""Metadata that all agents of the bench have from the beginning, some 150 bytes."""

SAID = (
    Said("status as it was", [Heartbeat(id=0, status="healthy")], 0.9, 0.97),
    Said("a load that moves", [Heartbeat(id=0, load=n / 10) for n in range(1, 10)], 0.9, 0.97),
    Said(
        "status and metadata as they were",
        [Heartbeat(id=0, status="healthy", metadata=SAME)],
        0.9,
        0.97,
    ),
    Said("metadata that change", [Heartbeat(id=0, metadata={"n": n}) for n in range(9)]),
    Said(
        "what AgentClient says, with a load",
        [heartbeat_of(structs.replace(SPEC, load=n / 10)) for n in range(1, 10)],
        0.9,
        0.97,
    ),
)
"""The third is what the legacy registry's agents say."""


@scenario(
    "heartbeats",
    "heartbeats, stored and acknowledged, against a bare echo of the same size",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Measure with one request outstanding, and with several."""
    await _measure(report, options, 1, ONE_OUTSTANDING)
    await _measure(report, options, options.pipelined, PIPELINED)
    for outstanding in dict.fromkeys((1, options.pipelined)):
        await _compare(report, options, outstanding)


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


async def _compare(report: Report, options: Options, outstanding: int) -> None:
    """Measure what agents say with their heartbeats, and those that say nothing, in turn."""
    async with SpeedScene(options) as scene:
        hub = await scene.hub_at(options.url)
        talks = [heartbeats(outstanding), *(heartbeats(outstanding, *each.said) for each in SAID)]
        loaded = [
            await scene.load(hub, talk, options.connections, outstanding=outstanding, register=True)
            for talk in talks
        ]
        bare, *others = await scene.rates(f"what agents say, {outstanding} outstanding", loaded)
    for each, rates in zip(SAID, others, strict=True):
        report.goal(
            *(f"{each.name}, {outstanding} outstanding", rates, bare),
            unit="/s",
            baseline="heartbeats that say nothing",
            must=each.must,
            aim=each.aim,
        )
    for each, server in zip(SAID, loaded[1:], strict=True):
        server.add_to(report, f"{each.name}, {outstanding} outstanding")
