"""Two hubs on one Redis: what an agent, a heartbeat, a change and its event cost each of them."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import AsyncExitStack

from msgspec import Struct

from bench.costs.server import StoreAccount
from bench.peers.raw_client import Push, RawClient
from bench.peers.raw_fleet import RawFleet
from bench.results.report import Report
from bench.rig.machine import usage
from bench.rig.processes import HubProcess
from bench.rig.progress import say
from bench.scene import Scene
from homeport_protocol.answers import Snapshot, Updated, Watching
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Update, Watch

UPDATERS = 32  # agents that change all the time, each as soon as its last change is acknowledged
RATE = 100  # changes a second of all of them together, where they take their time
WATCHERS = 100
NAMESPACES = 50
SETTLE = 3.0

FLEET_PROCESSES = 2


class Load(Struct, frozen=True):
    """So many agents that heartbeat every `interval` seconds; each load goes on for `seconds`."""

    agents: int
    interval: float
    seconds: float

    @property
    def settle(self) -> float:
        """Seconds until all hubs are done with what came before a measurement."""
        return min(SETTLE, self.seconds)


class Used(Struct, frozen=True):
    """Seconds of CPU of the hub that holds the agents, of the other hub and of the store.

    And the resident bytes of the two hubs.
    """

    at: float
    cpu: tuple[float, float, float]
    own_memory: int
    other_memory: int

    def since(self, before: Used) -> tuple[float, float, float]:
        """The seconds of CPU in between."""
        own, other, store = (now - then for now, then in zip(self.cpu, before.cpu, strict=True))
        return own, other, store


class Hubs(Scene):
    """The hubs: all agents are at `own`, nobody but watchers is at `other`.

    It notes what things cost; what idle hubs use anyway is left out.
    """

    own: HubProcess
    other: HubProcess
    _account: StoreAccount

    def __init__(self, report: Report, load: Load) -> None:
        super().__init__()
        self._report = report
        self._load = load
        self._idle = (0.0, 0.0, 0.0)

    async def start(self, store: str, prefix: str) -> None:
        """Start both on the store of this URL, with this prefix of key names."""
        self.own = await self.hub(hub_id="hub-a", redis=store, key_prefix=prefix)
        self.other = await self.hub(hub_id="hub-b", redis=store, key_prefix=prefix)
        self._account = StoreAccount(store)
        self.push_async_callback(self._account.aclose)

    async def used(self) -> Used:
        own, other = usage(self.own.pid), usage(self.other.pid)
        store = await self._account.cpu()
        return Used(time.monotonic(), (own.cpu, other.cpu, store), own.memory, other.memory)

    async def idle(self, *, tell: bool = False) -> None:
        """Measure what both hubs and the store use while nothing happens."""
        await asyncio.sleep(self._load.settle)
        before = await self.used()
        await asyncio.sleep(self._load.seconds)
        after = await self.used()
        elapsed = after.at - before.at
        own, other, store = (used / elapsed for used in after.since(before))
        self._idle = (own, other, store)
        if tell:
            self._report.figure("an idle hub of two: share of a core", own * 100, "%")
            self._report.figure("idle Redis of two hubs: share of a core", store * 100, "%")

    async def note(self, what: str, before: Used, count: int) -> float:
        """Note what `count` things cost each, since `before`; returns that of the other hub."""
        after = await self.used()
        elapsed = after.at - before.at
        own, other, store = (
            max(0.0, used - idle * elapsed) / max(1, count)
            for used, idle in zip(after.since(before), self._idle, strict=True)
        )
        self._report.figure(f"{what}: how many a second", count / elapsed, "/s")
        for who, each in (("its own hub", own), ("another hub", other), ("Redis", store)):
            self._report.figure(f"  CPU of {who}, each", each * 1e6, "µs")
        return other


async def measure_agents(hubs: Hubs, report: Report, load: Load) -> None:
    """Note what agents and their heartbeats cost."""
    say("two idle hubs")
    await hubs.idle(tell=True)
    async with AsyncExitStack() as stack:
        url = hubs.own.websocket_url
        fleet = await RawFleet.start(
            stack, url, load.agents, load.interval, processes=FLEET_PROCESSES
        )
        say(f"{load.agents:,} agents register at one hub")
        before = await hubs.used()
        await fleet.register()
        await hubs.note("registrations, connecting included", before, load.agents)
        await asyncio.sleep(load.settle)
        after = await hubs.used()
        own = (after.own_memory - before.own_memory) / load.agents
        other = (after.other_memory - before.other_memory) / load.agents
        report.figure("memory per agent, its own hub", own / 1024, "KB")
        report.figure("memory per agent, another hub", other / 1024, "KB")
        say(f"all heartbeat every {load.interval:g} s")
        acknowledged, before = len((await fleet.report()).acks), await hubs.used()
        await asyncio.sleep(load.seconds)
        beats = await fleet.report()
        await hubs.note("heartbeats alone", before, len(beats.acks) - acknowledged)
        report.none("no agent lost its connection", beats.lost)
        report.none("no heartbeat was refused", beats.refusals)


async def measure_changes(hubs: Hubs, report: Report, load: Load) -> None:
    """Note what changes cost, and their events."""
    await hubs.idle()
    updaters = []
    for number in range(UPDATERS):
        updater = await hubs.connect(hubs.own.websocket_url)
        await updater.register(AgentSpec(name=f"updater-{number}", type="updater", version="0"))
        updaters.append(updater)
    say("changes, as fast as they can")
    before = await hubs.used()
    count = await _change_for(updaters, load.seconds, 0.0)
    await hubs.note(f"logged changes, by {UPDATERS} agents at once", before, count)
    say("changes, now and then")
    before = await hubs.used()
    count = await _change_for(updaters, load.seconds, UPDATERS / RATE)
    alone = await hubs.note("logged changes, one by one", before, count)
    say(f"the same with {WATCHERS} more watchers at the other hub")
    await asyncio.sleep(load.settle)
    events = 0

    def heard(push: Push, at: float) -> None:
        nonlocal events
        events += not isinstance(push, Snapshot)

    for _ in range(WATCHERS):
        watcher = await RawClient.connect(hubs.other.websocket_url, on_push=heard)
        await watcher.demand(Watch(id=0), Watching)
    before = await hubs.used()
    count = await _change_for(updaters, load.seconds, UPDATERS / RATE)
    other = await hubs.note(f"the same with {WATCHERS} watchers", before, count)
    each = (other - alone) / WATCHERS
    report.figure("CPU per event told to one watcher", max(0.0, each) * 1e6, "µs")
    await asyncio.sleep(load.settle)
    wanted = count * WATCHERS
    report.check(
        "every watcher was told of every change", events == wanted, f"{events} of {wanted}"
    )


async def measure_namespaces(hubs: Hubs, report: Report, load: Load) -> None:
    """Note what an idle namespace costs."""
    say(f"{NAMESPACES} namespaces, all idle")
    before = await hubs.used()
    for number in range(NAMESPACES):
        await hubs.connect(f"{hubs.own.websocket_url}?namespace=team-{number}")
    await asyncio.sleep(2 * load.settle)  # the other hub finds them
    loaded = await hubs.used()
    await asyncio.sleep(load.seconds)
    after = await hubs.used()
    elapsed = after.at - loaded.at
    _, other, store = (used / elapsed / NAMESPACES * 1000 for used in after.since(loaded))
    report.figure("an idle namespace, CPU of each of two hubs in a second", other, "ms")
    report.figure("an idle namespace, CPU of Redis for two hubs in a second", store, "ms")
    memory = (after.other_memory - before.other_memory) / NAMESPACES / 1024
    report.figure("memory per idle namespace, each hub", memory, "KB")


async def _change_for(updaters: list[RawClient], seconds: float, pause: float) -> int:
    """Have all change again and again for so long; returns the number of changes."""
    end = time.monotonic() + seconds

    async def go_on(updater: RawClient) -> int:
        await asyncio.sleep(pause * random.random())
        for number in itertools.count(1):
            await updater.demand(Update(id=0, version=f"{end}-{number}"), Updated)
            if time.monotonic() > end:
                return number
            await asyncio.sleep(pause)
        raise AssertionError

    return sum(await asyncio.gather(*map(go_on, updaters)))
