"""The legacy HTTP routes, against the same Starlette stack that answers constants of the same size.

Every connection is kept alive and has one request outstanding. `--peer` runs the same load against
another server of these routes, such as the registry whose routes they are, and shows it beside.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from contextlib import AsyncExitStack
from typing import Annotated

from msgspec import Meta, Struct

from bench.baselines.constant import Answers, Serving
from bench.cores import Cores, pin
from bench.errors import BenchError
from bench.load.http import LoadSpec, Seen
from bench.machine import children, usage
from bench.processes import HubProcess, temporary_directory
from bench.progress import progress, say
from bench.report import Report, listed
from bench.rounds import alternate
from bench.scenario import Scenario
from bench.speed.http_calls import CALLS, Call
from bench.speed.http_checks import faults
from bench.speed.http_fleet import Fleet
from bench.speed.scene import PATIENT
from bench.workers import Worker

HUB, CONSTANT, PEER = "hub", "constant", "peer"


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[int, Meta(ge=1, le=20_000, description="agents in the list")] = 1000
    connections: Annotated[int, Meta(ge=1, le=10_000, description="connections of the load")] = 32
    changes: Annotated[
        int, Meta(ge=1, le=2000, description="changes a second while the list changes")
    ] = 100
    seconds: Annotated[float, Meta(gt=0, le=600, description="seconds of each measurement")] = 1.5
    rounds: Annotated[int, Meta(ge=1, le=100, description="rounds")] = 5
    only: Annotated[
        str, Meta(description=f"which calls: some of {','.join(CALLS)}, with commas between")
    ] = ",".join(CALLS)
    url: Annotated[str, Meta(description="a hub that is there already, else one is started")] = ""
    peer: Annotated[str, Meta(description="another server of these routes, shown beside")] = ""


class _Used(Struct):
    """What shares of a core were used while the hub was measured, one for each round."""

    load: list[float] = []
    hub: list[float] = []
    store: list[float] = []


class _Bench:
    """One load, and the servers that it goes to in turn. `pid` is the hub's, if it is known."""

    def __init__(
        self, options: Options, fleets: dict[str, Fleet], load: Worker, pid: int | None
    ) -> None:
        self._options = options
        self._fleets = fleets
        self._load = load
        self._pid = pid
        self.faults: list[str] = []

    async def call(self, report: Report, name: str, call: Call) -> None:
        """Measure one call in all rounds, and note what was found."""
        used, latencies, beside = _Used(), list[float](), list[float]()

        async def hub() -> float:
            return await self._hub(name, call, used, latencies)

        async def constant() -> float:
            if PEER in self._fleets:
                await self._fleets[PEER].renew()
                beside.append((await self._drive(PEER, name)).rate)
            return (await self._drive(CONSTANT, name)).rate

        rounds = self._options.rounds
        with progress(call.title, total=rounds * 2) as step:
            own, against = await alternate(rounds, hub, constant, told=step)
        report.compare(
            call.title,
            own,
            against,
            unit="/s",
            baseline="Starlette, constant answers",
            must=call.must,
            aim=call.aim,
        )
        if beside:
            report.compare(call.title, own, beside, unit="/s", baseline=self._options.peer)
        report.latencies(call.title, latencies)
        for whose, shares in {"load": used.load, "hub": used.hub, "store": used.store}.items():
            if shares:
                share = 100 * statistics.median(shares)
                report.figure(f"{call.title}: share of its core, {whose}", share, "%")

    async def _hub(self, name: str, call: Call, used: _Used, latencies: list[float]) -> float:
        fleet, changes = self._fleets[HUB], self._options.changes
        await fleet.renew()
        async with AsyncExitStack() as stack:
            if call.changing:
                stack.push_async_callback(_cancel, asyncio.create_task(fleet.change(changes)))
            before = self._cpu()
            began = time.monotonic()
            seen = await self._drive(HUB, name)
            took = time.monotonic() - began
            if self._pid is not None:
                hub, store = self._cpu()
                used.hub.append((hub - before[0]) / took)
                used.store.append((store - before[1]) / took)
        used.load.append(seen.core)
        latencies += seen.latencies
        self.faults += await faults(name, fleet, seen)
        return seen.rate

    async def _drive(self, server: str, name: str) -> Seen:
        seen = await self._load.request(f"{server} {name}", Seen, self._options.seconds + 120.0)
        self.faults += [f"{server}: {name}: {head}" for head in seen.wrong]
        return seen

    def _cpu(self) -> tuple[float, float]:
        """Seconds of CPU that the hub and its store have had."""
        if self._pid is None:
            return 0.0, 0.0
        return usage(self._pid).cpu, sum(usage(child).cpu for child in children(self._pid))


async def run(options: Options) -> Report:
    """Measure each call, the hub and the constant in turn."""
    report = SCENARIO.report(options)
    unknown = set(options.only.split(",")) - set(CALLS)
    if unknown:
        raise BenchError(f"there is no call {listed(sorted(unknown))}")
    calls = {name: call for name, call in CALLS.items() if name in options.only.split(",")}
    cores = Cores.plan()
    async with AsyncExitStack() as stack:
        fleets, pid = await _servers(options, cores, stack)
        say(f"{options.agents} agents register")
        for fleet in fleets.values():
            await fleet.register(options.agents)
            stack.push_async_callback(fleet.leave)
        hub = fleets[HUB]
        constant = await stack.enter_async_context(
            Worker("bench.baselines.constant", await _answers(hub))
        )
        serving = await constant.hear(Serving)
        pin(serving.pid, cores.server)
        fleets[CONSTANT] = hub.at(serving.url)
        load = await stack.enter_async_context(
            Worker(
                "bench.load.http",
                LoadSpec(
                    aims=[
                        fleet.aim(f"{server} {name}", call)
                        for server, fleet in fleets.items()
                        for name, call in calls.items()
                    ],
                    connections=options.connections,
                    seconds=options.seconds,
                ),
            )
        )
        pin(load.pid, cores.load)
        bench = _Bench(options, fleets, load, pid)
        for name, call in calls.items():
            await bench.call(report, name, call)
        report.check("every answer was right", not bench.faults, listed(bench.faults))
    return report


async def _servers(
    options: Options, cores: Cores, stack: AsyncExitStack
) -> tuple[dict[str, Fleet], int | None]:
    peers = {PEER: Fleet(options.peer)} if options.peer else {}
    if options.url:
        namespace = f"bench-{secrets.token_hex(4)}"
        return {HUB: Fleet(options.url, namespace), **peers}, None
    directory = stack.enter_context(temporary_directory())
    hub = await stack.enter_async_context(HubProcess(directory, cores=cores, **PATIENT))
    return {HUB: Fleet(hub.url), **peers}, hub.pid


async def _answers(hub: Fleet) -> Answers:
    """What the hub answers, for the constant to answer with as many bytes."""
    first = f"/agents/{hub.ids[0]}"
    registered = await hub.ask("POST", "/agents/register", CALLS["register"].bodies[0])
    gone = await hub.ask("POST", f"/agents/{registered.json()['agent_id']}/unregister")
    return Answers(
        heartbeat=(await hub.ask("POST", f"{first}/heartbeat", b"{}")).body,
        register=registered.body,
        unregister=gone.body,
        get=(await hub.ask("GET", first)).body,
        list=(await hub.ask("GET", "/agents")).body,
        by_type=(await hub.ask("GET", CALLS["type"].path)).body,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    """End what has no end of its own; raises what it failed of before."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


SCENARIO = Scenario("http", "the legacy HTTP routes", Options, run)
