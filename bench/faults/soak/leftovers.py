"""What a hub holds before the first peer comes, and after all have gone."""

from __future__ import annotations

import asyncio
import re
import time

from msgspec import Struct
from redis.asyncio import Redis

from bench.peers.scrape import Scrape, scrape
from bench.results.report import Report

# Timers of sockets are not among them: they end with their sockets, which are.
GAUGES = {
    "homeport_tasks": "tasks",
    "homeport_timers": "timers",
    "process_open_fds": "sockets and other open files",
    "homeport_websocket_connections": "websocket connections",
    "homeport_sessions": "sessions",
    "homeport_watches": "watches",
    "homeport_actors": "actors",
    "homeport_deadlines": "deadlines",
    "homeport_agents": "agents in the directory",
    "homeport_pending_changes": "changes that wait for the store",
    "homeport_mailbox_messages": "messages in mailboxes",
    "homeport_hubs": "namespaces",  # in each of them, this hub is the only one
}
"""Gauges of a hub, added up over all namespaces, and what they count."""

FIRST_LOOKS, FIRST_EVERY = 10, 0.5
"""How often a hub that has just started is looked at, and how many seconds apart.

What it does now and then (renewing its lease, say) takes a task and a timer for a moment.
"""

LOOK_EVERY = 1.0  # seconds between two looks at a hub that all have left
KEPT = (
    (r"agents:log", "the changes of the directory, trimmed by count"),
    (r"agents:log:name", "the name of that log"),
    (r"agents:times", "the times that agents were told, other than the hub's own"),
    (r"agents:secret", "signs session tokens, so that agents can resume at any hub"),
    (r"agents:hubs", "the ids of the hubs"),
    (r"homeport:namespaces", "the namespaces that are in use"),
)
"""Keys of the default namespace that are never deleted."""

RUNNING_OUT = (
    (r"epoch:.+", "the last epoch of an agent that was removed, for an hour: fences old sessions"),
    (r"agents:ended", "the order in which these agents were removed, for an hour"),
    (r"hub:.+", "the lease of a hub, renewed while it lives"),
    (r"agents:seen", "which entries hubs renewed within the last half minute"),
    (
        r"\{.+\}:(agents:(log|log:name|secret|hubs|loss|times|ended)|epoch:.+)",
        "of a namespace that nobody uses any more, for an hour after the last hub let go of it",
    ),
)
"""Keys with a time to live."""


class Held(Struct, frozen=True):
    """What a hub holds, by gauge."""

    counts: dict[str, int]

    @classmethod
    def of(cls, told: Scrape) -> Held:
        """From its metrics."""
        return cls({name: int(told.total(name)) for name in GAUGES})

    def beyond(self, other: Held) -> list[str]:
        """The gauges that are higher than in the other."""
        return [name for name, count in self.counts.items() if count > other.counts[name]]


async def held_at_first(url: str) -> Held:
    """The highest value of each gauge while no peer is there."""
    most: dict[str, int] = {}
    for _ in range(FIRST_LOOKS):
        for name, count in Held.of(await scrape(url)).counts.items():
            most[name] = max(count, most.get(name, 0))
        await asyncio.sleep(FIRST_EVERY)
    return Held(most)


async def held_in_the_end(url: str, first: Held, seconds: float) -> Held:
    """What the hub holds once that is no more than at first, or after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        held = Held.of(await scrape(url))
        if not held.beyond(first) or time.monotonic() > until:
            return held
        await asyncio.sleep(LOOK_EVERY)


def judge_held(report: Report, first: Held, last: Held) -> None:
    """Check that nothing is left over."""
    for name, words in GAUGES.items():
        at_first, now = first.counts[name], last.counts[name]
        report.check(f"no {words} left over", now <= at_first, f"{now}, at first {at_first}")


async def judge_keys(report: Report, redis: Redis, log_length: int) -> None:
    """Check that every key in Redis is there by design, and list the reasons."""
    kinds: dict[str, int] = {}
    strange: list[str] = []
    async for raw in redis.scan_iter(count=1000):
        key = raw if isinstance(raw, str) else raw.decode()
        left = await redis.pttl(key)
        reason = reason_of(key, runs_out=left >= 0)
        if left == -2:
            continue  # it has run out since
        if reason is None:
            strange.append(f"{key} ({'for good' if left < 0 else f'for {left / 1000:.0f} s'})")
        else:
            kinds[reason] = kinds.get(reason, 0) + 1
    for reason, count in kinds.items():
        report.figure(f"keys kept: {reason}", count)
    report.none("no key left over in Redis", strange)
    length = await redis.xlen("agents:log")
    # Redis trims whole blocks of a stream, of 100 entries.
    report.check("the log has been trimmed", length <= log_length + 200, f"{length} entries")


def reason_of(key: str, *, runs_out: bool) -> str | None:
    """Why a key is there by design; None for one that is not. `runs_out`: it has a time to live."""
    for pattern, reason in RUNNING_OUT if runs_out else KEPT:
        if re.fullmatch(pattern, key):
            return f"{reason} ({'runs out' if runs_out else 'for good'})"
    return None
