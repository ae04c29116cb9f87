"""Both hubs are restarted, one after the other, and no agent becomes unreachable."""

from __future__ import annotations

import time
from typing import Annotated

from msgspec import Meta, Struct

from bench.faults.judging import judge_directory, judge_sessions
from bench.faults.pair import NAMES, Pair
from bench.peers.watcher import Watcher
from bench.results.report import Report
from bench.rig.progress import say
from bench.scenario import scenario


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=2, le=200_000, description="agents of the real client, on two hubs")
    ] = 10_000


@scenario(
    "rolling",
    "both hubs restarted in turn under their agents: none is ever unreachable",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """SIGTERM, a start again when its agents are elsewhere, and then the other hub."""
    report.figure("agents", options.agents)
    async with Pair() as pair:
        await pair.start(options.agents)
        sessions = await pair.register()
        handed_over = 0
        for name, hub in zip(NAMES, pair.hubs, strict=True):
            before = pair.of(hub, sessions)
            say(f"stopping {name}, which holds {len(before):,} agents")
            handed_over += len(before)
            stopped_at = time.monotonic()
            await hub.stop()
            gone_after = time.monotonic() - stopped_at
            sessions = await pair.settled(away=hub)
            await hub.start()
            report.figure(f"agents at {name} when it was stopped", len(before))
            report.figure(f"SIGTERM until {name} was gone", gone_after, "s")
            back = sorted(sessions[agent_id].at - stopped_at for agent_id in before)
            report.spread(f"SIGTERM until an agent of {name} has a session elsewhere", back)
            judge_sessions(report, before, sessions, f" of {name}")
        latest = await Watcher.open(pair.hubs[0].websocket_url)
        await pair.caught_up(latest.began_at, seconds=60.0)
        directory = await pair.directory(pair.hubs[0])

        unreachable = {agent.id for each in pair.followers for agent in each.unreachable}
        report.figure("agents that a watcher ever saw unreachable", len(unreachable))
        judge_directory(report, {*sessions}, directory, {*NAMES})
        for name, follower in zip(NAMES, pair.followers, strict=True):
            who = f"to a watch of the client package that began at {name}"
            follower.judge(report, who, handed_over=handed_over)
        pair.judge_hubs(report)
