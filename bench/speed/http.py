"""The legacy HTTP routes, against the same Starlette stack that answers constants of the same size.

Every connection is kept alive and has one request outstanding. `--peer` runs the same load against
another server of these routes, such as the registry whose routes they are, and shows it beside.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from bench.baselines.constant import Answers, Serving
from bench.load.crowd import Outcome
from bench.load.http_load import WARM_UP, HttpLoadSpec, Seen
from bench.results.report import Report
from bench.rig.cores import Cores
from bench.rig.progress import say
from bench.rig.rounds import in_turn
from bench.rig.workers import Worker
from bench.scenario import scenario
from bench.scene import Scene
from bench.speed.http_calls import CALLS, Call
from bench.speed.http_fleet import HttpFleet
from bench.speed.scene import PATIENT, HubUrl
from bench.speed.under_load import Server, ServerUnderLoad

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


@scenario("http", "the legacy HTTP routes, against a Starlette app with constant answers", Options)
async def run(options: Options, report: Report) -> None:
    """Measure each call, the hub and the constant in turn."""
    calls = {name: call for name, call in CALLS.items() if name in options.only.split(",")}
    cores = Cores.plan()
    async with Scene(cores) as scene:
        pids = {}
        if options.url:
            hub = HttpFleet(options.url, f"bench-{secrets.token_hex(4)}")
        else:
            process = await scene.hub(**PATIENT)
            hub, pids[HUB] = HttpFleet(process.url), process.pid
        fleets = {HUB: hub, PEER: HttpFleet(options.peer)} if options.peer else {HUB: hub}
        say(f"{options.agents} agents register")
        for fleet in fleets.values():
            await fleet.register(options.agents)
            scene.push_async_callback(fleet.leave)
        constant = await scene.enter_async_context(
            Worker("bench.baselines.constant", await _answers(hub), cores.server)
        )
        fleets[CONSTANT] = hub.at((await constant.receive(Serving)).url)
        pids[CONSTANT] = constant.pid
        aims = [
            fleet.aim(f"{server} {name}", call)
            for server, fleet in fleets.items()
            for name, call in calls.items()
        ]
        spec = HttpLoadSpec(aims=aims, connections=options.connections, seconds=options.seconds)
        load = await scene.enter_async_context(Worker("bench.load.http_load", spec, cores.load))
        for name, call in calls.items():
            loads = {
                server: HttpLoad(load, server, name, fleet, options)
                for server, fleet in fleets.items()
            }
            await _compare(report, options, call, loads, pids)


class HttpLoad:
    """The load of one call on one server."""

    def __init__(
        self, worker: Worker, server: str, name: str, fleet: HttpFleet, options: Options
    ) -> None:
        self.fleet = fleet
        self.seconds = WARM_UP + options.seconds
        self._worker = worker
        self._server = server
        self._name = name
        self._changes = options.changes if CALLS[name].changing and server != CONSTANT else 0

    @property
    def pids(self) -> list[int]:
        return [self._worker.pid]

    async def run(self) -> Outcome:
        """Call for a while, with changes meanwhile if the call is measured with them.

        The answers of the hub are checked: only they are known beforehand.
        """
        changing = asyncio.create_task(self.fleet.change(self._changes)) if self._changes else None
        try:
            word = f"{self._server} {self._name}"
            seen = await self._worker.request(word, Seen, self.seconds + 120.0)
        finally:
            if changing is not None:
                await _cancel(changing)
        wrong = await faults(self._name, self.fleet, seen) if self._server == HUB else []
        return Outcome(seen.rate, seen.share, seen.latencies, seen.wrong + wrong)


async def _compare(
    report: Report, options: Options, call: Call, loads: dict[str, HttpLoad], pids: dict[str, int]
) -> None:
    """Measure one call at all servers in all rounds, and note what was found."""
    loaded = {
        server: ServerUnderLoad(load, Server(load.fleet.url, pids.get(server)))
        for server, load in loads.items()
    }

    async def rate(server: str) -> float:
        if server != CONSTANT:
            await loads[server].fleet.renew()
        return await loaded[server].rate()

    measures = [partial(rate, server) for server in loaded]
    own, *others = await in_turn(call.title, options.rounds, *measures)
    loaded.pop(HUB).add_to(report, call.title)
    for (server, each), rates in zip(loaded.items(), others, strict=True):
        is_peer = server == PEER
        words = options.peer if is_peer else "Starlette, constant answers"
        must, aim = (None, None) if is_peer else (call.must, call.aim)
        report.goal(call.title, own, rates, unit="/s", baseline=words, must=must, aim=aim)
        each.add_to(report, f"{call.title}, {words}")


async def _answers(hub: HttpFleet) -> Answers:
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
    """End a task that does not end by itself; raises the failure that it had before, if any."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


async def faults(name: str, fleet: HttpFleet, seen: Seen) -> list[str]:
    """What was wrong with the last answers of a call's connections, or is wrong after it."""
    bodies = [msgspec.json.decode(body) for body in seen.bodies]
    found = [f"{name}: {body}"[:200] for body in bodies if not _CHECKS[name](fleet, body)]
    listed = (await fleet.ask("GET", "/agents")).json()
    if not _is_whole(fleet, listed):
        found.append(f"{name}: {listed['count']} agents are listed after it")
    changes = {agent["id"]: agent["metadata"].get("change", 0) for agent in listed["agents"]}
    late = [each for each, number in fleet.changed.items() if changes.get(each, 0) < number]
    return found + [f"{name}: the list is older than the change of {each}" for each in late]


def _is_whole(fleet: HttpFleet, body: Any) -> bool:
    ids = [agent["id"] for agent in body["agents"]]
    return ids == fleet.ids and body["count"] == len(ids)


_CHECKS: dict[str, Callable[[HttpFleet, Any], bool]] = {
    "heartbeat": lambda _, body: body["received"] is True,
    "register": lambda fleet, body: body["agent_id"] not in fleet.ids,
    "get": lambda fleet, body: body["id"] in fleet.ids and body["status"] == "healthy",
    "list": _is_whole,
    "changing": _is_whole,
    "type": lambda _, body: body == {"agents": [], "count": 0},
}
