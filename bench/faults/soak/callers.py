"""Lives of others than agents: watchers, callers, and strangers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from msgspec import UNSET

from agent_client import HubClient
from bench.faults.soak.place import CAPABILITIES, TYPES, Place, any_spec
from bench.peers.http_client import HttpCaller
from bench.peers.watcher import Watcher
from bench.rig.waiting import until
from homeport_protocol.answers import Agents, Watching
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Find, Get, ListHubs, Pick, Unwatch, Watch

STAY = 4.0  # seconds of a watcher on one connection, at most
MAX_PAGES = 10


async def watches(place: Place) -> None:
    """It watches everything, disconnects, and goes on from its position."""
    url = f"ws{place.url.removeprefix('http')}/ws?{urlencode({'namespace': place.namespace()})}"
    position = None
    for _ in range(random.randint(1, 3)):
        watcher = await Watcher.open(url, position=position)
        await place.pause(STAY)
        if gaps := watcher.gaps():
            place.trouble(f"a watcher missed what came before {gaps[:3]}")
        if watcher.ended:
            place.trouble("a watcher's connection ended")
        place.lived["watches that went on without a snapshot"] += watcher.resumed
        position = watcher.position
        watcher.close()


async def watches_some(place: Place) -> None:
    """It has several watches on one connection, and ends some of them."""
    client = await place.connect(place.namespace())
    filters = (
        Filter(type=random.choice(TYPES)),
        Filter(any_capability=random.sample(CAPABILITIES, 2)),
        Filter(status=["degraded", "unhealthy"]),
    )
    for filter in filters:
        answer = await place.ask(client, Watch(id=0, filter=filter))
        assert isinstance(answer, Watching)
        await place.pause()
        if random.random() < 0.5:
            await place.ask(client, Unwatch(id=0, watch=answer.watch))
    await place.pause(STAY)
    client.abort()


async def stops_reading(place: Place) -> None:
    """It watches, and stops reading before it leaves."""
    client = await place.connect(place.namespace())
    await place.ask(client, Watch(id=0, filter=MATCH_ALL))
    client.transport.pause_reading()
    await place.pause(STAY)
    client.abort()


async def finds(place: Place) -> None:
    """It asks page by page, and for some of the agents that it found."""
    client = await place.connect(place.namespace())
    request, pages = Find(id=0, filter=_some_filter(), limit=20), 0
    while pages < MAX_PAGES:
        page = await place.ask(client, request)
        assert isinstance(page, Agents)
        pages += 1
        if page.agents:
            found: AgentRecord = random.choice(page.agents)
            await place.ask(client, Get(id=0, agent_id=found.id), "not_found")
        if page.next_cursor is UNSET:
            break
        request = Find(id=0, filter=request.filter, limit=20, cursor=page.next_cursor)
        await place.pause()
    await place.ask(client, Pick(id=0, filter=_some_filter()), "no_match")
    await place.ask(client, Pick(id=0, strategy="sticky", key=f"{random.random()}"), "no_match")
    await place.ask(client, ListHubs(id=0))
    client.abort()


async def uses_the_client(place: Place) -> None:
    """It finds and watches with the client package."""
    async with HubClient(place.url, namespace=place.namespace()) as client:
        await client.find(type=random.choice(TYPES))
        watch = client.watch(type=random.choice(TYPES))
        async with watch:
            try:
                async with asyncio.timeout(STAY / 2):
                    async for _ in watch:
                        pass
            except TimeoutError:
                pass


async def calls(place: Place) -> None:
    """A legacy agent: it registers over HTTP, heartbeats, reads, and mostly unregisters."""
    suffix = f"?{urlencode({'namespace': place.namespace()})}"
    spec = any_spec(random.randrange(10**9))
    body = {"name": spec.name, "type": spec.type, "host": "127.0.0.1", "port": 9000}
    async with HttpCaller(place.url) as caller:
        answer = await place.call(caller, "POST", f"/agents/register{suffix}", 201, body=body)
        path = f"/agents/{answer.json()['agent_id']}"
        for _ in range(random.randint(1, 4)):
            beat = {"status": random.choice(("healthy", "degraded")), "metadata": {"x": 1}}
            await place.call(caller, "POST", f"{path}/heartbeat{suffix}", 200, body=beat)
            await place.call(caller, "GET", f"{path}{suffix}", 200)
            await place.pause()
        await place.call(caller, "GET", f"/agents{suffix}", 200)
        await place.call(caller, "GET", f"/agents/type/{spec.type}{suffix}", 200)
        await place.call(caller, "GET", f"/agents/pick{suffix}&capability=no-such", 404)
        await place.call(caller, "GET", "/ready", 200)
        if random.random() < 0.7:
            await place.call(caller, "POST", f"{path}/unregister{suffix}", 200)


async def is_a_stranger(place: Place) -> None:
    """It speaks another protocol, or stops amid a request."""
    parts = urlsplit(place.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(random.choice(STRANGE))
    await place.pause(1.0)
    if random.random() < 0.5:
        writer.transport.abort()
    else:
        writer.close()
    del reader


async def talks_nonsense(place: Place) -> None:
    """It sends what cannot be understood, until the hub closes."""
    client = await place.connect(place.namespace())
    if random.random() < 0.5:
        client.say("x" * 70_000)
    else:
        for _ in range(12):
            client.say('{"op":"nothing"')
    await until("an end of the nonsense", lambda: client.ended, 10.0, every=0.05)


STRANGE = (
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody tries TLS
    b"GET /agents HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /agents/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{",
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /no-such-route HTTP/1.1\r\nHost: localhost\r\n\r\n",
)


def _some_filter() -> Filter:
    return random.choice(
        (
            MATCH_ALL,
            Filter(type=random.choice(TYPES)),
            Filter(capabilities=[random.choice(CAPABILITIES)]),
            Filter(version=">=1.2"),
        )
    )


LIVES: dict[Callable[[Place], Awaitable[None]], int] = {
    watches: 3,
    watches_some: 2,
    stops_reading: 1,
    finds: 3,
    uses_the_client: 1,
    calls: 4,
    is_a_stranger: 1,
    talks_nonsense: 1,
}
"""The lives, with their relative frequency."""
