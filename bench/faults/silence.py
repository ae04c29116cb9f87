"""Agents fall silent: each is judged once, at its own deadline, and leaves nothing behind."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Annotated

from msgspec import Meta, Struct
from redis.asyncio import Redis

from bench.faults.silent_agents import Ready, Signs, SilentSpec
from bench.peers.watcher import Seen, Watcher
from bench.results.report import Report, listed
from bench.rig.processes import HubProcess, StoreServer, temporary_directory
from bench.rig.progress import say
from bench.rig.waiting import until
from bench.rig.workers import Worker
from bench.scenario import Scenario

LATEST = 0.1
"""Seconds within which a deadline must be met."""

LIVELY = 3.0
"""Seconds for which every agent heartbeats before the first falls silent."""


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


class Verdicts(Struct):
    """What the events of all agents come to; times are seconds after the deadline."""

    unreachable: list[float] = []
    removed: list[float] = []
    early: list[str] = []
    missing: list[str] = []
    twice: list[str] = []
    removed_early: list[str] = []
    not_removed_once: list[str] = []
    wrong_reason: list[str] = []


async def prove(options: Options) -> Report:
    """Let agents live and fall silent; compare what a watcher hears with when they last spoke."""
    report = SCENARIO.report(options)
    interval, timeout, lease, resume = (each / options.scale for each in (30.0, 45.0, 60.0, 5.0))
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        store = await stack.enter_async_context(StoreServer(directory))
        hub = await stack.enter_async_context(
            HubProcess(
                directory,
                redis=store.url,
                heartbeat_interval=interval,
                heartbeat_timeout=timeout,
                lease_ttl=lease,
                resume_window=resume,
                loss_share=1,  # all of them are meant to be lost
            )
        )
        redis = Redis.from_url(store.url)
        stack.push_async_callback(redis.aclose)
        watcher = await Watcher.open(hub.websocket_url)
        worker = await stack.enter_async_context(
            Worker(
                "bench.faults.silent_agents",
                SilentSpec(
                    url=hub.url,
                    websocket_url=hub.websocket_url,
                    count=options.agents,
                    interval=interval,
                    lively=LIVELY,
                    spread=options.spread,
                ),
            )
        )
        say(f"{options.agents} agents heartbeat every {interval:g} s, and fall silent")
        await worker.request("go", Ready)
        signs = await worker.request("signs", Signs, LIVELY + options.spread + 60.0)
        say("all are silent")
        await watcher.until(
            "every agent removed",
            lambda: (
                len({e.agent.id for e in watcher.events if e.kind == "expired"}) >= options.agents
            ),
            timeout + lease + 10.0,
        )
        # What would be told twice is told by now, or within these seconds.
        await until("the store clean", lambda: _is_clean(redis), lease + 5.0)
        active = await redis.scard("agents:active")
        entries = [key async for key in redis.scan_iter(match="agent:*", count=1000)]
        stalls, failures = hub.stalls(), hub.failures()
        watcher.close()

    verdicts = _judge(watcher, {**signs.websocket, **signs.http}, timeout, lease)
    beats = sum(map(len, [*signs.websocket.values(), *signs.http.values()]))
    report.figure("agents on websockets", len(signs.websocket))
    report.figure("agents over HTTP", len(signs.http))
    report.figure("signs of life that they gave", beats)
    report.figure("heartbeat timeout", timeout * 1000, "ms")
    report.spread("`unreachable` heard after its deadline", verdicts.unreachable)
    report.spread("removal heard after its deadline", verdicts.removed)
    report.figure("stalls that the hub noticed", stalls)
    _tell(report, options, verdicts)
    report.check("`agents:active` is empty", active == 0, f"{active} left")
    report.check("no key `agent:*` is left", not entries, listed(entries))
    report.check("the hub logged no failure of its own", failures == 0, f"{failures}")
    return report


async def _is_clean(redis: Redis) -> bool:
    left = await redis.scard("agents:active")
    return not left and not [key async for key in redis.scan_iter(match="agent:*", count=1000)]


def _judge(
    watcher: Watcher, signs: dict[str, list[float]], timeout: float, lease: float
) -> Verdicts:
    verdicts = Verdicts()
    events: dict[str, list[Seen]] = {agent_id: [] for agent_id in signs}
    for event in watcher.events:
        events[event.agent.id].append(event)
    for agent_id, given in signs.items():
        told = events[agent_id]
        judge_silences(verdicts, given, told, timeout)
        removals = [event for event in told if event.kind == "expired"]
        if len(removals) != 1:
            verdicts.not_removed_once.append(agent_id)
            continue
        after = removals[0].at - (given[-1] + timeout + lease)
        verdicts.removed.append(after)
        if after < 0:
            verdicts.removed_early.append(agent_id)
    return verdicts


def judge_silences(
    verdicts: Verdicts, signs: list[float], told: list[Seen], timeout: float
) -> None:
    """Match each `unreachable` with the silence that it tells of.

    An agent has one silence, its last. A load process that was itself held up may have made
    others, which the hub rightly judged: so every pause between two signs counts that exceeded
    the timeout.
    """
    pauses = [after - before for before, after in pairwise(signs)]
    silences = [
        (sign, pause)
        for sign, pause in zip(signs, [*pauses, float("inf")], strict=True)
        if pause > timeout
    ]
    deadlines = [sign + timeout for sign, _ in silences]
    heard = [0] * len(silences)
    for event in told:
        if not event.unreachable:
            continue
        name = event.agent.name
        if event.agent.health.reason != "heartbeat_timeout":
            verdicts.wrong_reason.append(f"{name}: {event.agent.health.reason}")
        which = bisect_right(deadlines, event.at) - 1
        if which < 0:
            verdicts.early.append(name)
            continue
        heard[which] += 1
        if heard[which] > 1:
            verdicts.twice.append(name)
        else:
            verdicts.unreachable.append(event.at - deadlines[which])
    for count, (sign, pause) in zip(heard, silences, strict=True):
        if count == 0 and pause > timeout + LATEST:
            verdicts.missing.append(f"silent since {sign:.3f}")


def _tell(report: Report, options: Options, verdicts: Verdicts) -> None:
    report.check(
        "each was unreachable exactly once for its silence",
        not verdicts.missing and not verdicts.twice and len(verdicts.unreachable) >= options.agents,
        f"{len(verdicts.unreachable)} events, twice: {listed(verdicts.twice)}, "
        f"missing: {listed(verdicts.missing)}",
    )
    report.check("none before its deadline", not verdicts.early, listed(verdicts.early))
    late = max(verdicts.unreachable, default=float("inf"))
    report.check(
        f"each at most {LATEST * 1000:.0f} ms after it",
        late <= LATEST,
        f"the latest after {late * 1000:.1f} ms",
    )
    report.check(
        "each for the reason `heartbeat_timeout`",
        not verdicts.wrong_reason,
        listed(verdicts.wrong_reason),
    )
    report.check(
        "each was removed exactly once, and none early",
        not verdicts.not_removed_once and not verdicts.removed_early,
        f"{len(verdicts.removed)} removals, not once: {listed(verdicts.not_removed_once)}, "
        f"early: {listed(verdicts.removed_early)}",
    )


SCENARIO = Scenario(
    "silence",
    "agents that fall silent: each is unreachable once, never early, and leaves nothing",
    Options,
    prove,
)
