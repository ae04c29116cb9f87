"""One change, and many watchers: how long until the last one has it."""

from __future__ import annotations

import asyncio
import statistics
from typing import Annotated

from msgspec import Meta, Struct

from bench.load.crowd import Crowd, CrowdSpec, Group
from bench.results.report import Report, listed
from bench.rig.cores import Cores
from bench.rig.progress import progress, say
from bench.rig.rounds import Rounds, alternate
from bench.scenario import Scenario
from bench.speed.scene import HubUrl, Scene
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


class _Tellings:
    """Messages to all of a crowd, again and again."""

    def __init__(self, options: Options, crowd: Crowd) -> None:
        self._options = options
        self._crowd = crowd
        self.seconds: list[float] = []
        self.shares: list[float] = []
        self.texts: list[str] = []

    async def median(self) -> float:
        """Milliseconds from the speaker's message to the last delivery."""
        heard = []
        for _ in range(self._options.changes):
            heard.append(await self._crowd.say())
            await asyncio.sleep(self._options.pause)
        seconds = [each.seconds for each in heard]
        self.seconds += seconds
        self.shares += [each.cpu / each.seconds for each in heard]
        self.texts += [each.text for each in heard]
        return 1000 * statistics.median(seconds)

    def tell(self, report: Report, what: str) -> None:
        """Note all but the medians."""
        report.spread(f"{what}: until the last one has it", self.seconds)
        report.latencies(what, self.seconds)
        words = f"{what}: load's share of a core"
        report.figure(words, 100 * statistics.median(self.shares), "%")


async def run(options: Options) -> Report:
    """Change an agent, and have a bare server write the same number of bytes, in turn."""
    report = SCENARIO.report(options)
    count = options.watchers
    changes = [encode(Update(id=0, load=place / 8)).decode() for place in (1, 3)]
    async with Scene() as scene:
        say(f"connecting {count:,} watchers to a hub, and as many to a bare server")
        hub, bare = await scene.hub(options.url), await scene.bare("uvicorn-upgrades")
        groups = [Group("agent", 1, "speaker"), Group("watcher", count, "hearer")]
        watchers = await scene.enter(
            Crowd(CrowdSpec(url=hub.url, groups=groups, says=changes), Cores.plan())
        )
        troubles = (await watchers.open()).troubles
        size = len((await watchers.say()).text)
        groups = [Group("silent", 1, "speaker"), Group("silent", count, "hearer")]
        others = await scene.enter(
            Crowd(CrowdSpec(url=bare.url, groups=groups, says=[f"write {size}"]), Cores.plan())
        )
        await others.open()
        tellings, writes = _Tellings(options, watchers), _Tellings(options, others)
        with progress("changes", total=2 * options.rounds) as step:
            own, against = await alternate(
                options.rounds, tellings.median, writes.median, told=step
            )
        if options.url:
            await watchers.leave()
    report.compare(
        f"a change is made, until the last of {count:,} watchers has it",
        *(own, against),
        unit="ms",
        baseline="bare write of as many bytes to as many connections",
        must=2.0,
        aim=1.3,
        higher=False,
    )
    tellings.tell(report, "changes")
    writes.tell(report, "bare writes")
    report.figure("bytes of an event", size, "B")
    report.check("the agent was registered", not troubles, listed(troubles))
    _judge(report, tellings.texts)
    return report


def _judge(report: Report, texts: list[str]) -> None:
    """Each change is told, in the order of revisions; that all watchers had it has been seen."""
    events = [decode_message(text.encode()) for text in texts]
    wrong = [each for each in events if not isinstance(each, Event) or each.kind != "updated"]
    revisions = [each.revision for each in events if isinstance(each, Event)]
    report.check("all watchers heard every change", not wrong, listed(wrong))
    report.check(
        "revisions follow each other",
        revisions == [*range(revisions[0], revisions[0] + len(texts))] if revisions else False,
    )


SCENARIO = Scenario(
    "fanout", "one change to many watchers, against bare writes of the same bytes", Options, run
)
