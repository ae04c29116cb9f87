"""Both hubs are restarted, one after the other, under their agents: nobody is blamed."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from bench.faults.follower import Follower
from bench.faults.pair import NAMES, Pair, Settled, judge_directory, judge_sessions
from bench.peers.watcher import Watcher
from bench.results.report import Report
from bench.rig.processes import HubProcess, temporary_directory
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.scenario import Scenario


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=2, le=200_000, description="agents of the real client, on two hubs")
    ] = 10_000


class _Restart(Struct):
    """One hub's: when it was told to stop, and the sessions before and once all were elsewhere."""

    name: str
    told_at: float
    gone_after: float
    before: Settled
    after: Settled
    agents: int


async def prove(options: Options) -> Report:
    """SIGTERM, a start again when its agents are elsewhere, and then the other hub."""
    report = SCENARIO.report(options)
    restarts = []
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        pair = await Pair.start(stack, directory, options.agents)
        before = await pair.register()
        for name, hub in zip(NAMES, pair.hubs, strict=True):
            restarts.append(await _restart(pair, name, hub, before))
            before = restarts[-1].after
        latest = await Watcher.open(pair.hubs[0].websocket_url)
        newest = latest.began_at
        latest.close()
        for follower in pair.followers:
            await until("all watches at one revision", partial(_has, follower, newest), 60.0)
        shown = await pair.directory(pair.hubs[0])
        failures = pair.failures()

    report.figure("agents", options.agents)
    for each in restarts:
        _tell(report, pair.hubs[NAMES.index(each.name)], each)
    blamed = {agent.id for follower in pair.followers for agent in follower.blamed}
    report.figure("agents that a watcher ever saw unreachable", len(blamed))
    judge_directory(report, {*before.held}, shown, {*NAMES})
    for name, follower in zip(NAMES, pair.followers, strict=True):
        follower.judge(report, f"to a watch of the client package that began at {name}")
    report.check("the hubs logged no failure of their own", failures == 0, f"{failures}")
    return report


async def _restart(pair: Pair, name: str, hub: HubProcess, before: Settled) -> _Restart:
    agents = len(before.at(hub))
    say(f"stopping {name}, which holds {agents:,} agents")
    told_at = time.monotonic()
    await hub.stop()
    gone_after = time.monotonic() - told_at
    after = await pair.settled(away=hub)
    await hub.start()
    return _Restart(name, told_at, gone_after, before, after, agents)


def _tell(report: Report, hub: HubProcess, restart: _Restart) -> None:
    theirs = restart.before.at(hub)
    back = sorted(restart.after.held[held.agent_id].at - restart.told_at for held in theirs)
    report.figure(f"agents at {restart.name} when it was stopped", restart.agents)
    report.figure(f"SIGTERM until {restart.name} was gone", restart.gone_after, "s")
    report.spread(f"SIGTERM until an agent of {restart.name} has a session elsewhere", back)
    judge_sessions(report, restart.name, theirs, restart.after)


def _has(follower: Follower, revision: int) -> bool:
    return follower.revision >= revision


SCENARIO = Scenario(
    "rolling",
    "both hubs restarted in turn under their agents: none is ever unreachable",
    Options,
    prove,
)
