"""Callers that take all they are given: what a hub and its store grow by, and what they get back.

Records have 48 KB, as large as a message allows. Four kinds of growth: changes that fill the log,
answers that nobody reads, over HTTP and over a websocket, and agents that come and leave.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from redis.asyncio import Redis

from bench.faults.repeated import repeat
from bench.peers.frames import masked_text
from bench.peers.http_client import HttpCaller
from bench.peers.raw_client import RawClient
from bench.peers.scrape import Scrape, scrape
from bench.results.report import Report
from bench.rig.machine import usage
from bench.rig.processes import HubProcess
from bench.rig.progress import say
from bench.rig.waiting import side_by_side
from bench.scenario import scenario
from bench.scene import Scene
from homeport_protocol.answers import Updated, Watching
from homeport_protocol.bounds import MAX_PAGE_BYTES
from homeport_protocol.codec import encode
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Find, Update, Watch

MIB = 2**20
CAPABILITIES = [f"{number:0122}" for number in range(256)]
LANES = 16
SETTLED = 2.0
"""Seconds after which a hub has tidied up."""


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    updates: Annotated[int, Meta(ge=1, le=1_000_000, description="changes of one agent")] = 6000
    readers: Annotated[
        int, Meta(ge=1, le=10_000, description="callers that ask, and never read the answer")
    ] = 100
    listed: Annotated[int, Meta(ge=1, le=10_000, description="agents in that answer")] = 100
    comers: Annotated[
        int, Meta(ge=1, le=100_000, description="agents that register, and then leave")
    ] = 2000
    log_mib: Annotated[int, Meta(ge=1, le=1 << 20, description="the hub's --max-log-bytes")] = 64
    send_timeout: Annotated[
        float, Meta(gt=0, le=600, description="the hub's --send-timeout, in seconds")
    ] = 10.0
    rounds: Annotated[int, Meta(ge=1, le=100, description="how often it is done")] = 1


class _Sizes(Struct, frozen=True):
    """Bytes of the hub and of the store's data."""

    hub: int
    store: int


class _Place:
    """A new hub on a new store, and how much both have grown since they were looked at last."""

    def __init__(self, hub: HubProcess, redis: Redis, options: Options) -> None:
        self.hub = hub
        self.options = options
        self._redis = redis
        self._before = _Sizes(0, 0)

    async def begin(self) -> None:
        """What comes from here on is growth."""
        self._before = await self._sizes()

    async def growth(self) -> _Sizes:
        now = await self._sizes()
        return _Sizes(now.hub - self._before.hub, now.store - self._before.store)

    async def log_memory(self) -> int:
        """Bytes of the log in the store."""
        return int(await self._redis.memory_usage("agents:log", samples=0) or 0)

    async def _sizes(self) -> _Sizes:
        store = int((await self._redis.info("memory"))["used_memory"])
        return _Sizes(usage(self.hub.pid).memory, store)


Part = Callable[[Scene, _Place, Report], Awaitable[None]]


@scenario("outgrow", "what nobody can make a hub and its store grow to", Options)
async def run(options: Options, report: Report) -> None:
    """Let callers take all they are given, each part at a new hub."""
    await repeat(report, options.rounds, partial(_run_once, options))


async def _run_once(options: Options, report: Report) -> None:
    parts: tuple[Part, ...] = (
        _fill_the_log,
        _leave_lists_unread,
        _leave_pages_unread,
        _come_and_go,
    )
    for part in parts:
        async with Scene() as scene:
            store = await scene.store()
            hub = await scene.hub(
                redis=store.url,
                max_log_bytes=options.log_mib * MIB,
                max_agents=options.comers if part is _come_and_go else options.listed,
                send_timeout=options.send_timeout,
            )
            place = _Place(hub, await scene.redis(store), options)
            say(f"outgrow: {part.__name__.strip('_').replace('_', ' ')}")
            await part(scene, place, report)
            scene.judge_hubs(report)


async def _fill_the_log(scene: Scene, place: _Place, report: Report) -> None:
    options, hub = place.options, place.hub
    client = await scene.connect(hub.websocket_url)
    await client.register(msgspec.convert(_heavy("a"), AgentSpec))
    first, _ = await client.demand(Watch(id=0), Watching)
    await place.begin()
    for number in range(options.updates):
        await client.demand(Update(id=0, metadata={"number": number}), Updated)
    await asyncio.sleep(SETTLED)
    grown, told = await place.growth(), await scrape(hub.url)
    again = await scene.connect(hub.websocket_url)
    late, _ = await again.demand(Watch(id=0, since=first.revision, log=first.log), Watching)
    _grew(report, f"{options.updates:,} changes of 48 KB", grown, hub=200.0, store=100.0)
    most = options.log_mib * MIB
    held, stored = told.total("homeport_log_bytes"), await place.log_memory()
    report.check("the hub keeps no more than max_log_bytes", held <= most, _mb(held))
    report.check("nor does Redis, but for a few percent", stored <= 1.1 * most, _mb(stored))
    full = options.updates * 48_000 > 1.1 * most
    report.check("a watch from before that starts over", late.resumed is not full)
    _limit_is_counted(report, told, "max_log_bytes", full)


async def _leave_lists_unread(scene: Scene, place: _Place, report: Report) -> None:
    ids = await _register(place, place.options.listed)
    beat = HttpCaller(place.hub.url)
    scene.callback(beat.close)
    parts = urlsplit(place.hub.url)
    ask = f"GET /agents HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()

    async def connect() -> socket.socket:
        # A fleet goes on meanwhile, so that no two callers get the same list.
        await beat.call("POST", f"/agents/{ids[0]}/heartbeat", {})
        caller = socket.create_connection((parts.hostname or "", parts.port or 80))
        scene.callback(caller.close)
        caller.sendall(ask)
        return caller

    await _leave_unread(place, report, connect, "GET /agents")


async def _leave_pages_unread(scene: Scene, place: _Place, report: Report) -> None:
    await _register(place, place.options.listed)
    find = masked_text(encode(Find(id=0, limit=10_000)))

    async def connect() -> RawClient:
        client = await scene.connect(place.hub.websocket_url)
        client.transport.pause_reading()
        client.transport.write(find * 64)
        return client

    await _leave_unread(place, report, connect, "64 finds each")


async def _leave_unread(
    place: _Place, report: Report, connect: Callable[[], Awaitable[object]], what: str
) -> None:
    options, url = place.options, place.hub.url
    await place.begin()
    began = time.monotonic()
    callers = [await connect() for _ in range(options.readers)]
    told, most, cut_off = await scrape(url), 0, 0.0
    limit = 3 * options.send_timeout + 10
    while cut_off < len(callers) and time.monotonic() < began + limit:
        told = await scrape(url)
        cut_off = told.labelled("homeport_limits_applied_total", setting="send_timeout")
        most = max(most, (await place.growth()).hub)
        await asyncio.sleep(0.1)
    took = time.monotonic() - began
    report.goal(
        f"{len(callers):,} callers that never read {what}: hub memory at most",
        [most / MIB],
        unit="MB",
        must=250.0,
        higher=False,
    )
    report.figure(f"until all were cut off, {what}", took, "s")
    report.check(
        f"all were cut off after send_timeout, {what}",
        cut_off == len(callers) and options.send_timeout * 0.9 <= took,
        f"{cut_off:g} of {len(callers)}, after {took:.1f} s",
    )
    # A closing frame waits for a while behind the answer that the kernel did not take.
    unsent, most_unsent = told.total("homeport_unsent_bytes"), len(callers) * 1.2 * MAX_PAGE_BYTES
    report.check(
        f"no more than an answer each is unread then, {what}", unsent <= most_unsent, _mb(unsent)
    )


async def _come_and_go(scene: Scene, place: _Place, report: Report) -> None:
    options = place.options
    await place.begin()
    ids = await _register(place, options.comers)
    there = await place.growth()
    async with HttpCaller(place.hub.url) as caller:
        refused = await caller.call("POST", "/agents/register", _heavy("one too many"))
    report.check(
        "one agent too many is refused, by the name of the setting",
        refused.status == 429 and b"max_agents" in refused.body,
        f"{refused.status}",
    )
    await _call_all(place, [(f"/agents/{each}/unregister", None) for each in ids])
    await asyncio.sleep(SETTLED)
    left = await place.growth()
    _grew(report, f"{options.comers:,} agents of 48 KB that are there", there, hub=None, store=None)
    _grew(
        report, f"{options.comers:,} agents of 48 KB that have left", left, hub=200.0, store=100.0
    )
    told = await scrape(place.hub.url)
    report.check("no record is held any more", told.total("homeport_agent_bytes") == 0)


async def _register(place: _Place, count: int) -> list[str]:
    """Register so many agents over HTTP; their ids."""
    bodies = [("/agents/register", _heavy(f"a{number}")) for number in range(count)]
    return [str(answer["agent_id"]) for answer in await _call_all(place, bodies)]


async def _call_all(
    place: _Place, requests: Sequence[tuple[str, dict[str, object] | None]]
) -> list[dict[str, object]]:
    idle = [HttpCaller(place.hub.url) for _ in range(LANES)]

    async def post(request: tuple[str, dict[str, object] | None]) -> dict[str, object]:
        caller = idle.pop()
        answer = await caller.call("POST", *request)
        idle.append(caller)
        return dict(answer.json())

    try:
        return await side_by_side(requests, post, LANES)
    finally:
        for caller in idle:
            caller.close()


def _heavy(name: str) -> dict[str, object]:
    return {
        "name": name,
        "type": "cost",
        "host": "h",
        "port": 1,
        "capabilities": CAPABILITIES,
        "metadata": {"pad": "x" * 15_500},
    }


def _grew(report: Report, what: str, grown: _Sizes, hub: float | None, store: float | None) -> None:
    report.goal(f"{what}: hub", [grown.hub / MIB], unit="MB", must=hub, higher=False)
    report.goal(f"{what}: Redis", [grown.store / MIB], unit="MB", must=store, higher=False)


def _limit_is_counted(report: Report, told: Scrape, setting: str, applied: bool) -> None:
    count = told.labelled("homeport_limits_applied_total", setting=setting)
    report.check(f"{setting} is counted when it is applied", (count > 0) is applied, f"{count:g}")


def _mb(size: float) -> str:
    return f"{size / MIB:.1f} MB"
