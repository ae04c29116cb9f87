"""A few ask the dearest things as fast as they can: nobody else's heartbeat waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct

from bench.faults.dear_callers import Answers, DearCallers
from bench.peers.raw_client import RawClient
from bench.peers.raw_fleet import Beats, RawFleet
from bench.peers.watcher import Watcher
from bench.results.report import Report, percentile
from bench.rig.progress import say
from bench.rig.workers import Done, Worker
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Hubs, Registered, Updated
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import ListHubs, Register, Update

ASK_AGAIN = 0.2  # seconds between two looks at the other hub's list of hubs
CHANGE_EVERY = 0.05  # seconds between two changes, which make all that was found out of date
NAMES = ("hub-a", "hub-b")


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=10, le=50_000, description="agents at the hub, which all heartbeat")
    ] = 1000
    callers: Annotated[
        int, Meta(ge=1, le=200, description="connections that ask for dear things")
    ] = 10
    pipelined: Annotated[
        int, Meta(ge=1, le=200, description="requests that each of them has under way")
    ] = 115
    changes: Annotated[
        int, Meta(ge=1, le=40_000, description="changes in the log, which their watches replay")
    ] = 4000
    seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long it goes on, calm and then asked")
    ] = 20.0
    p99: Annotated[
        float, Meta(gt=0, description="milliseconds for 99 % of the heartbeats meanwhile")
    ] = 50.0
    worst: Annotated[float, Meta(gt=0, description="milliseconds for each of them")] = 250.0


class OtherHub(Struct):
    """What the other hub said meanwhile: looks at its list of hubs, and how many lacked the hub."""

    looks: int = 0
    without: int = 0


@scenario(
    "fairness",
    "ten connections ask the dearest things allowed; a neighbour's heartbeat hardly waits",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Measure the heartbeats of a fleet, first calm, and then beside dear callers."""
    async with Scene() as scene:
        store = await scene.store()
        hub, other = [await scene.hub(hub_id=name, redis=store.url) for name in NAMES]
        watcher = await Watcher.open(other.websocket_url)
        asked = await scene.connect(other.websocket_url)
        changer = await scene.connect(hub.websocket_url)
        interval = max(5.0, options.agents / 500)
        fleet = await RawFleet.start(scene, hub.websocket_url, options.agents, interval)
        say(f"registering {options.agents:,} agents, and making {options.changes:,} changes")
        await fleet.register()
        log, since = await _change(changer, options.changes)
        spec = DearCallers(
            url=hub.url,
            websocket_url=hub.websocket_url,
            connections=options.callers,
            pipelined=options.pipelined,
            log=log,
            since=since,
        )
        callers = Worker("bench.faults.dear_callers", spec)
        await scene.enter_async_context(callers)
        seen = OtherHub()
        scene.go_on(_look(asked, seen))
        scene.go_on(_keep_changing(changer))

        say(f"{options.agents:,} agents heartbeat, {options.seconds:g} s, calm")
        calm = await _span(options.seconds)
        say(f"{options.callers} connections ask dear things, {options.seconds:g} s")
        await callers.request("go", Done)
        dear = await _span(options.seconds)
        answers = await callers.request("answers", Answers)
        await asyncio.sleep(1.0)
        beats = await fleet.report()

        _judge(report, options, beats, calm, dear)
        for kind, count in sorted(answers.answered.items()):
            report.figure(f"dear things answered: {kind}", count)
        report.none("none of them was refused", answers.refused)
        unreachable = [each.agent.name for each in watcher.events if each.unreachable]
        lost = [each.agent.name for each in watcher.events if each.kind == "lost"]
        report.none("no agent became unreachable", unreachable)
        report.none("no agent was told as lost", lost)
        report.none(
            "the other hub never missed this one", seen.without, f"{seen.without} of {seen.looks}"
        )
        report.none("the hub was never stalled", hub.stalls() + other.stalls())
        scene.judge_hubs(report)


async def _span(seconds: float) -> tuple[float, float]:
    """Let so much time pass; returns its begin and end."""
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return began, time.monotonic()


async def _change(client: RawClient, count: int) -> tuple[str, int]:
    """Make so many changes of one agent; returns the log, and the revision before them."""
    spec = AgentSpec(name="changing", type="cost", capabilities=["probe"], version="1.0")
    registered, _ = await client.demand(Register(id=0, agent=spec), Registered)
    for start in range(0, count, 100):
        asked = [
            client.send(Update(id=0, version=f"1.{number}"))
            for number in range(start, min(start + 100, count))
        ]
        await asyncio.gather(*asked)
    return registered.log, registered.revision


async def _keep_changing(client: RawClient) -> None:
    for number in range(10**9):
        await client.demand(Update(id=0, version=f"2.{number}"), Updated)
        await asyncio.sleep(CHANGE_EVERY)


async def _look(client: RawClient, seen: OtherHub) -> None:
    while True:
        hubs, _ = await client.demand(ListHubs(id=0), Hubs)
        seen.looks += 1
        seen.without += NAMES[0] not in [each.hub_id for each in hubs.hubs]
        await asyncio.sleep(ASK_AGAIN)


def _judge(
    report: Report,
    options: Options,
    beats: Beats,
    calm: tuple[float, float],
    dear: tuple[float, float],
) -> None:
    for what, (began, ended) in (("calm", calm), ("beside dear callers", dear)):
        waits = [heard - sent for sent, heard, _ in beats.acks if began <= sent < ended]
        report.spread(f"heartbeat until acknowledged, {what}", waits)
        report.latencies(f"heartbeats {what}", waits)
    ordered = sorted(1000 * (h - s) for s, h, _ in beats.acks if dear[0] <= s < dear[1])
    report.goal(
        "p99 of heartbeats beside dear callers",
        [percentile(ordered, 0.99)],
        unit="ms",
        must=options.p99,
        higher=False,
    )
    report.goal(
        "worst heartbeat beside dear callers",
        [ordered[-1]],
        unit="ms",
        must=options.worst,
        higher=False,
    )
    report.none("every heartbeat was answered", beats.overdue(), f"{len(beats.overdue())}")
    report.none("no heartbeat was refused", beats.refusals)
    report.none("no connection of an agent ended", beats.lost)
