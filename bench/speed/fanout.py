"""One change, and many watchers: how long until the last one has it."""

from __future__ import annotations

import asyncio
import statistics
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Crowd, Group
from bench.results.report import Report
from bench.rig.progress import say
from bench.rig.rounds import Rounds, in_turn
from bench.scenario import scenario
from bench.speed.scene import HubUrl, SpeedScene
from homeport_protocol.answers import Event
from homeport_protocol.codec import decode_message, encode
from homeport_protocol.requests import Update


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rounds: Rounds = 5
    changes: Annotated[
        int, Meta(ge=1, le=1000, description="changes in each round, of which the median is taken")
    ] = 20
    watchers: Annotated[int, Meta(ge=1, le=100_000, description="watchers of every agent")] = 5000
    pause: Annotated[
        float, Meta(ge=0, le=10, description="seconds between a change and the next")
    ] = 0.05
    url: HubUrl = ""


class _Deliveries:
    """Messages to all of a crowd, again and again."""

    def __init__(self, options: Options, crowd: Crowd) -> None:
        self._options = options
        self._crowd = crowd
        self._seconds: list[float] = []
        self._shares: list[float] = []
        self.texts: list[str] = []

    async def median(self) -> float:
        """Milliseconds from the speaker's message to the last delivery."""
        seconds = []
        for _ in range(self._options.changes):
            heard = await self._crowd.say()
            seconds.append(heard.seconds)
            self._shares.append(heard.cpu / heard.seconds)
            self.texts.append(heard.text)
            await asyncio.sleep(self._options.pause)
        self._seconds += seconds
        return 1000 * statistics.median(seconds)

    def add_to(self, report: Report, what: str) -> None:
        """Note all but the medians."""
        report.spread(f"{what}: until the last one has it", self._seconds)
        report.latencies(what, self._seconds)
        words = f"{what}: load's share of a core"
        report.figure(words, 100 * statistics.median(self._shares), "%")


@scenario("fanout", "one change to many watchers, against bare writes of the same bytes", Options)
async def run(options: Options, report: Report) -> None:
    """Change an agent, and have a bare server write the same number of bytes, in turn."""
    count = options.watchers
    changes = [encode(Update(id=0, version=f"1.{place}")).decode() for place in (1, 3)]
    async with SpeedScene() as scene:
        say(f"connecting {count:,} watchers to a hub, and as many to a bare server")
        hub, bare = await scene.hub_at(options.url), await scene.bare("uvicorn-upgrades")
        groups = Group("agent", 1, "speaker"), Group("watcher", count, "hearer")
        watchers = await scene.crowd(hub, *groups, says=changes)
        troubles = (await watchers.open()).troubles
        size = len((await watchers.say()).text)
        groups = Group("silent", 1, "speaker"), Group("silent", count, "hearer")
        others = await scene.crowd(bare, *groups, says=[f"write {size}"])
        await others.open()
        events, writes = _Deliveries(options, watchers), _Deliveries(options, others)
        own, against = await in_turn("changes", options.rounds, events.median, writes.median)
        if options.url:
            await watchers.leave()
    report.goal(
        f"a change is made, until the last of {count:,} watchers has it",
        *(own, against),
        unit="ms",
        baseline="bare write of as many bytes to as many connections",
        must=2.0,
        aim=1.3,
        higher=False,
    )
    events.add_to(report, "changes")
    writes.add_to(report, "bare writes")
    report.figure("bytes of an event", size, "B")
    report.none("the agent was registered", troubles)
    _judge(report, events.texts)


def _judge(report: Report, texts: list[str]) -> None:
    """Check that each change was heard once, in order; the crowd has seen that all heard it."""
    events = [decode_message(text.encode()) for text in texts]
    wrong = [each for each in events if not isinstance(each, Event) or each.kind != "updated"]
    revisions = [each.revision for each in events if isinstance(each, Event)]
    report.none("all watchers heard every change", wrong)
    report.check(
        "revisions follow each other",
        revisions == [*range(revisions[0], revisions[0] + len(texts))] if revisions else False,
    )
