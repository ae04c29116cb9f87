"""One of two hubs is killed under its agents: they go on at the other, and nobody is blamed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from bench.faults.follower import Follower
from bench.faults.pair import Pair, Settled, judge_directory, judge_sessions
from bench.peers.client_fleet import Held
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed
from bench.rig.processes import temporary_directory
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.scenario import Scenario


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


class _Killed(Struct):
    """The killed hub: when, its agents' sessions, and all sessions before and after."""

    at: float
    agents: list[Held]
    before: Settled
    after: Settled


async def prove(options: Options) -> Report:
    """Kill one hub; watch at the other, and with a watch that moves there."""
    report = SCENARIO.report(options)
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        pair = await Pair.start(stack, directory, options.agents)
        survivor, victim = pair.hubs
        staying = await Watcher.open(survivor.websocket_url)
        moving = await Watcher.open(victim.websocket_url)
        before = await pair.register()
        theirs = before.at(victim)
        say(f"killing the hub that holds {len(theirs):,} of them")
        killed_at = await victim.kill()
        moved = await Watcher.open(survivor.websocket_url, position=moving.stands_at)
        after = await pair.settled(away=victim)
        say(f"all are back; watching until {options.seconds:g} s after the kill")
        await asyncio.sleep(max(0.0, killed_at + options.seconds - time.monotonic()))
        at_last = await pair.settled(away=victim)
        _, newest = staying.stands_at
        watches: list[Watcher | Follower] = [moved, *pair.followers]
        for watch in watches:
            await until("all watches at one revision", partial(_has, watch, newest), 30.0)
        shown = await pair.directory(survivor)
        failures = pair.failures()
        for watcher in (staying, moved):  # what ends now is not their business
            watcher.close()

    _tell(report, _Killed(killed_at, theirs, before, after), staying)
    judge_sessions(report, "the killed hub", theirs, after)
    mine = before.at(survivor)
    disturbed = [held.agent_id for held in mine if at_last.held[held.agent_id] != held]
    report.check("no agent of the other hub lost its session", not disturbed, listed(disturbed))
    judge_directory(report, {*before.held}, shown, {"hub-a"})
    _judge_watchers(report, staying, moved, {held.agent_id for held in theirs})
    pair.followers[0].judge(report, "to a watch of the client package at the other hub")
    pair.followers[1].judge(report, "to one that was at the killed hub, and moved by itself")
    report.check("the hubs logged no failure of their own", failures == 0, f"{failures}")
    return report


def _has(watch: Watcher | Follower, revision: int) -> bool:
    reached = watch.revision if isinstance(watch, Follower) else watch.stands_at[1]
    return reached >= revision


def _tell(report: Report, killed: _Killed, staying: Watcher) -> None:
    report.figure("agents", len(killed.before.held))
    report.figure("agents of the killed hub", len(killed.agents))
    back = sorted(killed.after.held[held.agent_id].at - killed.at for held in killed.agents)
    report.spread("kill -9 until an agent has a session at the other hub", back)
    report.figure("all agents back, since the kill", back[-1] if back else 0.0, "s")
    lost = {event.agent.id for event in staying.events if event.kind == "lost"}
    report.figure("agents told lost, because the dead hub's lease lapsed first", len(lost))
    blamed = {event.agent.id for event in staying.events if event.agent.status == "unreachable"}
    report.figure("agents that a watcher ever saw unreachable", len(blamed))


def _judge_watchers(report: Report, staying: Watcher, moved: Watcher, agents: set[str]) -> None:
    report.check(
        "a watcher that moved from the killed hub was resumed, without a snapshot",
        moved.resumed and not moved.restarts,
    )
    for who, watcher in (("at the other hub", staying), ("that moved", moved)):
        gaps = watcher.gaps()
        report.check(f"no revision was missing to the watcher {who}", not gaps, listed(gaps))
        blamed = [e.agent.name for e in watcher.events if e.agent.status == "unreachable"]
        report.check(f"none was ever unreachable to it ({who})", not blamed, listed(blamed))
        told = {event.agent.id for event in watcher.events if event.kind == "resumed"}
        report.check(
            f"it was told of every agent's return ({who})",
            told >= agents,
            f"{len(told & agents):,}",
        )


SCENARIO = Scenario(
    "failover",
    "kill -9 of one of two hubs: its agents go on at the other, none is ever unreachable",
    Options,
    prove,
)
