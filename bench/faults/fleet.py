"""Many agents on one hub, all heartbeating, while `find` goes on."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import UNSET, Meta, Struct

from bench.errors import BenchError
from bench.peers.raw_client import RawClient
from bench.peers.raw_fleet import RawFleet, Registrations
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed
from bench.rig.machine import Usage, children, connections_per_process, usage
from bench.rig.processes import HubProcess
from bench.rig.progress import say
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Agents
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Find

FIND_PAUSE = 0.1  # seconds between two questions of the caller
PAGE = 100  # agents that the broader question asks for
MARGIN = 2.0  # seconds that the run goes on after each agent's last due heartbeat


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[int, Meta(ge=1, le=200_000, description="agents on the hub")] = 10_000
    interval: Annotated[
        float, Meta(gt=0, le=600, description="seconds between an agent's heartbeats")
    ] = 30.0
    seconds: Annotated[
        float,
        Meta(ge=0, le=86_400, description="how long all heartbeat; 0 for long enough to see two"),
    ] = 0.0
    processes: Annotated[
        int, Meta(ge=1, le=64, description="processes for the agents, more where it takes more")
    ] = 2


class _Caller:
    """Asks `find` now and then, a narrow and a broad question in turn."""

    def __init__(self, client: RawClient, agents: int) -> None:
        self._client = client
        self._agents = agents
        self.narrow: list[float] = []
        self.broad: list[float] = []
        self.wrong: list[str] = []

    async def ask_on(self) -> None:
        """Ask until cancelled."""
        number = 0
        while True:
            number = (number + 7919) % self._agents
            self.narrow.append(await self._find(Filter(name=f"agent-{number}"), 1))
            wanted = min(PAGE, -(-self._agents // 4))
            self.broad.append(await self._find(Filter(type="cost"), wanted))
            await asyncio.sleep(FIND_PAUSE)

    async def _find(self, filter: Filter, wanted: int) -> float:
        found: Agents[AgentRecord]
        found, heard = await self._client.demand(Find(id=0, filter=filter, limit=PAGE), Agents)
        if found.count != wanted:
            self.wrong.append(f"{found.count} agents for {filter}, expected {wanted}")
        return heard.latency

    async def count(self) -> int:
        """The agents that the directory holds, page by page."""
        count, request = 0, Find(id=0)
        while True:
            page: Agents[AgentRecord]
            page, _ = await self._client.demand(request, Agents)
            count += page.count
            if page.next_cursor is UNSET:
                return count
            request = Find(id=0, cursor=page.next_cursor)


class _Used(Struct):
    """What a hub and its store used; `cpu` in seconds of `elapsed` ones."""

    empty: Usage
    registered: Usage
    settled: Usage
    elapsed: float = 0.0
    cpu: float = 0.0
    store_cpu: float = 0.0


@scenario(
    "fleet", "many agents on one hub, all heartbeating, while find goes on answering", Options
)
async def run(options: Options, report: Report) -> None:
    """Register the fleet, let it heartbeat, ask meanwhile, and measure the hub."""
    room = connections_per_process()
    if options.agents > room:
        raise BenchError(
            f"the hub may hold about {room:,} connections here, not {options.agents:,}: raise the "
            "limit of open files (ulimit -n)"
        )
    interval = options.interval
    async with Scene() as scene:
        hub = await scene.hub(
            heartbeat_interval=interval, heartbeat_timeout=interval * 1.5, lease_ttl=interval * 2
        )
        watcher = await Watcher.open(hub.websocket_url)
        fleet = await RawFleet.start(
            scene, hub.websocket_url, options.agents, interval, processes=options.processes
        )
        empty = usage(hub.pid)
        say(f"registering {options.agents:,} agents from {fleet.processes} processes")
        registrations = await fleet.register()
        used = _Used(empty, usage(hub.pid), empty)
        seconds = options.seconds or 2 * interval + MARGIN
        say(f"all heartbeat every {interval:g} s, for {seconds:g} s")
        caller = _Caller(await scene.connect(hub.websocket_url), options.agents)
        began = time.monotonic()
        await _measure(hub, used, caller, seconds)
        beats = await fleet.report()
        present = await caller.count()

        report.figure("load processes", fleet.processes)
        _add_figures(report, used, registrations, caller)
        report.figure("stalls that the hub noticed", hub.stalls())
        settled = [(sent, at) for sent, at, _ in beats.acks if began < sent < began + used.elapsed]
        report.figure("heartbeats, once all were registered", len(settled) / used.elapsed, "/s")
        report.spread("heartbeat until acknowledged", [at - sent for sent, at in settled])
        report.figure("share of one core: hub", 100 * used.cpu / used.elapsed, "%")
        report.figure("share of one core: store", 100 * used.store_cpu / used.elapsed, "%")
        report.check("every agent is in the directory", present == options.agents, f"{present:,}")
        news = [f"{e.agent.name}: {e.kind}" for e in watcher.events if e.kind != "registered"]
        report.none("none was ever told lost or unreachable", news)
        told = len({event.agent.id for event in watcher.events})
        report.check("a watcher was told of every agent", told == options.agents, f"{told:,}")
        scene.judge_hubs(report)
        report.check(
            "every agent heartbeats and is acknowledged",
            beats.silent == 0 and beats.lost == 0 and not beats.refusals,
            f"without any: {beats.silent}, connections lost: {beats.lost}, "
            f"refused: {listed(beats.refusals, 2)}",
        )
        report.none("no heartbeat was left unanswered", len(beats.overdue()))
        undurable = sum(not durable for _, _, durable in beats.acks)
        report.none("each acknowledged one was written to the store", undurable)
        report.check(
            "every find was answered, and rightly",
            bool(caller.broad) and not caller.wrong,
            listed(caller.wrong, 2) if caller.wrong else f"{len(caller.narrow + caller.broad):,}",
        )


async def _measure(hub: HubProcess, used: _Used, caller: _Caller, seconds: float) -> None:
    """Ask for so long, and measure what the hub uses."""
    asking = asyncio.create_task(caller.ask_on())
    began, before = time.monotonic(), usage(hub.pid)
    store_before = sum(usage(pid).cpu for pid in children(hub.pid))
    await asyncio.wait({asking}, timeout=seconds)
    used.elapsed = time.monotonic() - began
    used.settled = usage(hub.pid)
    used.cpu = used.settled.cpu - before.cpu
    used.store_cpu = sum(usage(pid).cpu for pid in children(hub.pid)) - store_before
    asking.cancel()
    outcome = (await asyncio.gather(asking, return_exceptions=True))[0]
    if isinstance(outcome, Exception):
        raise outcome


def _add_figures(
    report: Report, used: _Used, registrations: Registrations, caller: _Caller
) -> None:
    agents = len(registrations.ids)
    took = registrations.ended - registrations.began
    report.figure("agents", agents)
    report.figure("registrations, connecting included", agents / took, "/s")
    report.spread("register until registered", registrations.latencies)
    report.spread("find by name, one agent", caller.narrow)
    report.spread(f"find by type, {PAGE} agents", caller.broad)
    grown = used.registered.memory - used.empty.memory
    report.figure("hub memory before the first agent", used.empty.memory / 2**20, "MB")
    report.figure("hub memory per agent", grown / agents / 1024, "KB")
    report.figure("hub memory at the end", used.settled.memory / 2**20, "MB")
