"""The hub is killed and started again: no agent is forgotten, none becomes unreachable."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from agent_client import HubClient
from bench.faults.judging import judge_health, judge_sessions, judge_watch
from bench.faults.repeated import repeat
from bench.peers.client_fleet import COME_BACK, ClientFleet
from bench.peers.prober import Probed, Prober, Probing
from bench.peers.raw_client import GoneError, Heard
from bench.peers.scrape import LOOP_LAG, scrape
from bench.peers.watcher import Watcher
from bench.results.report import Report, listed, percentile
from bench.rig.cores import Cores, pinned
from bench.rig.machine import usage
from bench.rig.processes import HubProcess
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.rig.workers import Worker
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Registered
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Register

PROCESSES = 2
WAVE, WAVE_PAUSE = 10, 0.001
"""The storm's registrations are sent ten at a time, so many seconds apart."""


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
    """How the hub did from when it listened until all agents were back.

    `cpu` is what it used, in seconds; `own_lag` a bound of its loop's lag (the 99th percentile),
    as it measured it.
    """

    seconds: float
    cpu: float
    connected_after: float
    probed: Probed
    own_lag: float


@scenario(
    "restart",
    "kill -9 of the hub: nothing that it acknowledged is missing after its restart",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Kill the hub under connected agents and in a storm of registrations; start it again."""
    await repeat(report, options.rounds, partial(_run_once, options))


async def _run_once(options: Options, report: Report) -> None:
    cores = Cores.plan()
    async with Scene(cores) as scene:
        hub = await scene.hub()
        scene.enter_context(pinned(cores.load))  # this process, and the load that it starts
        watcher = await Watcher.open(hub.websocket_url)
        follower = await scene.follow(hub.url)

        say(f"connecting {options.agents:,} agents")
        fleet = await ClientFleet.start(scene, hub.url, options.agents, processes=PROCESSES)
        before = await fleet.register()
        prober = await scene.enter_async_context(
            Worker("bench.peers.prober", Prober(url=hub.websocket_url))
        )
        say("killing the hub in a storm of registrations")
        storm = await _kill_in_storm(scene, hub, options.newcomers)
        await hub.start()
        listening_at, cpu = time.monotonic(), usage(hub.pid).cpu
        probing = await prober.request("probe", Probing)

        second = await Watcher.open(hub.websocket_url, position=watcher.position)
        say("waiting until every agent is back")
        after = await fleet.settle()
        agents = {*after}
        await until("every agent resumed", lambda: second.ids("resumed") >= agents, 10.0, every=0.1)
        way_back = _Return(
            time.monotonic() - listening_at,
            usage(hub.pid).cpu - cpu,
            probing.after,
            await prober.request("report", Probed),
            (await scrape(hub.url)).quantile(LOOP_LAG, 0.99),
        )
        await until(
            "every agent resumed, by a watch of the client package",
            lambda: follower.resumed >= agents,
            COME_BACK,
        )
        async with HubClient(hub.url) as client:
            directory = {agent.id: agent for agent in await client.find()}

        report.figure("agents", len(before))
        report.figure("registrations of the storm that were acknowledged", len(storm.acknowledged))
        report.figure("registrations of the storm cut off by the kill", storm.cut_off)
        down = listening_at - storm.killed_at
        report.figure("kill -9 until the hub listens again", down, "s")
        back = sorted(session.at - listening_at for session in after.values())
        report.spread("listening until an agent is back", back)
        report.figure("all agents back, since the kill", back[-1] + down, "s")
        report.figure("events heard by the watcher that came back", len(second.events))
        report.goal(
            "listening until all are back", back[-1:], unit="s", must=15.0, aim=8.0, higher=False
        )
        _judge_lag(report, way_back)
        acknowledged = [*before, *storm.acknowledged]
        missing = [agent_id for agent_id in acknowledged if agent_id not in directory]
        report.none(
            "every acknowledged registration is in the directory, with its id",
            missing,
            f"{len(acknowledged)} acknowledged, missing: {listed(missing)}",
        )
        judge_sessions(report, before, after)
        judge_health(report, {*before}, directory)
        report.check(
            "a watcher that came back with its log and revision was resumed, without a snapshot",
            second.resumed and not second.restarts,
        )
        judge_watch(report, second, agents)
        follower.judge(report, "to a watch of the client package, which came back by itself")
        scene.judge_hubs(report)


async def _kill_in_storm(scene: Scene, hub: HubProcess, newcomers: int) -> _Storm:
    """Kill the hub when half of the newcomers have their answer, and more have asked."""
    clients = [await scene.connect(hub.websocket_url) for _ in range(newcomers)]
    answers: list[asyncio.Future[Heard]] = []

    def half_answered() -> bool:
        return sum(answer.done() for answer in answers) >= newcomers // 2

    for number, client in enumerate(clients):
        spec = AgentSpec(name=f"newcomer-{number}", type="newcomer")
        answers.append(client.send(Register(id=0, agent=spec)))
        if number % WAVE == 0:
            await asyncio.sleep(WAVE_PAUSE)
        if half_answered():
            break
    await until("half of the storm answered", half_answered, 30.0, every=WAVE_PAUSE / 2)
    storm = _Storm(await hub.kill())
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
    own_lag = way_back.own_lag * 1000
    report.figure("loop lag by the hub's own measure, p99 at most", own_lag, "ms")
    worst = percentile(sorted(probed.answered), 0.99) * 1000
    report.goal("loop lag, as pings see it, p99", [worst], unit="ms", must=100.0, higher=False)
    report.latencies("ping until pong while all come back", probed.answered)
