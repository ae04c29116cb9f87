"""An agent is killed: how long until a watcher knows."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated

from msgspec import Meta, Struct

from bench.peers.client_fleet import ClientsSpec, Sessions
from bench.peers.raw_client import Driver, RefusedError
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed
from bench.rig.processes import HubProcess, temporary_directory
from bench.rig.progress import say
from bench.rig.workers import Worker
from bench.scenario import Scenario
from homeport_protocol.answers import Agent
from homeport_protocol.filters import Filter
from homeport_protocol.requests import Pick

STARTING = 4
"""Agent processes that start at the same time."""

PAUSE = 0.1
"""Seconds between one death and the next."""

LATEST = 0.1
"""Seconds within which a deadline must be met, and a lost connection be told."""


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


async def prove(options: Options) -> Report:
    """Kill agent processes one by one, and note when a watcher hears of each."""
    report = SCENARIO.report(options)
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        hub = await stack.enter_async_context(
            HubProcess(directory, resume_window=options.resume_window)
        )
        watcher = await Watcher.open(hub.websocket_url)
        asker = await Driver.connect(hub.websocket_url)
        say(f"starting {options.rounds} agent processes")
        gate = asyncio.Semaphore(STARTING)
        deaths = await asyncio.gather(
            *(_start(stack, gate, hub.url, number) for number in range(options.rounds))
        )
        say("killing them, one by one")
        for death in deaths:
            await _kill(death, watcher)
            death.picked = await _can_be_picked(asker, death.name)
            await asyncio.sleep(PAUSE)
        await watcher.until(
            "every agent unreachable",
            lambda: sum(event.unreachable for event in watcher.events) >= len(deaths),
            options.resume_window + 10.0,
        )
        failures = hub.failures()
        watcher.close()
        asker.abort()
    _judge(report, options, watcher, deaths)
    report.check("the hub logged no failure of its own", failures == 0, f"{failures}")
    return report


async def _start(stack: AsyncExitStack, gate: asyncio.Semaphore, url: str, number: int) -> _Death:
    name = f"mortal-{number}"
    async with gate:
        worker = await stack.enter_async_context(
            Worker("bench.peers.client_fleet", ClientsSpec(url=url, name=name, count=1))
        )
        sessions = await worker.request("start", Sessions)
    return _Death(worker, sessions.held[0].agent_id, f"{name}-0")


async def _kill(death: _Death, watcher: Watcher) -> None:
    death.at = await death.worker.kill()
    await watcher.until(
        f"that the connection of {death.name} is lost",
        lambda: any(event.kind == "lost" for event in watcher.of(death.agent_id)),
        10.0,
    )


async def _can_be_picked(asker: Driver, name: str) -> bool:
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
        events = watcher.of(death.agent_id)
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
    report.check(
        "each was told once as `lost` and once as `unreachable`, reason `connection_lost`",
        not odd,
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
    report.check("none could be picked once it was lost", not picked, listed(picked))


SCENARIO = Scenario(
    "agent-death",
    "kill -9 of an agent: a watcher hears at once that it is lost, and in time unreachable",
    Options,
    prove,
)
