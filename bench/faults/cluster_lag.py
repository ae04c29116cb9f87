"""Three hubs on one Redis: how soon a change made at one is seen at all of them."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Annotated

from msgspec import Meta, Struct

from bench.peers.raw_client import RawClient
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed, percentile
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Agent, Agents, HeartbeatAck, Updated
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord, AgentSpec
from homeport_protocol.requests import Find, Get, Heartbeat, Update
from homeport_protocol.timestamps import parse_timestamp

HUBS = 3
WITHIN = 0.25  # seconds within which other hubs announce a change, at the 99th percentile
LAG = 5.0  # seconds by which `last_seen` in another hub's list may lag
BEAT, LOOK = 0.5, 0.25
"""Seconds between heartbeats of agents that only heartbeat, and between two looks at lists."""


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=3, le=3000, description="agents that change all the time, at three hubs")
    ] = 60
    rate: Annotated[
        float, Meta(gt=0, le=5000, description="changes a second of all of them together")
    ] = 200.0
    seconds: Annotated[
        float, Meta(ge=6, le=3600, description="how long they go on; lists are looked at after 5")
    ] = 30.0


class Change(Struct, frozen=True):
    """A change that the hub of this number acknowledged as this revision."""

    hub: int
    revision: int
    at: float


class Found(Struct):
    """The findings; `stale` are changes that their own hub did not show at once."""

    changes: list[Change] = []
    stale: list[str] = []
    lists: list[float] = []
    gets: list[str] = []
    looks: int = 0


class _Agent:
    """One agent with its connection, and another connection to look at it at the same hub."""

    def __init__(self, hub: int, client: RawClient, looker: RawClient, agent_id: str) -> None:
        self.hub = hub
        self.agent_id = agent_id
        self.heard_at = 0.0
        self._client = client
        self._looker = looker

    async def change_on(self, pause: float, over: asyncio.Event, found: Found) -> None:
        """Change, and look at once whether the same hub shows it."""
        for number in itertools.count(1):
            await asyncio.sleep(pause * 2 * random.random())
            if over.is_set():
                return
            update = Update(id=0, version=str(number))
            answer, heard = await self._client.demand(update, Updated)
            found.changes.append(Change(self.hub, answer.revision, heard.at))
            shown = await _get(self._looker, self.agent_id)
            if shown.version != str(number):
                found.stale.append(f"{shown.name}: {shown.version}, not {number}")

    async def beat_on(self, over: asyncio.Event) -> None:
        """Heartbeat without a change; `heard_at` is when (Unix time) the newest was sent."""
        while not over.is_set():
            sent = time.time()
            await self._client.demand(Heartbeat(id=0), HeartbeatAck)
            self.heard_at = sent
            await asyncio.sleep(BEAT)


@scenario(
    "cluster-lag",
    "three hubs: a change at one is seen at the others within 250 ms, at its own at once",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Change things at all hubs, watch at all hubs, and compare."""
    found = Found()
    async with Scene() as scene:
        store = await scene.store()
        for number in range(HUBS):
            await scene.hub(hub_id=f"hub-{number}", redis=store.url)
        urls = [hub.websocket_url for hub in scene.hubs]
        watchers = [await Watcher.open(url) for url in urls]
        lookers = [await scene.connect(url) for url in urls]

        async def register(hub: int, name: str, type_: str) -> _Agent:
            client = await scene.connect(urls[hub])
            answer, _ = await client.register(AgentSpec(name=name, type=type_, version="0"))
            return _Agent(hub, client, lookers[hub], answer.agent_id)

        agents = [await register(n % HUBS, f"agent-{n}", "busy") for n in range(options.agents)]
        beating = [await register(n, f"beating-{n}", "beating") for n in range(HUBS)]
        say(f"{options.rate:g} changes a second for {options.seconds:g} s")
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for agent in agents:
                group.create_task(agent.change_on(options.agents / options.rate, over, found))
            for agent in beating:
                group.create_task(agent.beat_on(over))
            group.create_task(_look_on(lookers, beating, over, found))
            await asyncio.sleep(options.seconds)
            over.set()
        newest = max(change.revision for change in found.changes)
        await until(
            "every change told",
            lambda: all(watcher.revision >= newest for watcher in watchers),
            30.0,
        )
        judge_changes(report, found, watchers, options.seconds)
        scene.judge_hubs(report)


async def _get(client: RawClient, agent_id: str) -> AgentRecord:
    shown: Agent[AgentRecord]
    shown, _ = await client.demand(Get(id=0, agent_id=agent_id), Agent)
    return shown.agent


async def _look_on(
    lookers: list[RawClient], beating: list[_Agent], over: asyncio.Event, found: Found
) -> None:
    """Measure how old `last_seen` is at the hubs that do not own the agent."""
    await asyncio.sleep(LAG)  # from here on, each has been heard of
    while not over.is_set():
        await asyncio.sleep(LOOK)
        for number, looker in enumerate(lookers):
            heard_at = {agent.agent_id: agent.heard_at for agent in beating}
            page: Agents[AgentRecord]
            page, _ = await looker.demand(Find(id=0, filter=Filter(type="beating")), Agents)
            for record in page.agents:
                lag = heard_at[record.id] - parse_timestamp(record.last_seen)
                found.lists.append(max(0.0, lag))
            for agent in beating:
                if agent.hub == number:
                    continue
                heard = agent.heard_at
                shown = await _get(looker, agent.agent_id)
                found.looks += 1
                lag = heard - parse_timestamp(shown.last_seen)
                if lag > 0:
                    found.gets.append(f"{shown.name}: {lag:.3f} s")


def judge_changes(report: Report, found: Found, watchers: list[Watcher], seconds: float) -> None:
    """Note how soon changes were heard where; the watchers are in the order of the hubs."""
    told = [{event.revision: event.at for event in watcher.events} for watcher in watchers]
    own: list[float] = []
    others: list[float] = []
    missing: list[str] = []
    for change in found.changes:
        for number, at in enumerate(told):
            if change.revision not in at:
                missing.append(f"{change.revision} at hub-{number}")
                continue
            lag = max(0.0, at[change.revision] - change.at)
            (own if number == change.hub else others).append(lag)
    report.figure("changes acknowledged", len(found.changes))
    report.figure("changes", len(found.changes) / seconds, "/s")
    report.spread("acknowledged until a watcher at the same hub is told", own)
    report.spread("acknowledged until a watcher at another hub is told", others)
    report.spread(
        "age of `last_seen` in lists, beyond the newest acknowledged heartbeat", found.lists
    )
    report.none("every watcher was told of every change", missing)
    report.none("none was told with a gap", [gap for each in watchers for gap in each.gaps()])
    report.check(
        f"another hub's watchers are told within {WITHIN * 1000:.0f} ms (99th percentile)",
        bool(others) and percentile(sorted(others), 0.99) <= WITHIN,
    )
    report.none("the same hub shows a change at once", found.stale)
    report.check(
        f"`last_seen` in lists lags by at most {LAG:g} s",
        bool(found.lists) and max(found.lists) <= LAG,
    )
    report.check(
        "`last_seen` in `get` does not lag",
        found.looks > 0 and not found.gets,
        f"{len(found.gets)} of {found.looks}: {listed(found.gets, 3)}",
    )
