"""Redis is stopped, and goes on: no agent is lost, nothing was falsely acknowledged."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from redis.asyncio import Redis

from bench.faults.changers import Changers, values_of
from bench.faults.repeated import repeat
from bench.peers.http_client import HttpCaller
from bench.peers.raw_fleet import Beats, RawFleet
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed
from bench.rig.machine import usage
from bench.rig.processes import StoreServer
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Agents
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Find
from homeport_protocol.timestamps import parse_timestamp

BEFORE, AFTER = 2.0, 4.0
"""Seconds that everything goes on before the stop, and after the end of it.

Longer than the 2 s that a change may wait, so that every answer is known at the end.
"""

LOG_LENGTH = 10  # changes that the hub keeps: its history must be full before memory is compared
LOOK_EVERY = 0.1  # seconds between two looks at the hub's memory


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[int, Meta(ge=1, le=10_000, description="heartbeating agents")] = 1000
    rate: Annotated[
        float, Meta(gt=0, le=100_000, description="heartbeats a second, of all agents")
    ] = 1000.0
    seconds: Annotated[
        float, Meta(gt=2.5, le=3600, description="how long Redis is stopped (SIGSTOP)")
    ] = 10.0
    lease_ttl: Annotated[
        float,
        Meta(
            ge=6,  # so that even an agent that registers and says nothing lives until the end
            le=600,
            description="the hub's --lease-ttl, in seconds; heartbeat timeout: three quarters",
        ),
    ] = 60.0
    rounds: Annotated[int, Meta(ge=1, le=100, description="how often it is done")] = 5


class _Outage(Struct):
    """When it began and ended (`time.monotonic()`, and Unix time), and what was seen of it."""

    began: float = 0.0
    ended: float = 0.0
    began_wall: float = 0.0
    written: float = 0.0
    ready_before: int = 0
    ready_during: int = 0
    ready_after: int = 0
    find: list[float] = []
    found_wrongly: list[int] = []
    memory: list[tuple[float, int]] = []
    """(Instant by `time.monotonic()`, bytes of the hub)."""

    def spans(self, sent: float, at: float) -> bool:
        """Whether both a request and its answer fall into it."""
        return self.began < sent < at < self.ended


@scenario(
    "redis-stop",
    "Redis stopped under a fleet: nobody is lost, nothing is falsely acknowledged",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Stop the store amid agents, callers and a watcher; let it go on; compare the answers."""
    await repeat(report, options.rounds, partial(_run_once, options))


async def _run_once(options: Options, report: Report) -> None:
    async with Scene() as scene:
        store = await scene.store()
        hub = await scene.hub(
            redis=store.url,
            heartbeat_interval=options.lease_ttl / 2,
            heartbeat_timeout=options.lease_ttl * 3 / 4,
            lease_ttl=options.lease_ttl,
            log_length=LOG_LENGTH,
        )
        redis = await scene.redis(store)
        fleet = await RawFleet.start(
            scene, hub.websocket_url, options.agents, options.agents / options.rate
        )
        agents = (await fleet.register()).ids
        watcher = await Watcher.open(hub.websocket_url)
        changers = Changers(hub.url, hub.websocket_url)
        await changers.register()
        outage = _Outage()
        async with changers.going_on(), asyncio.TaskGroup() as group:
            looking = group.create_task(_look_at_memory(hub.pid, outage))
            await _stop_and_go_on(options.seconds, outage, scene, store, agents)
            looking.cancel()
        beats = await fleet.report()
        stored = await _stored(redis)
        members = await redis.smembers("agents:active")
        active = {each if isinstance(each, str) else each.decode() for each in members}

        _add_figures(report, outage, beats, changers)
        _judge_agents(report, outage, watcher, beats)
        _judge_answers(report, outage, changers)
        _judge_changes(report, watcher, changers, stored, active)
        _judge_outage(report, outage, changers)
        _judge_memory(report, outage)
        scene.judge_hubs(report)


async def _look_at_memory(pid: int, outage: _Outage) -> None:
    while True:
        outage.memory.append((time.monotonic(), usage(pid).memory))
        await asyncio.sleep(LOOK_EVERY)


async def _stop_and_go_on(
    seconds: float, outage: _Outage, scene: Scene, store: StoreServer, agents: list[str]
) -> None:
    (hub,) = scene.hubs
    client, redis = await scene.connect(hub.websocket_url), await scene.redis(store)
    async with HttpCaller(hub.url) as caller:
        await asyncio.sleep(BEFORE)
        outage.ready_before = (await caller.call("GET", "/ready")).status
        say(f"stopping the store for {seconds:g} s")
        outage.began_wall = time.time()
        outage.began = store.suspend()
        try:
            end = outage.began + seconds
            while time.monotonic() < end:
                await asyncio.sleep(min(0.5, max(0.0, end - time.monotonic())))
                request = Find(id=0, filter=Filter(capabilities=["probe"]), limit=10_000)
                found: Agents[AgentRecord]
                found, heard = await client.demand(request, Agents)
                outage.find.append(heard.latency)
                if found.count != len(agents):
                    outage.found_wrongly.append(found.count)
                outage.ready_during = (await caller.call("GET", "/ready")).status
        finally:
            outage.ended = store.go_on()
        say("the store goes on")
        outage.written = await until(
            "everything owed written",
            lambda: _all_written(redis, agents, outage.began_wall),
            10.0,
            every=0.005,
        )
        await asyncio.sleep(AFTER)
        outage.ready_after = (await caller.call("GET", "/ready")).status


async def _all_written(redis: Redis, agents: list[str], since: float) -> bool:
    """Whether every agent's entry exists, and shows a heartbeat after `since` (Unix time)."""
    entries = await redis.mget([f"agent:{agent_id}" for agent_id in agents])
    return all(
        entry is not None and parse_timestamp(_decode(entry).last_seen) >= since
        for entry in entries
    )


async def _stored(redis: Redis) -> dict[str, AgentRecord]:
    keys = [key async for key in redis.scan_iter(match="agent:*", count=1000)]
    entries = await redis.mget(keys) if keys else []
    records = [_decode(entry) for entry in entries if entry is not None]
    return {record.id: record for record in records}


def _decode(entry: bytes | str) -> AgentRecord:
    return msgspec.json.decode(entry, type=AgentRecord)


def _add_figures(report: Report, outage: _Outage, beats: Beats, changers: Changers) -> None:
    latencies = [at - sent for sent, at, _ in beats.acks if outage.spans(sent, at)]
    report.figure("the store was stopped for", outage.ended - outage.began, "s")
    report.figure("heartbeats acknowledged meanwhile", len(latencies))
    report.spread("heartbeat until acknowledged, meanwhile", latencies)
    report.spread("find of all agents, meanwhile", outage.find)
    for what, attempts in (
        ("updates", changers.updates),
        ("registrations", changers.registrations),
        ("registrations over HTTP", changers.over_http),
    ):
        meanwhile = [each for each in attempts if outage.began < each.sent < outage.ended]
        answers = Counter(
            f"{each.answer}{' when it went on' if each.at > outage.ended else ''}"
            for each in meanwhile
        )
        told = ", ".join(f"{count} {answer}" for answer, count in answers.most_common())
        report.figure(f"{what} asked for meanwhile", told or "none")
        waits = [each.at - each.sent for each in meanwhile if not each.done]
        if waits:
            report.figure(f"{what}, longest wait for a refusal", max(waits), "s")


def _judge_agents(report: Report, outage: _Outage, watcher: Watcher, beats: Beats) -> None:
    bad = ("lost", "expired", "unregistered")
    news = [
        f"{e.agent.name}: {e.kind} {e.agent.status}"
        for e in watcher.events
        if e.agent.type not in ("late", "updater")
        and (e.kind in bad or e.agent.status != "healthy")
    ]
    report.none("nobody was told lost, unreachable or removed", news)
    report.check(
        "no agent's connection ended, and none was refused a heartbeat",
        not beats.lost and not beats.refusals,
        f"ended: {beats.lost}, refused: {listed(beats.refusals, 2)}",
    )
    overdue = beats.overdue()
    report.none("every heartbeat was acknowledged", overdue, f"{len(overdue)} were not")
    false = [at for sent, at, durable in beats.acks if durable and outage.spans(sent, at)]
    report.none("none meanwhile claimed to be durable", false, f"{len(false)} did")
    report.goal(
        "Redis's return until all that was owed to it is written",
        [outage.written - outage.ended],
        unit="s",
        must=1.0,
        higher=False,
    )


def _judge_answers(report: Report, outage: _Outage, changers: Changers) -> None:
    attempts = [*changers.updates, *changers.registrations, *changers.over_http]
    false = {each.name for each in attempts if each.done and outage.spans(each.sent, each.at)}
    report.none("no change was acknowledged while Redis was stopped", sorted(false))
    strange = {each.answer for each in attempts} - {"done", "unavailable"}
    report.none("every refusal said `unavailable`", sorted(strange))


def _judge_changes(
    report: Report,
    watcher: Watcher,
    changers: Changers,
    stored: dict[str, AgentRecord],
    active: set[str],
) -> None:
    registrations = [*changers.registrations, *changers.over_http]
    done = [each for each in registrations if each.done]
    refused = [each for each in registrations if not each.done]
    lost = [each.name for each in done if each.agent_id not in stored]
    report.none(
        "every registration that was acknowledged is in Redis",
        lost,
        f"{len(done)} acknowledged, missing: {listed(lost)}",
    )
    present = {*stored, *active, *(record.name for record in stored.values())}
    left = [each.name for each in refused if {each.agent_id, each.name} & present]
    report.none(
        "no registration that was refused is, nor one whose outcome was not known",
        left,
        f"{len(refused)} refused, found: {listed(left)}",
    )
    made = {(key, value) for key, record in stored.items() for value in values_of(record)}
    known = [(each, (each.agent_id, each.value) in made) for each in changers.updates]
    forgotten = [each.value for each, is_made in known if each.done and not is_made]
    applied = [each.value for each, made in known if made and not (each.done or each.unknown)]
    report.none("every update that was acknowledged is, too", forgotten)
    report.none("and none that was refused", applied)
    told = {(e.agent.id, e.agent.version) for e in watcher.events if e.kind == "updated"}
    missing = {(each.agent_id, each.value) for each in changers.updates if each.done} - told
    report.check(
        "each that was acknowledged was told to it, in one log without a gap",
        not missing and not watcher.restarts and not watcher.gaps(),
        f"{len(told)} told, missing: {listed([value for _, value in missing])}, "
        f"new logs: {watcher.restarts}, gaps: {listed(watcher.gaps())}",
    )


def _judge_memory(report: Report, outage: _Outage) -> None:
    before = statistics.median(size for at, size in outage.memory if at < outage.began)
    peak = max(size for at, size in outage.memory if at >= outage.began)
    end = outage.memory[-1][0]
    after = statistics.median(size for at, size in outage.memory if at > end - 1.0)
    for what, size in (("before", before), ("at most", peak), (f"{AFTER:g} s after", after)):
        report.figure(f"hub memory, {what}", size / 2**20, "MB")
    points = [(at - outage.began, size / 2**20) for at, size in outage.memory]
    report.growth("memory of the hub", "s since Redis was stopped", "MB", points)
    report.goal(
        f"hub memory {AFTER:g} s after, more than before",
        [100 * (after - before) / before],
        unit="%",
        must=5.0,
        higher=False,
    )


def _judge_outage(report: Report, outage: _Outage, changers: Changers) -> None:
    refusals = sum(not each.done for each in changers.over_http)
    report.check(
        "each refusal over HTTP said when to try again",
        not changers.without_hint and bool(refusals),
        f"{refusals} refusals",
    )
    report.check(
        "find went on answering from memory, with every agent",
        bool(outage.find) and not outage.found_wrongly,
        f"{len(outage.find)} answers, wrong counts: {listed(outage.found_wrongly)}",
    )
    seen = (outage.ready_before, outage.ready_during, outage.ready_after)
    report.check("/ready said so", seen == (200, 503, 200), f"{seen}")
