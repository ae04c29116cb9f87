"""The legacy HTTP routes, against the same Starlette stack that answers constants of the same size.

Every connection is kept alive and has one request outstanding. `--peer` runs the same load against
another server of these routes, such as the registry whose routes they are, and shows it beside.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from bench.baselines.constant import Answers, Serving
from bench.load.http import WARM_UP, HttpLoadSpec, Seen
from bench.load.load import Outcome
from bench.results.report import Report
from bench.rig.cores import Cores, pin
from bench.rig.processes import HubProcess, temporary_directory
from bench.rig.progress import progress, say
from bench.rig.rounds import in_turn
from bench.rig.workers import Worker
from bench.scenario import Scenario
from bench.speed.driven import Driven, Server
from bench.speed.http_calls import CALLS, Call
from bench.speed.http_checks import faults
from bench.speed.http_fleet import Fleet
from bench.speed.scene import PATIENT, HubUrl

HUB, CONSTANT, PEER = "hub", "constant", "peer"

_CALL = "|".join(CALLS)


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[int, Meta(ge=1, le=20_000, description="agents in the list")] = 1000
    connections: Annotated[int, Meta(ge=1, le=10_000, description="connections of the load")] = 100
    changes: Annotated[
        int, Meta(ge=1, le=2000, description="changes a second while the list changes")
    ] = 100
    seconds: Annotated[float, Meta(gt=0, le=600, description="seconds of each measurement")] = 1.5
    rounds: Annotated[int, Meta(ge=1, le=100, description="rounds; the medians count")] = 5
    only: Annotated[
        str,
        Meta(
            pattern=rf"^({_CALL})(,({_CALL}))*$",
            examples=["heartbeat,get"],
            description="which calls, with commas between",
        ),
    ] = ",".join(CALLS)
    url: HubUrl = ""
    peer: Annotated[
        str,
        Meta(
            pattern=r"^http://[^/\s]+/?$",
            examples=["http://127.0.0.1:8000"],
            description="another server of these routes, http://HOST:PORT, shown beside",
        ),
    ] = ""


class _Calling:
    """The load of one call on one server; with `changes`, so many agents a second change."""

    def __init__(
        self, worker: Worker, name: str, fleet: Fleet, seconds: float, changes: int
    ) -> None:
        self._worker = worker
        self._name = name
        self._fleet = fleet
        self._changes = changes
        self.seconds = WARM_UP + seconds

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return [self._worker.pid]

    async def drive(self) -> Outcome:
        """Call for a while; every answer is looked at, and the last ones closely."""
        async with AsyncExitStack() as stack:
            if self._changes:
                changing = asyncio.create_task(self._fleet.change(self._changes))
                stack.push_async_callback(_cancel, changing)
            seen = await self._worker.request(self._name, Seen, self.seconds + 120.0)
        return Outcome(seen.rate, seen.core, seen.latencies, await self._troubles(seen))

    async def _troubles(self, seen: Seen) -> list[str]:
        return seen.wrong


class _CallingHub(_Calling):
    """As above, where the answers are known."""

    async def _troubles(self, seen: Seen) -> list[str]:
        return seen.wrong + await faults(self._name.rpartition(" ")[2], self._fleet, seen)


class _Stage:
    """The servers, by their names: who has agents where, and which process it is, if it is ours."""

    def __init__(
        self, options: Options, fleets: dict[str, Fleet], pids: dict[str, int], worker: Worker
    ) -> None:
        self._options = options
        self._fleets = fleets
        self._pids = pids
        self._worker = worker

    async def compare(self, report: Report, name: str, call: Call) -> None:
        """Measure one call at all servers in all rounds, and note what was found."""
        options = self._options
        driven = {server: self._driven(server, name, call) for server in self._fleets}

        async def rate(server: str) -> float:
            if server != CONSTANT:
                await self._fleets[server].renew()
            return await driven[server].rate()

        with progress(call.title, total=options.rounds * len(driven)) as step:
            measures = [partial(rate, server) for server in driven]
            rates = dict(
                zip(driven, await in_turn(options.rounds, *measures, told=step), strict=True)
            )
        own = rates.pop(HUB)
        driven.pop(HUB).tell(report, call.title)
        words = {CONSTANT: "Starlette, constant answers", PEER: options.peer}
        for server, against in rates.items():
            must, aim = (call.must, call.aim) if server == CONSTANT else (None, None)
            report.compare(
                call.title, own, against, unit="/s", baseline=words[server], must=must, aim=aim
            )
            driven[server].tell(report, f"{call.title}, {words[server]}")

    def _driven(self, server: str, name: str, call: Call) -> Driven:
        fleet = self._fleets[server]
        kind = _CallingHub if server == HUB else _Calling
        changes = self._options.changes if call.changing and server != CONSTANT else 0
        calling = kind(self._worker, f"{server} {name}", fleet, self._options.seconds, changes)
        return Driven(calling, Server(fleet.url, self._pids.get(server)))


async def run(options: Options) -> Report:
    """Measure each call, the hub and the constant in turn."""
    report = SCENARIO.report(options)
    calls = {name: call for name, call in CALLS.items() if name in options.only.split(",")}
    cores = Cores.plan()
    async with AsyncExitStack() as stack:
        hub, pids = await _hub(options, cores, stack)
        fleets = {HUB: hub, PEER: Fleet(options.peer)} if options.peer else {HUB: hub}
        say(f"{options.agents} agents register")
        for fleet in fleets.values():
            await fleet.register(options.agents)
            stack.push_async_callback(fleet.leave)
        constant = await stack.enter_async_context(
            Worker("bench.baselines.constant", await _answers(hub))
        )
        pin(constant.pid, cores.server)
        fleets[CONSTANT] = hub.at((await constant.hear(Serving)).url)
        pids[CONSTANT] = constant.pid
        aims = [
            fleet.aim(f"{server} {name}", call)
            for server, fleet in fleets.items()
            for name, call in calls.items()
        ]
        spec = HttpLoadSpec(aims=aims, connections=options.connections, seconds=options.seconds)
        load = await stack.enter_async_context(Worker("bench.load.http", spec))
        pin(load.pid, cores.load)
        stage = _Stage(options, fleets, pids, load)
        for name, call in calls.items():
            await stage.compare(report, name, call)
    return report


async def _hub(
    options: Options, cores: Cores, stack: AsyncExitStack
) -> tuple[Fleet, dict[str, int]]:
    if options.url:
        return Fleet(options.url, f"bench-{secrets.token_hex(4)}"), {}
    directory = stack.enter_context(temporary_directory())
    hub = await stack.enter_async_context(HubProcess(directory, cores=cores, **PATIENT))
    return Fleet(hub.url), {HUB: hub.pid}


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


SCENARIO = Scenario(
    "http", "the legacy HTTP routes, against a Starlette app with constant answers", Options, run
)
