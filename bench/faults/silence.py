"""Agents fall silent: each is unreachable once, at its deadline, and leaves nothing behind."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

from msgspec import Meta, Struct
from redis.asyncio import Redis

from bench.faults.silent_agents import Signs, SilentAgents
from bench.peers.watcher import Seen, Watcher
from bench.results.report import Report, listed
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.rig.workers import Done, Worker
from bench.scenario import scenario
from bench.scene import Scene

LATEST = 0.1  # seconds within which a deadline must be met
LIVELY = 3.0  # seconds for which every agent heartbeats before the first falls silent


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    agents: Annotated[
        int, Meta(ge=2, le=5000, description="agents, half on websockets, half over HTTP")
    ] = 500
    scale: Annotated[
        float, Meta(gt=0, le=200, description="by how much the default intervals are divided")
    ] = 100.0
    spread: Annotated[
        float, Meta(ge=0, le=600, description="seconds over which they fall silent, one by one")
    ] = 10.0


class Findings(Struct):
    """What the events of all agents show; times are seconds after the deadline."""

    unreachable: list[float] = []
    removed: list[float] = []
    early: list[str] = []
    missing: list[str] = []
    twice: list[str] = []
    removed_early: list[str] = []
    not_removed_once: list[str] = []
    wrong_reason: list[str] = []


@scenario(
    "silence",
    "agents that fall silent: each is unreachable once, never early, and leaves nothing",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Let agents live and fall silent; compare a watcher's events with the last signs of life."""
    interval, timeout, lease, resume = (each / options.scale for each in (30.0, 45.0, 60.0, 5.0))
    async with Scene() as scene:
        store = await scene.store()
        hub = await scene.hub(
            redis=store.url,
            heartbeat_interval=interval,
            heartbeat_timeout=timeout,
            lease_ttl=lease,
            resume_window=resume,
            loss_share=1,  # all of them are meant to be lost
        )
        redis = await scene.redis(store)
        watcher = await Watcher.open(hub.websocket_url)
        spec = SilentAgents(
            url=hub.url,
            websocket_url=hub.websocket_url,
            count=options.agents,
            interval=interval,
            lively=LIVELY,
            spread=options.spread,
        )
        worker = Worker("bench.faults.silent_agents", spec)
        await scene.enter_async_context(worker)
        say(f"{options.agents} agents heartbeat every {interval:g} s, and fall silent")
        await worker.request("go", Done)
        signs = await worker.request("signs", Signs, LIVELY + options.spread + 60.0)
        say("all are silent")
        await until(
            "every agent removed",
            lambda: len(watcher.ids("expired")) >= options.agents,
            timeout + lease + 10.0,
            every=0.1,
        )
        # A second event of a removal would have come by now, or comes within these seconds.
        await until("the store clean", lambda: _is_clean(redis), lease + 5.0)

        everyone = {**signs.websocket, **signs.http}
        findings = _find_out(watcher, everyone, timeout, lease)
        report.figure("agents on websockets", len(signs.websocket))
        report.figure("agents over HTTP", len(signs.http))
        report.figure("signs of life that they gave", sum(map(len, everyone.values())))
        report.figure("heartbeat timeout", timeout * 1000, "ms")
        report.spread("`unreachable` heard after its deadline", findings.unreachable)
        report.spread("removal heard after its deadline", findings.removed)
        report.figure("stalls that the hub noticed", hub.stalls())
        _judge(report, options, findings)
        active = await redis.scard("agents:active")
        report.check("`agents:active` is empty", active == 0, f"{active} left")
        report.none("no key `agent:*` is left", await _entries(redis))
        scene.judge_hubs(report)


async def _entries(redis: Redis) -> list[object]:
    return [key async for key in redis.scan_iter(match="agent:*", count=1000)]


async def _is_clean(redis: Redis) -> bool:
    return not await redis.scard("agents:active") and not await _entries(redis)


def _find_out(
    watcher: Watcher, signs: Mapping[str, list[float]], timeout: float, lease: float
) -> Findings:
    findings = Findings()
    events: dict[str, list[Seen]] = {agent_id: [] for agent_id in signs}
    for event in watcher.events:
        events[event.agent.id].append(event)
    for agent_id, given in signs.items():
        judge_silences(findings, given, events[agent_id], timeout)
        removals = [event for event in events[agent_id] if event.kind == "expired"]
        if len(removals) != 1:
            findings.not_removed_once.append(agent_id)
            continue
        after = removals[0].at - (given[-1] + timeout + lease)
        findings.removed.append(after)
        if after < 0:
            findings.removed_early.append(agent_id)
    return findings


def judge_silences(
    findings: Findings, signs: list[float], events: list[Seen], timeout: float
) -> None:
    """Match each `unreachable` of one agent with the silence that it announces.

    An agent has one silence, its last. A load process that was itself held up may have made
    others, which the hub rightly judged: so every pause between two signs counts that exceeded
    the timeout.
    """
    pauses = [*(after - before for before, after in pairwise(signs)), float("inf")]
    silences = [(sign, pause) for sign, pause in zip(signs, pauses, strict=True) if pause > timeout]
    deadlines = [sign + timeout for sign, _ in silences]
    heard = [0] * len(silences)
    for event in events:
        if not event.unreachable:
            continue
        name = event.agent.name
        if event.agent.health.reason != "heartbeat_timeout":
            findings.wrong_reason.append(f"{name}: {event.agent.health.reason}")
        which = bisect_right(deadlines, event.at) - 1
        if which < 0:
            findings.early.append(name)
            continue
        heard[which] += 1
        if heard[which] > 1:
            findings.twice.append(name)
        else:
            findings.unreachable.append(event.at - deadlines[which])
    for count, (sign, pause) in zip(heard, silences, strict=True):
        if count == 0 and pause > timeout + LATEST:
            findings.missing.append(f"silent since {sign:.3f}")


def _judge(report: Report, options: Options, findings: Findings) -> None:
    report.check(
        "each was unreachable exactly once for its silence",
        not findings.missing and not findings.twice and len(findings.unreachable) >= options.agents,
        f"{len(findings.unreachable)} events, twice: {listed(findings.twice)}, "
        f"missing: {listed(findings.missing)}",
    )
    report.none("none before its deadline", findings.early)
    late = max(findings.unreachable, default=float("inf"))
    report.check(
        f"each at most {LATEST * 1000:.0f} ms after it",
        late <= LATEST,
        f"the latest after {late * 1000:.1f} ms",
    )
    report.none("each for the reason `heartbeat_timeout`", findings.wrong_reason)
    report.check(
        "each was removed exactly once, and none early",
        not findings.not_removed_once and not findings.removed_early,
        f"{len(findings.removed)} removals, not once: {listed(findings.not_removed_once)}, "
        f"early: {listed(findings.removed_early)}",
    )
