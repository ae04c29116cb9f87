"""Heartbeats of few and of many agents: what a hub's speed loses as its fleet grows."""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta

from bench.load.talk import echo, heartbeats
from bench.progress import progress, say
from bench.report import Report
from bench.rounds import in_turn
from bench.scenario import Scenario
from bench.speed.scene import Driving, Scene, sizes


class Options(Driving, frozen=True, kw_only=True):
    """The command line."""

    fleets: Annotated[
        str,
        Meta(pattern=r"^[1-9]\d{0,4}(,[1-9]\d{0,4})+$", description="connected agents, each time"),
    ] = "10,1000,10000"
    in_flight: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="heartbeats on their way at any time, of all agents together: each agent "
            "sends its next one when all others have had their turn",
        ),
    ] = 10


async def run(options: Options) -> Report:
    """Measure a hub of each size in turn, and a bare echo with as many connections for context."""
    report = SCENARIO.report(options)
    counts, in_flight = sizes(options.fleets), options.in_flight
    talk = heartbeats(1)
    same = echo(talk.size, 1)
    fleets, echoes = [], []
    async with Scene(options) as scene:
        for count in counts:
            # Few agents heartbeat as often as many do: thousands of times a second each.
            hub = await scene.hub(max_rate=0)
            say(f"connecting {count:,} agents to a hub of their own")
            bare = await scene.bare("serverprotocol")
            fleet = await scene.connect(hub, talk, count, in_flight=in_flight, register=True)
            fleets.append(fleet)
            echoes.append(await scene.connect(bare, same, count, in_flight=in_flight))
        drives = [*fleets, *echoes]
        with progress("heartbeats and echoes", total=len(drives) * options.rounds) as step:
            rates = await in_turn(options.rounds, *(each.rate for each in drives), told=step)
    own, bare_rates = rates[: len(counts)], rates[len(counts) :]
    for count, each in zip(counts[1:], own[1:], strict=True):
        report.compare(
            f"heartbeats of {count:,} agents",
            *(each, own[0]),
            unit="/s",
            baseline=f"of {counts[0]:,} agents",
            must=0.75,
        )
    for what, measured, drives in (
        ("heartbeats of {:,} agents", own, fleets),
        ("echoes of {:,} connections", bare_rates, echoes),
    ):
        medians = [statistics.median(each) for each in measured]
        report.growth(what.split()[0], "connections", "/s", list(zip(counts, medians, strict=True)))
        for count, median, driven in zip(counts, medians, drives, strict=True):
            report.figure(what.format(count), median, "/s")
            driven.tell(report, what.format(count))
    return report


SCENARIO = Scenario(
    "growth", "heartbeats of few and of many connected agents, as often in all", Options, run
)
