"""Heartbeats of few and of many agents: what a hub's speed loses as its fleet grows."""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta

from bench.load.talk import echo, heartbeats
from bench.results.report import Report
from bench.rig.progress import say
from bench.scenario import scenario
from bench.speed.scene import HubUrl, LoadOptions, SpeedScene, sizes


class Options(LoadOptions, frozen=True, kw_only=True):
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


@scenario("growth", "heartbeats of few and of many connected agents, as often in all", Options)
async def run(options: Options, report: Report) -> None:
    """Measure hubs of all sizes in turn; or the one that is there, with one fleet after the other.

    A bare echo with as many connections shows what the machine itself loses.
    """
    counts = sizes(options.fleets)
    own: list[list[float]] = []
    bare: list[list[float]] = []
    for together in [[count] for count in counts] if options.url else [counts]:
        rates = await _measure(report, options, together)
        own += rates[: len(together)]
        bare += rates[len(together) :]
    for what, whose, rates, must in (
        ("heartbeats", "agents", own, 0.75),
        ("bare echo", "connections", bare, None),
    ):
        for count, each in [*zip(counts, rates, strict=True)][1:]:
            report.goal(
                f"{what} of {count:,} {whose}",
                *(each, rates[0]),
                unit="/s",
                baseline=f"of {counts[0]:,} {whose}",
                must=must,
            )
    for what, rates in (("heartbeats", own), ("bare echo", bare)):
        points = [*zip(counts, map(statistics.median, rates), strict=True)]
        report.growth(what, "connections", "/s", points)


async def _measure(report: Report, options: Options, counts: list[int]) -> list[list[float]]:
    """Measure fleets of these sizes in turn, each at a new hub, and as many bare echoes."""
    talk, in_flight = heartbeats(1), options.in_flight
    same = echo(talk.size, 1)
    fleets, echoes = [], []
    async with SpeedScene(options) as scene:
        for count in counts:
            say(f"connecting {count:,} agents to a hub")
            hub = await scene.hub_at(options.url)
            bare = await scene.bare("serverprotocol")
            fleets.append(await scene.load(hub, talk, count, in_flight=in_flight, register=True))
            echoes.append(await scene.load(bare, same, count, in_flight=in_flight))
        rates = await scene.rates("heartbeats and echoes", [*fleets, *echoes])
    for count, fleet, bare_echo in zip(counts, fleets, echoes, strict=True):
        fleet.add_to(report, f"heartbeats of {count:,} agents")
        bare_echo.add_to(report, f"bare echo of {count:,} connections")
    return rates
