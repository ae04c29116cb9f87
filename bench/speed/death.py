"""An agent dies: how much later many watchers hear of it than a bare server can know.

What must come of a death, and that killed processes are no different, is `agent-death`'s to prove.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Crowd, CrowdSpec, Group
from bench.results.report import Report, listed
from bench.rig.cores import Cores
from bench.rig.progress import progress
from bench.rig.rounds import Rounds, alternate
from bench.scenario import Scenario
from bench.speed.scene import Scene
from homeport_protocol.answers import Event
from homeport_protocol.codec import decode_message


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rounds: Rounds = 5
    deaths: Annotated[int, Meta(ge=1, le=1000, description="deaths in each round")] = 40
    watchers: Annotated[int, Meta(ge=1, le=100_000, description="watchers of every agent")] = 100
    pause: Annotated[
        float, Meta(ge=0, le=10, description="seconds between a death and the next")
    ] = 0.02


async def run(options: Options) -> Report:
    """End connections of agents, and of a bare server, in turn."""
    report = SCENARIO.report(options)
    count, mortals = options.watchers, options.rounds * options.deaths
    told: list[float] = []
    known: list[float] = []
    texts: list[str] = []

    async with Scene() as scene:
        # Nobody becomes unreachable meanwhile, which watchers would hear of as well.
        hub = await scene.hub(resume_window=600, lease_ttl=1800)
        groups = [Group("agent", mortals, "mortal"), Group("watcher", count, "hearer")]
        agents = await scene.enter(Crowd(CrowdSpec(url=hub.url, groups=groups), Cores.plan()))
        troubles = (await agents.open()).troubles
        bare = await scene.bare("uvicorn-upgrades")
        groups = [Group("silent", mortals, "mortal"), Group("told of ends", 1, "hearer")]
        others = await scene.enter(Crowd(CrowdSpec(url=bare.url, groups=groups), Cores.plan()))
        await others.open()

        async def until_told() -> float:
            heard = []
            for _ in range(options.deaths):
                heard.append(await agents.die())
                await asyncio.sleep(options.pause)
            texts.extend(each.text for each in heard)
            told.extend(each.seconds for each in heard)
            return 1000 * statistics.median(each.seconds for each in heard)

        async def until_known() -> float:
            seconds = []
            for _ in range(options.deaths):
                heard = await others.die()
                seconds.append(float(heard.text) - heard.began)
                await asyncio.sleep(options.pause)
            known.extend(seconds)
            return 1000 * statistics.median(seconds)

        with progress("deaths", total=2 * options.rounds) as step:
            own, against = await alternate(options.rounds, until_told, until_known, told=step)
    report.goal(
        f"a connection ends, until the last of {count:,} watchers hears of it: "
        "later than a bare server sees the end",
        [ours - theirs for ours, theirs in zip(own, against, strict=True)],
        unit="ms",
        must=3.0,
        higher=False,
    )
    for what, seconds in (("until all watchers hear", told), ("until a bare server sees", known)):
        report.spread(what, seconds)
        report.latencies(what, seconds)
    report.check("every agent was registered", not troubles, listed(troubles))
    _judge(report, texts)
    return report


def _judge(report: Report, texts: list[str]) -> None:
    events = [decode_message(text.encode()) for text in texts]
    wrong = [each for each in events if not isinstance(each, Event) or each.kind != "lost"]
    ids = {each.agent.id for each in events if isinstance(each, Event)}
    report.check("all watchers heard of every death, as `lost`", not wrong, listed(wrong))
    report.check("each was another agent's", len(ids) == len(texts))


SCENARIO = Scenario(
    "death", "the end of an agent, until watchers hear, against a bare server", Options, run
)
