"""Heartbeats of few and of many agents: what a hub's speed loses as its fleet grows."""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.talk import echo, heartbeats
from bench.results.report import Report
from bench.rig.progress import progress, say
from bench.rig.rounds import in_turn
from bench.scenario import Scenario
from bench.speed.scene import Driving, HubUrl, Scene, sizes


class Options(Driving, frozen=True, kw_only=True):
    """The command line."""

    fleets: Annotated[
        str,
        Meta(
            pattern=r"^[1-9]\d{0,4}(,[1-9]\d{0,4})+$",
            examples=["10,1000"],
            description="connected agents, each time",
        ),
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
    url: Annotated[HubUrl, Meta(description="(its max-rate must be 0)")] = ""


class Rates(Struct, frozen=True):
    """What a fleet reached in each round, and a bare echo with as many connections."""

    count: int
    own: list[float]
    bare: list[float]


async def run(options: Options) -> Report:
    """Measure hubs of all sizes in turn; or the one that is there, with one fleet after the other.

    A bare echo with as many connections tells what the machine itself loses.
    """
    report = SCENARIO.report(options)
    counts = sizes(options.fleets)
    together = [[count] for count in counts] if options.url else [counts]
    rates = [each for some in together for each in await _measure(report, options, some)]
    first = rates[0]
    for each in rates[1:]:
        report.compare(
            f"heartbeats of {each.count:,} agents",
            *(each.own, first.own),
            unit="/s",
            baseline=f"of {first.count:,} agents",
            must=0.75,
        )
    for each in rates[1:]:
        report.compare(
            f"bare echo of {each.count:,} connections",
            *(each.bare, first.bare),
            unit="/s",
            baseline=f"of {first.count:,} connections",
        )
    medians = [(each.count, statistics.median(each.own)) for each in rates]
    report.growth("heartbeats", "connections", "/s", medians)
    medians = [(each.count, statistics.median(each.bare)) for each in rates]
    report.growth("bare echo", "connections", "/s", medians)
    return report


async def _measure(report: Report, options: Options, counts: list[int]) -> list[Rates]:
    """Measure fleets of these sizes in turn, each at a hub of its own."""
    talk, in_flight = heartbeats(1), options.in_flight
    same = echo(talk.size, 1)
    fleets, echoes = [], []
    async with Scene(options) as scene:
        for count in counts:
            say(f"connecting {count:,} agents to a hub")
            hub = await scene.hub(options.url)
            bare = await scene.bare("serverprotocol")
            fleet = await scene.connect(hub, talk, count, in_flight=in_flight, register=True)
            fleets.append(fleet)
            echoes.append(await scene.connect(bare, same, count, in_flight=in_flight))
        drives = [*fleets, *echoes]
        with progress("heartbeats and echoes", total=len(drives) * options.rounds) as step:
            rates = await in_turn(options.rounds, *(each.rate for each in drives), told=step)
    for count, fleet, bare_echo in zip(counts, fleets, echoes, strict=True):
        fleet.tell(report, f"heartbeats of {count:,} agents")
        bare_echo.tell(report, f"bare echo of {count:,} connections")
    own, bare_rates = rates[: len(counts)], rates[len(counts) :]
    return [Rates(*each) for each in zip(counts, own, bare_rates, strict=True)]


SCENARIO = Scenario(
    "growth", "heartbeats of few and of many connected agents, as often in all", Options, run
)
