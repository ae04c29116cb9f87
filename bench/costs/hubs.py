"""Two hubs on one Redis: what an agent, a heartbeat, a change and its telling cost each of them."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from msgspec import Struct

from bench.costs.server import StoreAccount
from bench.peers.raw_client import Driver, Push
from bench.peers.raw_fleet import Fleet
from bench.results.report import Report, listed
from bench.rig.machine import usage
from bench.rig.processes import HubProcess
from bench.rig.progress import say
from homeport_protocol.answers import Registered, Snapshot, Updated, Watching
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Register, Update, Watch

UPDATERS = 32
"""Agents that change all the time, each as soon as its last change is acknowledged."""

RATE = 100
"""Changes a second of all of them together, where they take their time."""

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
        """Seconds until what began before a measurement is over at all hubs."""
        return min(SETTLE, self.seconds)


class Used(Struct, frozen=True):
    """Seconds of CPU and resident bytes of the hub that holds the agents, and of the other one."""

    at: float
    own_cpu: float
    other_cpu: float
    store_cpu: float
    own_memory: int
    other_memory: int


class Scene:
    """The hubs: all agents are at `own`, nobody but watchers is at `other`."""

    def __init__(self, own: HubProcess, other: HubProcess, account: StoreAccount) -> None:
        self.own = own
        self.other = other
        self._account = account

    @classmethod
    async def start(cls, stack: AsyncExitStack, directory: Path, store: str, prefix: str) -> Self:
        """Start both on the store of this URL, each part with key names of its own."""
        hubs = []
        for name in ("hub-a", "hub-b"):
            place = directory / name
            place.mkdir()
            hub = HubProcess(place, hub_id=name, redis=store, key_prefix=prefix)
            hubs.append(await stack.enter_async_context(hub))
        account = StoreAccount(store)
        stack.push_async_callback(account.aclose)
        return cls(hubs[0], hubs[1], account)

    async def used(self) -> Used:
        """What they have used until now."""
        own, other = usage(self.own.pid), usage(self.other.pid)
        store = await self._account.cpu()
        return Used(time.monotonic(), own.cpu, other.cpu, store, own.memory, other.memory)


class Meter:
    """Notes what things cost; what idle hubs use anyway is left out."""

    def __init__(self, report: Report, scene: Scene) -> None:
        self._report = report
        self._scene = scene
        self._idle = (0.0, 0.0, 0.0)

    async def idle(self, load: Load, *, tell: bool = False) -> None:
        """Look what both hubs and the store use although nothing happens."""
        await asyncio.sleep(load.settle)
        before = await self._scene.used()
        await asyncio.sleep(load.seconds)
        after = await self._scene.used()
        own, other, store = _between(before, after)
        elapsed = after.at - before.at
        self._idle = (own / elapsed, other / elapsed, store / elapsed)
        if tell:
            report = self._report
            report.figure("an idle hub of two: share of a core", own / elapsed * 100, "%")
            report.figure("idle Redis of two hubs: share of a core", store / elapsed * 100, "%")

    async def note(self, what: str, before: Used, count: int) -> float:
        """Note what `count` things cost each, since `before`; returns that of the other hub."""
        after = await self._scene.used()
        elapsed = after.at - before.at
        own, other, store = (
            max(0.0, used - idle * elapsed) / max(1, count)
            for used, idle in zip(_between(before, after), self._idle, strict=True)
        )
        self._report.figure(f"{what}: how many a second", count / elapsed, "/s")
        for who, each in (("its own hub", own), ("another hub", other), ("Redis", store)):
            self._report.figure(f"  CPU of {who}, each", each * 1e6, "µs")
        return other


def _between(before: Used, after: Used) -> tuple[float, float, float]:
    return (
        after.own_cpu - before.own_cpu,
        after.other_cpu - before.other_cpu,
        after.store_cpu - before.store_cpu,
    )


async def measure_agents(report: Report, scene: Scene, load: Load) -> None:
    """Note what agents and their heartbeats cost."""
    meter = Meter(report, scene)
    say("two idle hubs")
    await meter.idle(load, tell=True)
    async with AsyncExitStack() as stack:
        fleet = await Fleet.start(
            stack,
            scene.own.websocket_url,
            load.agents,
            load.interval,
            processes=FLEET_PROCESSES,
        )
        say(f"{load.agents:,} agents register at one hub")
        before = await scene.used()
        await fleet.register()
        await meter.note("registrations, connecting included", before, load.agents)
        await asyncio.sleep(load.settle)
        after = await scene.used()
        own = (after.own_memory - before.own_memory) / load.agents
        other = (after.other_memory - before.other_memory) / load.agents
        report.figure("memory per agent, its own hub", own / 1024, "KB")
        report.figure("memory per agent, another hub", other / 1024, "KB")
        say(f"all heartbeat every {load.interval:g} s")
        acknowledged, before = len((await fleet.report()).acks), await scene.used()
        await asyncio.sleep(load.seconds)
        beats = await fleet.report()
        await meter.note("heartbeats alone", before, len(beats.acks) - acknowledged)
        report.check("no agent lost its connection", beats.lost == 0, f"{beats.lost}")
        report.check("no heartbeat was refused", not beats.refusals, listed(beats.refusals, 2))


async def measure_changes(report: Report, scene: Scene, load: Load) -> None:
    """Note what changes cost, and telling them."""
    meter = Meter(report, scene)
    await meter.idle(load)
    updaters = [await _register(scene.own.websocket_url, number) for number in range(UPDATERS)]
    say("changes, as fast as they can")
    before = await scene.used()
    count = await _change_for(updaters, load.seconds, 0.0)
    await meter.note(f"logged changes, by {UPDATERS} agents at once", before, count)
    say("changes, now and then")
    before = await scene.used()
    count = await _change_for(updaters, load.seconds, UPDATERS / RATE)
    alone = await meter.note("logged changes, one by one", before, count)
    say(f"the same with {WATCHERS} more watchers at the other hub")
    await asyncio.sleep(load.settle)
    watches = [await _Watch.open(scene.other.websocket_url) for _ in range(WATCHERS)]
    before = await scene.used()
    count = await _change_for(updaters, load.seconds, UPDATERS / RATE)
    other = await meter.note(f"the same with {WATCHERS} watchers", before, count)
    each = (other - alone) / WATCHERS
    report.figure("CPU per event told to one watcher", max(0.0, each) * 1e6, "µs")
    await asyncio.sleep(load.settle)
    told = sum(watch.events for watch in watches)
    for driver in [*updaters, *(watch.driver for watch in watches)]:
        driver.abort()
    wanted = count * WATCHERS
    report.check("every watcher was told of every change", told == wanted, f"{told} of {wanted}")


async def measure_namespaces(report: Report, scene: Scene, load: Load) -> None:
    """Note what a namespace costs in which nothing happens."""
    say(f"{NAMESPACES} namespaces, all idle")
    before = await scene.used()
    names = [f"team-{number}" for number in range(NAMESPACES)]
    url = scene.own.websocket_url
    observers = [await Driver.connect(f"{url}?namespace={name}") for name in names]
    await asyncio.sleep(2 * load.settle)  # the other hub finds them
    loaded = await scene.used()
    await asyncio.sleep(load.seconds)
    after = await scene.used()
    elapsed = after.at - loaded.at
    _, other, store = (used / elapsed / NAMESPACES * 1000 for used in _between(loaded, after))
    report.figure("an idle namespace, CPU of each of two hubs in a second", other, "ms")
    report.figure("an idle namespace, CPU of Redis for two hubs in a second", store, "ms")
    memory = (after.other_memory - before.other_memory) / NAMESPACES / 1024
    report.figure("memory per idle namespace, each hub", memory, "KB")
    for driver in observers:
        driver.abort()


async def _register(url: str, number: int) -> Driver:
    driver = await Driver.connect(url)
    spec = AgentSpec(name=f"updater-{number}", type="updater", version="0")
    await driver.demand(Register(id=0, agent=spec), Registered)
    return driver


async def _change_for(updaters: list[Driver], seconds: float, pause: float) -> int:
    """Have them change for so long; returns how often they did."""
    end = time.monotonic() + seconds

    async def go_on(driver: Driver) -> int:
        await asyncio.sleep(pause * random.random())
        for number in itertools.count(1):
            await driver.demand(Update(id=0, version=f"{end}-{number}"), Updated)
            if time.monotonic() > end:
                return number
            await asyncio.sleep(pause)
        raise AssertionError

    return sum(await asyncio.gather(*map(go_on, updaters)))


class _Watch:
    """A watch that only counts."""

    driver: Driver

    def __init__(self) -> None:
        self.events = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        watch = cls()
        watch.driver = await Driver.connect(url, on_push=watch._pushed)
        await watch.driver.demand(Watch(id=0), Watching)
        return watch

    def _pushed(self, push: Push, at: float) -> None:
        self.events += not isinstance(push, Snapshot)
