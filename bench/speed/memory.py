"""What an idle registered agent costs a hub in memory, against a bare connection."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Group, Kind
from bench.results.report import Report
from bench.rig.machine import usage
from bench.rig.rounds import Rounds, in_turn
from bench.scenario import scenario
from bench.speed.scene import SpeedScene

SETTLED = 2.0  # seconds after which a server has tidied up behind a storm


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rounds: Rounds = 5
    agents: Annotated[int, Meta(ge=1, le=100_000, description="idle agents")] = 10_000
    first: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="agents that come before, and do not count: with the first ones a server "
            "loads and makes what it has once",
        ),
    ] = 100


@scenario("memory", "memory for each idle registered agent, against a bare connection", Options)
async def run(options: Options, report: Report) -> None:
    """Measure new hubs, each with its fleet, and new bare servers, in turn."""
    troubles: list[str] = []
    own, against = await in_turn(
        "memory",
        options.rounds,
        partial(_growth, options, "agent", troubles),
        partial(_growth, options, "silent", troubles),
    )
    report.goal(
        f"memory of a hub for each of {options.agents:,} idle agents",
        own,
        unit="KB",
        must=12.0,
        aim=9.0,
        higher=False,
    )
    report.goal(
        "memory for each idle agent",
        *(own, against),
        unit="KB",
        baseline="connection of uvicorn and ServerProtocol alone",
        must=2.2,
        aim=1.7,
        higher=False,
    )
    report.none("every agent was registered", troubles)


async def _growth(options: Options, kind: Kind, troubles: list[str]) -> float:
    """Kilobytes (1024 bytes) by which a new server grows for each of its idle connections."""
    async with SpeedScene() as scene:
        server = await (scene.hub_at() if kind == "agent" else scene.bare("uvicorn-upgrades"))
        assert server.pid is not None
        before = 0
        for count in (options.first, options.agents):
            before = usage(server.pid).memory
            crowd = await scene.crowd(server, Group(kind, count))
            troubles += (await crowd.open()).troubles
            await asyncio.sleep(SETTLED)
        return (usage(server.pid).memory - before) / options.agents / 1024
