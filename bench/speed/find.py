"""`find` by type and capability among few and among many agents, against a bare answer as long."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.records import GROUP, group_filter, group_names
from bench.load.talk import constant, finds, heartbeats
from bench.peers.raw_client import RawClient
from bench.results.report import Report
from bench.rig.progress import say
from bench.scenario import scenario
from bench.speed.scene import HubUrl, LoadOptions, SpeedScene, sizes
from homeport_protocol.answers import Agents
from homeport_protocol.codec import encode
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Find

QUESTIONS = 50  # different filters, used in turn, if the smallest fleet has agents for so many


class Options(LoadOptions, frozen=True, kw_only=True):
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
    """The answers to `find`: bytes of the longest one, and those that were wrong."""

    size: int = 0
    wrong: list[str] = []


@scenario(
    "find", "find by type and capability among few and many agents, against a bare answer", Options
)
async def run(options: Options, report: Report) -> None:
    """Measure a hub for each fleet, and the bare server, in turn."""
    answers = Answers()
    counts = sizes(options.fleets)
    groups = range(min(QUESTIONS, min(counts) // (2 * GROUP)))
    talk = finds([group_filter(group) for group in groups], GROUP)
    loaded = []
    async with SpeedScene(options) as scene:
        for count in counts:
            hub = await scene.hub_at(options.url)
            say(f"registering {count:,} agents")
            await scene.load(hub, heartbeats(1), count, register=True)
            await _look(await scene.connect(hub.url), groups, answers)
            loaded.append(await scene.load(hub, talk, options.connections))
        bare = await scene.bare("serverprotocol", answers.size)
        same = constant(talk.size, "x" * answers.size)
        loaded.append(await scene.load(bare, same, options.connections))
        *own, against = await scene.rates("find", loaded)
    _compare(report, counts, own, against)
    report.figure("bytes of an answer", answers.size, "B")
    names = [*(f"find among {count:,}" for count in counts), "bare answers"]
    for name, each in zip(names, loaded, strict=True):
        each.add_to(report, name)
    report.none("each finds the ten agents it must", answers.wrong)


async def _look(client: RawClient, groups: Iterable[int], answers: Answers) -> None:
    """Ask each question once, and check which agents are found."""
    for group in groups:
        found: Agents[AgentRecord]
        found, _ = await client.demand(Find(id=100, filter=group_filter(group)), Agents)
        answers.size = max(answers.size, len(encode(found)))
        names = sorted(agent.name for agent in found.agents)
        if names != group_names(group):
            answers.wrong.append(f"group {group}: {', '.join(names)}")


def _compare(
    report: Report, counts: list[int], own: list[list[float]], against: list[float]
) -> None:
    for count, rates in zip(counts, own, strict=True):
        what = f"find, {GROUP} hits among {count:,} agents"
        report.goal(*(what, rates, against), unit="/s", baseline="bare answer", must=0.3, aim=0.6)
    if len(counts) > 1:
        report.goal(
            f"find among {counts[-1]:,} agents",
            *(own[-1], own[0]),
            unit="/s",
            baseline=f"among {counts[0]:,}",
            must=0.9,
            aim=1.0,
        )
    points = [*zip(counts, map(statistics.median, own), strict=True)]
    report.growth("find", "agents", "/s", points)
