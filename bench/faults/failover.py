"""One of two hubs is killed: its agents go on at the other, and none becomes unreachable."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct

from bench.faults.judging import judge_directory, judge_sessions, judge_watch
from bench.faults.pair import Pair
from bench.peers.watcher import Watcher
from bench.results.report import Report
from bench.rig.progress import say
from bench.scenario import scenario


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=2, le=200_000, description="agents of the real client, on two hubs")
    ] = 10_000
    seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="how long to watch after the kill; by default, longer than the hub's "
            "lease and the resume window, after which who is not back is unreachable",
        ),
    ] = 20.0


@scenario(
    "failover",
    "kill -9 of one of two hubs: its agents go on at the other, none is ever unreachable",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Kill one hub; watch at the other, and with a watch that moves there."""
    async with Pair() as pair:
        await pair.start(options.agents)
        survivor, victim = pair.hubs
        staying = await Watcher.open(survivor.websocket_url)
        moving = await Watcher.open(victim.websocket_url)
        before = await pair.register()
        theirs = pair.of(victim, before)
        say(f"killing the hub that holds {len(theirs):,} of them")
        killed_at = await victim.kill()
        moved = await Watcher.open(survivor.websocket_url, position=moving.position)
        after = await pair.settled(away=victim)
        say(f"all are back; watching until {options.seconds:g} s after the kill")
        await asyncio.sleep(max(0.0, killed_at + options.seconds - time.monotonic()))
        at_last = await pair.settled(away=victim)
        await pair.caught_up(staying.revision, moved, seconds=30.0)
        directory = await pair.directory(survivor)

        report.figure("agents", len(before))
        report.figure("agents of the killed hub", len(theirs))
        back = sorted(after[agent_id].at - killed_at for agent_id in theirs)
        report.spread("kill -9 until an agent has a session at the other hub", back)
        report.figure("all agents back, since the kill", back[-1] if back else 0.0, "s")
        lost = len(staying.ids("lost"))
        report.figure("agents told lost, because the dead hub's lease lapsed first", lost)
        unreachable = len({*staying.ever_unreachable()})
        report.figure("agents that a watcher ever saw unreachable", unreachable)
        judge_sessions(report, theirs, after, " of the killed hub")
        mine = pair.of(survivor, before)
        disturbed = [agent_id for agent_id in mine if at_last[agent_id] != mine[agent_id]]
        report.none("no agent of the other hub lost its session", disturbed)
        judge_directory(report, {*before}, directory, {"hub-a"})
        report.check(
            "a watcher that moved from the killed hub was resumed, without a snapshot",
            moved.resumed and not moved.restarts,
        )
        for where, watcher in (("at the other hub", staying), ("that moved", moved)):
            judge_watch(report, watcher, {*theirs}, f"the watcher {where}", f" ({where})")
        first, second = pair.followers
        first.judge(report, "to a watch of the client package at the other hub")
        second.judge(report, "to one that was at the killed hub, and moved by itself")
        pair.judge_hubs(report)
