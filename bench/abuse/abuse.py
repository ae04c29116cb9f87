"""Honest agents heartbeat; an attacker comes, and goes: what they notice, and what the hub pays."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from bench.abuse.attacker import Attacked
from bench.abuse.attacks import Aim
from bench.abuse.cost import MIB, Costs, Look
from bench.abuse.honest import Newcomers, Probe
from bench.abuse.kinds import KINDS, Kind
from bench.peers.raw_client import RawClient
from bench.peers.raw_fleet import Beats, RawFleet
from bench.peers.watcher import Watcher
from bench.results.report import Report, percentile
from bench.rig.progress import say
from bench.rig.workers import Done, Worker
from bench.scenario import Scenario, scenario
from bench.scene import Scene
from homeport_protocol.answers import Agents
from homeport_protocol.filters import Filter
from homeport_protocol.requests import Find

ATTACKER = "127.0.0.9" if sys.platform == "linux" else ""
"""The attacker's address; the honest ones have another, where the system has several."""

CALM_AFTER = 2.0
"""Seconds after the attack that do not count as calm again."""

LAST_ANSWERS = 10.0
"""Seconds within which the last heartbeats must be answered."""

LOST = ("lost", "unregistered", "expired")


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[int, Meta(ge=1, le=1000, description="honest agents")] = 100
    interval: Annotated[
        float, Meta(gt=0, le=60, description="seconds between the heartbeats of each")
    ] = 1.0
    seconds: Annotated[float, Meta(gt=0, le=3600, description="how long the attack goes on")] = 15.0
    calm: Annotated[
        float, Meta(gt=0, le=3600, description="seconds that are measured before it, and after it")
    ] = 5.0
    scale: Annotated[
        float, Meta(gt=0, le=10, description="times the attack's own number of connections")
    ] = 1.0
    p99: Annotated[
        float, Meta(gt=0, description="milliseconds for 99 % of the honest heartbeats meanwhile")
    ] = 250.0
    log_mib: Annotated[int, Meta(ge=1, le=4096, description="the hub's --max-log-bytes")] = 64
    unsent_mib: Annotated[
        int, Meta(ge=4, le=65536, description="the hub's --max-total-unsent-bytes")
    ] = 512


Span = tuple[float, float]
"""Begin and end (`time.monotonic()`)."""


class _Honest:
    """The honest agents, and those who look whether all are well."""

    def __init__(self, fleet: RawFleet, watcher: Watcher, asker: RawClient) -> None:
        self._fleet = fleet
        self._watcher = watcher
        self._asker = asker
        self._ids: set[str] = set()

    @classmethod
    async def start(cls, scene: Scene, url: str, options: Options) -> _Honest:
        probe = Filter(capabilities=["probe"])
        fleet = await RawFleet.start(scene, url, options.agents, options.interval)
        watcher = await Watcher.open(url, filter=probe)
        scene.callback(watcher.close)
        honest = cls(fleet, watcher, await scene.connect(url))
        honest._ids = set((await fleet.register()).ids)
        return honest

    async def beats(self, until: float) -> Beats:
        """What became of their heartbeats, once those sent until then are answered."""
        patience = time.monotonic() + LAST_ANSWERS
        while True:
            beats = await self._fleet.report()
            if time.monotonic() > patience or all(sent > until for sent in beats.unanswered):
                return beats
            await asyncio.sleep(0.2)

    async def judge(self, report: Report, beats: Beats, until: float) -> None:
        """Check that none was lost: not to itself, a watcher or the directory."""
        unanswered = sum(sent <= until for sent in beats.unanswered)
        report.none("every honest heartbeat was answered", unanswered)
        report.none("none was refused", beats.refusals)
        report.none("no connection of an honest agent ended", beats.lost)
        told = [
            f"{each.agent.name}: {each.kind}"
            for each in self._watcher.events
            if each.agent.id in self._ids and (each.kind in LOST or each.unreachable)
        ]
        report.none("none was told as lost", told)
        report.check("the watcher of this was never cut off", not self._watcher.ended)
        find = Find(id=0, filter=Filter(capabilities=["probe"]), limit=10_000)
        found, _ = await self._asker.demand(find, Agents)
        well = {
            each.id
            for each in found.agents
            if (each.status, each.health.connection) == ("healthy", "websocket")
        }
        report.none("every one is listed, healthy and connected", sorted(self._ids - well))


async def _run(kind: Kind, options: Options, report: Report) -> None:
    connections = max(2, round(kind.connections * options.scale))
    records = round(kind.records * min(1.0, options.scale))
    async with Scene() as scene:
        store = await scene.store()
        redis = await scene.redis(store)
        hub = await scene.hub(
            redis=store.url,
            max_open_files=kind.max_open_files,
            max_log_bytes=options.log_mib * MIB,
            max_total_unsent_bytes=options.unsent_mib * MIB,
        )
        aim = Aim(
            kind=kind.name, url=hub.url, connections=connections, source=ATTACKER, records=records
        )
        attacker = await scene.enter_async_context(Worker("bench.abuse.attacker", aim))
        honest = await _Honest.start(scene, hub.websocket_url, options)
        await attacker.request("prepare", Done)
        newcomers, probe = (
            Newcomers(hub.websocket_url),
            Probe(await scene.connect(hub.websocket_url)),
        )
        look = Look(hub, redis)
        for work in (newcomers.come(), probe.go_on(), look.go_on()):
            scene.go_on(work)

        say(f"{options.agents:,} agents heartbeat, {options.calm:g} s")
        await look.span()
        calm, before = await _span(options.calm), await look.span()
        lines, log_before = _lines(hub.log.read_bytes()), await look.log_bytes()
        say(f"{kind.title}, {options.seconds:g} s")
        await attacker.request("go", Done)
        attack, during = await _span(options.seconds), await look.span()
        attacked = await attacker.request("stop", Attacked)
        await attacker.stop()
        lines, log_after = _lines(hub.log.read_bytes()) - lines, await look.log_bytes()
        await asyncio.sleep(min(CALM_AFTER, options.calm))
        await look.span()
        over, after = await _span(options.calm), await look.span()
        beats = await honest.beats(over[1])
        _tell_honest(
            report, beats, newcomers, probe, {"before": calm, "during": attack, "after": over}
        )
        _goal(report, options, beats, attack)
        _tell_costs(report, {"before": before, "during": during, "after": after})
        report.figure("change log in the store, before", log_before / MIB, "MB")
        report.figure("change log in the store, during", log_after / MIB, "MB")
        report.figure("lines of the hub's log, during", lines / options.seconds, "/s")
        _tell_attack(report, attacked)
        await honest.judge(report, beats, over[1])
        _judge_memory(report, kind, options, before, during)
        scene.judge_hubs(report)


async def _span(seconds: float) -> Span:
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return began, time.monotonic()


def _lines(log: bytes) -> int:
    return log.count(b"\n")


def _within(pairs: Sequence[tuple[float, float]], span: Span) -> list[float]:
    return [value for at, value in pairs if span[0] <= at < span[1]]


def _waits(beats: Beats, span: Span) -> list[float]:
    return _within([(sent, heard - sent) for sent, heard, _ in beats.acks], span)


def _goal(report: Report, options: Options, beats: Beats, attack: Span) -> None:
    waits = sorted(1000 * each for each in _waits(beats, attack)) or [float("inf")]
    report.goal(
        "p99 of honest heartbeats during the attack",
        [percentile(waits, 0.99)],
        unit="ms",
        must=options.p99,
        higher=False,
    )


def _tell_honest(
    report: Report, beats: Beats, newcomers: Newcomers, probe: Probe, spans: dict[str, Span]
) -> None:
    for when, span in spans.items():
        report.spread(f"honest heartbeat until acknowledged, {when}", _waits(beats, span))
        report.latencies(f"honest heartbeats {when}", _waits(beats, span))
    for when, span in spans.items():
        report.spread(f"ping until answered, {when}", _within(probe.answered, span))
    for when, span in spans.items():
        report.spread(f"newcomer until registered, {when}", _within(newcomers.took, span))
    refused = [
        why for at, why in newcomers.refused if spans["during"][0] <= at < spans["during"][1]
    ]
    report.figure("newcomers refused, during", len(refused))
    if refused:
        report.figure("newcomers refused, the first with", refused[0])


def _tell_costs(report: Report, costs: dict[str, Costs]) -> None:
    for when, each in costs.items():
        report.figure(f"memory of the hub, {when}", each.memory / MIB, "MB")
    for when, each in costs.items():
        report.figure(f"the hub's share of a core, {when}", 100 * each.cpu, "%")
    for when, each in costs.items():
        report.figure(f"open files of the hub, {when}", each.open_files)
    for when, each in costs.items():
        report.figure(f"memory of the store, {when}", each.store_memory / MIB, "MB")
    for when, each in costs.items():
        report.figure(f"clients of the store, {when}", each.store_clients)


def _tell_attack(report: Report, attacked: Attacked) -> None:
    report.figure("attacker: connections opened", attacked.opened)
    report.figure("attacker: most open at a time", attacked.most_open)
    report.figure("attacker: sent", attacked.sent / MIB, "MB")
    report.figure("attacker: received", attacked.received / MIB, "MB")
    report.figure("attacker: requests done", attacked.done)
    report.figure("attacker: share of a core", 100 * attacked.cpu / attacked.seconds, "%")
    ends = [f"{count:,} {how}" for how, count in sorted(attacked.ends.items())]
    report.figure("attacker: ends of connections", ", ".join(ends) or "none")


def _judge_memory(
    report: Report, kind: Kind, options: Options, before: Costs, during: Costs
) -> None:
    log = options.log_mib if kind.logs else 0
    unread = options.unsent_mib if kind.unread else 0
    for whose, grew, least in (
        # The hub holds the log as records and as what watches are sent; Python rounds up.
        ("the hub", during.memory - before.memory, kind.hub_mib + 3 * log + 3 * unread // 2),
        ("the store", during.store_memory - before.store_memory, kind.store_mib + 2 * log),
    ):
        report.check(
            f"{whose} grew by at most what {kind.bounded_by} allow, {least} MB",
            grew <= least * MIB,
            f"{grew / MIB:.1f} MB",
        )


def _scenario(kind: Kind) -> Scenario:
    return scenario(kind.name, kind.title, Options)(partial(_run, kind))


SCENARIOS = tuple(_scenario(kind) for kind in KINDS)
"""One for each attack."""
