"""An agent dies: how much later many watchers hear of it than a bare server can know.

`agent-death` shows what must follow a death, and that killed processes are no different.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Group
from bench.results.report import Report
from bench.rig.rounds import Rounds, in_turn
from bench.scenario import scenario
from bench.speed.scene import SpeedScene
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


@scenario("death", "the end of an agent, until watchers hear, against a bare server", Options)
async def run(options: Options, report: Report) -> None:
    """End connections of agents, and of a bare server, in turn."""
    count, mortals = options.watchers, options.rounds * options.deaths
    heard_after: list[float] = []
    seen_after: list[float] = []
    texts: list[str] = []

    async with SpeedScene() as scene:
        # Long enough that no agent becomes unreachable meanwhile: watchers would hear of that, too.
        hub = await scene.hub_at(resume_window=600, lease_ttl=1800)
        groups = Group("agent", mortals, "mortal"), Group("watcher", count, "hearer")
        agents = await scene.crowd(hub, *groups)
        troubles = (await agents.open()).troubles
        bare = await scene.bare("uvicorn-upgrades")
        groups = Group("silent", mortals, "mortal"), Group("told of ends", 1, "hearer")
        others = await scene.crowd(bare, *groups)
        await others.open()

        async def until_heard() -> float:
            seconds = []
            for _ in range(options.deaths):
                heard = await agents.die()
                seconds.append(heard.seconds)
                texts.append(heard.text)
                await asyncio.sleep(options.pause)
            heard_after.extend(seconds)
            return 1000 * statistics.median(seconds)

        async def until_seen() -> float:
            seconds = []
            for _ in range(options.deaths):
                heard = await others.die()
                seconds.append(float(heard.text) - heard.began)
                await asyncio.sleep(options.pause)
            seen_after.extend(seconds)
            return 1000 * statistics.median(seconds)

        own, against = await in_turn("deaths", options.rounds, until_heard, until_seen)
    report.goal(
        f"a connection ends, until the last of {count:,} watchers hears of it: "
        "later than a bare server sees the end",
        [ours - theirs for ours, theirs in zip(own, against, strict=True)],
        unit="ms",
        must=3.0,
        higher=False,
    )
    for what, seconds in (
        ("until all watchers hear", heard_after),
        ("until a bare server sees", seen_after),
    ):
        report.spread(what, seconds)
        report.latencies(what, seconds)
    report.none("every agent was registered", troubles)
    events = [decode_message(text.encode()) for text in texts]
    wrong = [each for each in events if not isinstance(each, Event) or each.kind != "lost"]
    ids = {each.agent.id for each in events if isinstance(each, Event)}
    report.none("all watchers heard of every death, as `lost`", wrong)
    report.check("each was another agent's", len(ids) == len(texts))
