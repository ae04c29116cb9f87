"""`find` by type and capability among few and among many agents, against a bare answer as long."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.records import GROUP, group_filter, group_names
from bench.load.talk import constant, finds, heartbeats
from bench.peers.raw_client import Driver
from bench.results.report import Report, listed
from bench.rig.progress import progress, say
from bench.rig.rounds import in_turn
from bench.scenario import Scenario
from bench.speed.driven import Server
from bench.speed.scene import Driving, HubUrl, Scene, sizes
from homeport_protocol.answers import Agents
from homeport_protocol.codec import encode
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Find

QUESTIONS = 50
"""Different filters that are asked for in turn, if the smallest fleet has agents for so many."""


class Options(Driving, frozen=True, kw_only=True):
    """The command line."""

    fleets: Annotated[
        str,
        Meta(
            pattern=r"^([2-9]\d|[1-9]\d{2,4})(,([2-9]\d|[1-9]\d{2,4}))*$",
            examples=["100,1000 (20 or more of each)"],
            description="agents of each, 20 or more",
        ),
    ] = "100,1000,10000"
    connections: Annotated[
        int, Meta(ge=1, le=100_000, description="connections that ask, one request outstanding")
    ] = 200
    url: HubUrl = ""


class Answers(Struct):
    """What `find` answers: bytes of the longest one, and those that were not right."""

    size: int = 0
    wrong: list[str] = []


async def run(options: Options) -> Report:
    """Measure a hub for each fleet, and the bare server, in turn."""
    report = SCENARIO.report(options)
    answers = Answers()
    counts = sizes(options.fleets)
    groups = range(min(QUESTIONS, min(counts) // (2 * GROUP)))
    talk = finds([group_filter(group) for group in groups], GROUP)
    asking = []
    async with Scene(options) as scene:
        for count in counts:
            hub = await scene.hub(options.url)
            say(f"registering {count:,} agents")
            await scene.connect(hub, heartbeats(1), count, register=True)
            await _look(hub, groups, answers)
            asking.append(await scene.connect(hub, talk, options.connections))
        bare = await scene.bare("serverprotocol", answers.size)
        same = constant(talk.size, "x" * answers.size)
        baseline = await scene.connect(bare, same, options.connections)
        drives = [*asking, baseline]
        with progress("find", total=len(drives) * options.rounds) as step:
            *own, against = await in_turn(
                options.rounds, *(each.rate for each in drives), told=step
            )
    _tell(report, counts, own, against)
    report.figure("bytes of an answer", answers.size, "B")
    for count, driven in zip(counts, asking, strict=True):
        driven.tell(report, f"find among {count:,}")
    baseline.tell(report, "bare answers")
    report.check("each finds the ten agents it must", not answers.wrong, listed(answers.wrong))
    return report


async def _look(hub: Server, groups: Iterable[int], answers: Answers) -> None:
    """Ask each question once, and look at the agents that come."""
    driver = await Driver.connect(hub.url)
    for group in groups:
        found: Agents[AgentRecord]
        found, _ = await driver.demand(Find(id=100, filter=group_filter(group)), Agents)
        answers.size = max(answers.size, len(encode(found)))
        names = sorted(agent.name for agent in found.agents)
        if names != group_names(group):
            answers.wrong.append(f"group {group}: {', '.join(names)}")
    driver.abort()


def _tell(report: Report, counts: list[int], own: list[list[float]], against: list[float]) -> None:
    for count, rates in zip(counts, own, strict=True):
        what = f"find, {GROUP} hits among {count:,} agents"
        report.compare(
            *(what, rates, against), unit="/s", baseline="bare answer", must=0.3, aim=0.6
        )
    if len(counts) > 1:
        report.compare(
            f"find among {counts[-1]:,} agents",
            *(own[-1], own[0]),
            unit="/s",
            baseline=f"among {counts[0]:,}",
            must=0.9,
            aim=1.0,
        )
    points = [(count, statistics.median(rates)) for count, rates in zip(counts, own, strict=True)]
    report.growth("find", "agents", "/s", points)


SCENARIO = Scenario(
    "find",
    "find by type and capability among few and many agents, against a bare answer",
    Options,
    run,
)
