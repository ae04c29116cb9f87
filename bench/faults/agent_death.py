"""An agent is killed: how long until a watcher knows."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from bench.peers.client_fleet import Clients, Sessions
from bench.peers.raw_client import RawClient, RefusedError
from bench.peers.watcher import Seen, Watcher
from bench.results.report import Report, listed
from bench.rig.progress import say
from bench.rig.waiting import side_by_side, until
from bench.rig.workers import Worker
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Agent
from homeport_protocol.filters import Filter
from homeport_protocol.requests import Pick

STARTING = 4  # agent processes that start at the same time
PAUSE = 0.1  # seconds between one death and the next
LATEST = 0.1  # seconds within which a deadline must be met, and a lost connection be announced


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rounds: Annotated[int, Meta(ge=1, le=500, description="agent processes to kill")] = 20
    resume_window: Annotated[
        float, Meta(gt=0, le=600, description="the hub's --resume-window, in seconds")
    ] = 5.0


class _Death(Struct):
    """One agent, and when it was killed."""

    worker: Worker
    agent_id: str
    name: str
    at: float = 0.0
    picked: bool = False

    def seen_by(self, watcher: Watcher) -> list[Seen]:
        return [event for event in watcher.events if event.agent.id == self.agent_id]


@scenario(
    "agent-death",
    "kill -9 of an agent: a watcher hears at once that it is lost, and in time unreachable",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Kill agent processes one by one, and note when a watcher hears of each."""
    async with Scene() as scene:
        hub = await scene.hub(resume_window=options.resume_window)
        watcher = await Watcher.open(hub.websocket_url)
        asker = await scene.connect(hub.websocket_url)

        async def start(number: int) -> _Death:
            spec = Clients(url=hub.url, name=f"mortal-{number}", count=1)
            worker = Worker("bench.peers.client_fleet", spec)
            await scene.enter_async_context(worker)
            (session,) = (await worker.request("start", Sessions)).newest
            return _Death(worker, session.agent_id, f"{spec.name}-0")

        say(f"starting {options.rounds} agent processes")
        deaths = await side_by_side(range(options.rounds), start, STARTING)
        say("killing them, one by one")
        for death in deaths:
            await _kill(death, watcher)
            death.picked = await _can_be_picked(asker, death.name)
            await asyncio.sleep(PAUSE)
        await until(
            "every agent unreachable",
            lambda: sum(event.unreachable for event in watcher.events) >= len(deaths),
            options.resume_window + 10.0,
        )
        _judge(report, options, watcher, deaths)
        scene.judge_hubs(report)


async def _kill(death: _Death, watcher: Watcher) -> None:
    death.at = await death.worker.kill()
    await until(
        f"that the connection of {death.name} is lost",
        lambda: any(event.kind == "lost" for event in death.seen_by(watcher)),
        10.0,
    )


async def _can_be_picked(asker: RawClient, name: str) -> bool:
    try:
        await asker.demand(Pick(id=0, filter=Filter(name=name)), Agent)
    except RefusedError as refused:
        return refused.error.code != "no_match"
    return True


def _judge(report: Report, options: Options, watcher: Watcher, deaths: list[_Death]) -> None:
    lost: list[float] = []
    unreachable: list[float] = []
    odd: list[str] = []
    for death in deaths:
        events = death.seen_by(watcher)
        what = [(e.kind, e.agent.status, e.agent.health.reason) for e in events]
        if what != [
            ("registered", "healthy", "ok"),
            ("lost", "healthy", "ok"),
            ("status_changed", "unreachable", "connection_lost"),
        ]:
            odd.append(f"{death.name}: {what}")
            continue
        lost.append(events[1].at - death.at)
        unreachable.append(events[2].at - death.at)
    window = options.resume_window
    late = [each - window for each in unreachable]
    report.figure("agent processes killed", len(deaths))
    report.spread("kill -9 until `lost` is heard", lost)
    report.spread("kill -9 until `unreachable` is heard", unreachable)
    report.spread("`unreachable` after the end of the resume window", late)
    report.none(
        "each was told once as `lost` and once as `unreachable`, reason `connection_lost`",
        odd,
        listed(odd, 2) if odd else f"{len(deaths)} of {len(deaths)}",
    )
    report.check(
        f"each `lost` was heard within {LATEST * 1000:.0f} ms of the kill",
        bool(lost) and max(lost) <= LATEST,
    )
    report.check(
        f"no `unreachable` before the resume window of {window:g} s was over",
        bool(late) and min(late) >= 0,
    )
    report.check(
        f"each `unreachable` within {LATEST * 1000:.0f} ms of its deadline",
        bool(late) and max(late) <= LATEST,
    )
    picked = [death.name for death in deaths if death.picked]
    report.none("none could be picked once it was lost", picked)
