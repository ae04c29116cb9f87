"""The hub is killed under its agents and started again: nobody is forgotten, nobody is blamed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from agent_client import AgentRecord, HubClient
from bench.faults.follower import Follower
from bench.faults.repeated import repeat
from bench.peers.client_fleet import ClientsSpec, Held, Sessions
from bench.peers.prober import Probed, ProberSpec, Probing
from bench.peers.raw_client import Driver, GoneError, Heard
from bench.peers.scrape import LOOP_LAG, scrape
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed, percentile
from bench.rig.cores import Cores, pinned
from bench.rig.machine import usage
from bench.rig.processes import HubProcess, temporary_directory
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.rig.workers import Worker
from bench.scenario import Scenario
from homeport_protocol.answers import Registered
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Register

PROCESSES = 2
WAVE, WAVE_PAUSE = 10, 0.001
"""The storm's registrations are sent ten at a time, so many seconds apart."""

COME_BACK = 120.0
"""Seconds after which an agent that is not back fails the proof."""


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=1, le=20_000, description="agents of the real client that must come back")
    ] = 10_000
    newcomers: Annotated[
        int, Meta(ge=0, le=5000, description="agents that are registering when the hub is killed")
    ] = 200
    rounds: Annotated[int, Meta(ge=1, le=100, description="how often it is done")] = 5


class _Storm(Struct):
    """When the hub was killed, and what became of the registrations under way."""

    killed_at: float
    acknowledged: list[str] = []
    cut_off: int = 0


class _Return(Struct):
    """How the hub fared from when it listened until all were back.

    `cpu` is what it used, in seconds; `told_itself` a bound of its loop's lag (the 99th
    percentile) by its own measure.
    """

    seconds: float
    cpu: float
    connected_after: float
    probed: Probed
    told_itself: float


async def prove(options: Options) -> Report:
    """Kill the hub under connected agents and in a storm of registrations; start it again."""
    return await repeat(SCENARIO.report(options), options.rounds, partial(_prove_once, options))


async def _prove_once(options: Options, report: Report) -> None:
    cores = Cores.plan()
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        hub = await stack.enter_async_context(HubProcess(directory, cores=cores))
        stack.enter_context(pinned(cores.load))  # and with us the load that is started from here
        judge = await Watcher.open(hub.websocket_url)
        client = await stack.enter_async_context(HubClient(hub.url))
        follower = Follower(client)
        following = asyncio.create_task(follower.follow())
        stack.callback(following.cancel)

        say(f"connecting {options.agents:,} agents")
        workers, before = await _start_agents(stack, hub.url, options.agents)
        prober = await stack.enter_async_context(
            Worker("bench.peers.prober", ProberSpec(url=hub.websocket_url))
        )
        say("killing the hub in a storm of registrations")
        storm = await _kill_in_storm(stack, hub, options.newcomers)
        await hub.start()
        listening_at, cpu = time.monotonic(), usage(hub.pid).cpu
        probing = await prober.request("probe", Probing)

        log, revision = judge.stands_at
        second = await Watcher.open(hub.websocket_url, position=(log, revision))
        say("waiting until every agent is back")
        told = await asyncio.gather(
            *(worker.request("settle", Sessions, COME_BACK) for worker in workers)
        )
        after = {held.agent_id: held for one in told for held in one.held}
        await until("every agent resumed", lambda: _resumed(second) >= set(after), 10.0, every=0.1)
        way_back = _Return(
            time.monotonic() - listening_at,
            usage(hub.pid).cpu - cpu,
            probing.after,
            await prober.request("report", Probed),
            (await scrape(hub.url)).quantile(LOOP_LAG, 0.99),
        )
        await until(
            "every agent resumed, by a watch of the client package",
            lambda: follower.resumed >= set(after),
            COME_BACK,
        )
        directory_now = {agent.id: agent for agent in await client.find()}
        failures = hub.failures()
        following.cancel()

    report.figure("agents", len(before))
    report.figure("registrations of the storm that were acknowledged", len(storm.acknowledged))
    report.figure("registrations of the storm cut off by the kill", storm.cut_off)
    report.figure("kill -9 until the hub listens again", listening_at - storm.killed_at, "s")
    back = sorted(held.at - listening_at for held in after.values())
    report.spread("listening until an agent is back", back)
    report.figure("all agents back, since the kill", back[-1] + listening_at - storm.killed_at, "s")
    report.figure("events heard by the watcher that came back", len(second.events))
    report.goal(
        "listening until all are back", back[-1:], unit="s", must=15.0, aim=8.0, higher=False
    )
    _judge_lag(report, way_back)
    _judge_agents(report, before, after, storm.acknowledged, directory_now)
    _judge_watchers(report, second, follower, set(after))
    report.check("the hub logged no failure of its own", failures == 0, f"{failures}")


async def _start_agents(
    stack: AsyncExitStack, url: str, count: int
) -> tuple[list[Worker], dict[str, Held]]:
    processes = min(PROCESSES, count)
    workers = []
    for number in range(processes):
        share = count // processes + (number < count % processes)
        spec = ClientsSpec(url=url, name=f"client-{number}", count=share)
        workers.append(await stack.enter_async_context(Worker("bench.peers.client_fleet", spec)))
    told = await asyncio.gather(*(worker.request("start", Sessions) for worker in workers))
    return workers, {held.agent_id: held for one in told for held in one.held}


async def _kill_in_storm(stack: AsyncExitStack, hub: HubProcess, newcomers: int) -> _Storm:
    """Kill the hub when half of the newcomers have their answer, and more have asked."""
    drivers = [await Driver.connect(hub.websocket_url) for _ in range(newcomers)]
    for driver in drivers:
        stack.callback(driver.abort)
    answers: list[asyncio.Future[Heard]] = []

    def half_answered() -> bool:
        return sum(answer.done() for answer in answers) >= newcomers // 2

    for number, driver in enumerate(drivers):
        spec = AgentSpec(name=f"newcomer-{number}", type="newcomer")
        answers.append(driver.send(Register(id=0, agent=spec)))
        if number % WAVE == 0:
            await asyncio.sleep(WAVE_PAUSE)
        if half_answered():
            break
    await until("half of the storm answered", half_answered, 30.0, every=WAVE_PAUSE / 2)
    killed_at = await hub.kill()
    storm = _Storm(killed_at)
    for outcome in await asyncio.gather(*answers, return_exceptions=True):
        if isinstance(outcome, GoneError):
            storm.cut_off += 1
        elif isinstance(outcome, BaseException):
            raise outcome
        elif isinstance(outcome.answer, Registered):
            storm.acknowledged.append(outcome.answer.agent_id)
    return storm


def _judge_lag(report: Report, way_back: _Return) -> None:
    probed = way_back.probed
    report.figure("share of one core meanwhile: hub", 100 * way_back.cpu / way_back.seconds, "%")
    report.figure("listening until the prober is connected", way_back.connected_after * 1000, "ms")
    report.spread("ping until pong, meanwhile", probed.answered)
    report.spread("of which the prober itself was late", probed.late)
    itself = way_back.told_itself * 1000
    report.figure("loop lag by the hub's own measure, p99 at most", itself, "ms")
    worst = percentile(sorted(probed.answered), 0.99) * 1000
    report.goal("loop lag, as pings see it, p99", [worst], unit="ms", must=100.0, higher=False)
    report.latencies("ping until pong while all come back", probed.answered)


def _judge_agents(
    report: Report,
    before: dict[str, Held],
    after: dict[str, Held],
    acknowledged: list[str],
    directory: dict[str, AgentRecord],
) -> None:
    missing = [agent_id for agent_id in [*before, *acknowledged] if agent_id not in directory]
    report.check(
        "every acknowledged registration is in the directory, with its id",
        not missing,
        f"{len(before) + len(acknowledged)} acknowledged, missing: {listed(missing)}",
    )
    strange = [
        agent_id
        for agent_id, held in before.items()
        if agent_id not in after
        or not after[agent_id].resumed
        or after[agent_id].epoch <= held.epoch
    ]
    report.check(
        "every agent resumed by itself, under its id and a higher epoch",
        not strange,
        listed(strange) if strange else f"{len(after)} of {len(before)}",
    )
    unwell = [
        agent_id
        for agent_id in before
        if agent_id in directory
        and (directory[agent_id].status, directory[agent_id].health.connection)
        != ("healthy", "websocket")
    ]
    report.check("every one of them is healthy and connected", not unwell, listed(unwell))


def _judge_watchers(report: Report, watcher: Watcher, follower: Follower, agents: set[str]) -> None:
    report.check(
        "a watcher that came back with its log and revision was resumed, without a snapshot",
        watcher.resumed and not watcher.restarts,
    )
    gaps = watcher.gaps()
    report.check("no revision was missing to it", not gaps, listed(gaps))
    blamed = [e.agent.name for e in watcher.events if e.agent.status == "unreachable"]
    report.check("none was ever unreachable to it", not blamed, listed(blamed))
    told = _resumed(watcher)
    report.check("it was told of every agent's return", told >= agents, f"{len(told & agents)}")
    follower.judge(report, "to a watch of the client package, which came back by itself")


def _resumed(watcher: Watcher) -> set[str]:
    return {event.agent.id for event in watcher.events if event.kind == "resumed"}


SCENARIO = Scenario(
    "restart",
    "kill -9 of the hub: nothing that it acknowledged is missing after its restart",
    Options,
    prove,
)
