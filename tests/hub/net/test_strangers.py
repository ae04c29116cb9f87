"""Every route, method and upgrade against every kind of page: nothing gets through.

The routes are those of the application, so that a new one is walked as well. All goes through real
sockets; every handler is replaced by one that notes that it was called.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from hub.http.app import App
from hub.http.request import Request
from hub.http.responses import Answer, json
from hub.net.browsers import BrowserPolicy
from hub.net.listener import Listener
from hub.websocket.gateway import Gateway
from tests.hub.http.fakes import FakeHub
from tests.hub.websocket.fakes import FakeHub as WebsocketHub

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
METHODS += ("PROPFIND", "BREW")
UNKNOWN = ("/no-such-route", "/agents/a/b", "/%61gents", "/agents%2fregister", "//agents", "*")
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
REFUSALS = {400, 403, 421}
AT_ONCE = 32


class Stranger(NamedTuple):
    """What a page's request has; `{port}` is the hub's."""

    host: str = "localhost:{port}"
    headers: str = ""


def origin(text: str) -> Stranger:
    return Stranger(headers=f"Origin: {text}\r\n")


STRANGERS = {
    "a foreign origin": origin("https://evil.example"),
    "a foreign origin on the hub's port": origin("http://evil.example:{port}"),
    "an opaque origin": origin("null"),
    "an empty origin": origin(""),
    "a sibling subdomain": origin("http://sub.localhost:{port}"),
    "a name that begins like the hub's": origin("http://localhost.evil.example:{port}"),
    "a user that is called like the hub": origin("http://localhost:{port}@evil.example"),
    "another port": origin("http://localhost:1"),
    "no port": origin("http://localhost"),
    "https of an http hub": origin("https://localhost:{port}"),
    "a websocket's scheme": origin("ws://localhost:{port}"),
    "another name of this machine": origin("http://127.0.0.1:{port}"),
    "IPv6": origin("http://[::1]:{port}"),
    "IPv6 at length": origin("http://[0:0:0:0:0:0:0:1]:{port}"),
    "IPv4 in IPv6": origin("http://[::ffff:127.0.0.1]:{port}"),
    "two origins, the hub's first": origin(
        "http://localhost:{port}\r\nOrigin: https://evil.example"
    ),
    "a list of origins": origin("http://localhost:{port} https://evil.example"),
    "an extension": origin("chrome-extension://abcdefghijklmnop"),
    "a preflight": origin("https://evil.example\r\nAccess-Control-Request-Method: POST"),
    "a rebound host": Stranger("evil.example:{port}"),
    "a rebound host that is its own origin": Stranger(
        "evil.example:{port}", "Origin: http://evil.example:{port}\r\n"
    ),
    "a rebound host, and the origin of the hub": Stranger(
        "evil.example:{port}", "Origin: http://localhost:{port}\r\n"
    ),
    "a subdomain of localhost": Stranger("sub.localhost:{port}"),
    "an address that is not bound": Stranger("127.0.0.2:{port}"),
    "IPv6 that is not bound": Stranger("[::1]:{port}"),
    "the address of all": Stranger("0.0.0.0:{port}"),
    "an address as a number": Stranger("2130706433:{port}"),
    "a short address": Stranger("127.1:{port}"),
    "two hosts": Stranger("localhost:{port}\r\nHost: evil.example"),
    "a user in the host": Stranger("localhost:{port}@evil.example"),
    "an image of another site": Stranger(
        headers="Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n"
    ),
    "a frame of another port": Stranger(
        headers="Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n"
        "Sec-Fetch-Dest: iframe\r\n"
    ),
}


class Asked(NamedTuple):
    """A hub whose handlers note that they were called, and how to reach it."""

    port: int
    routes: list[tuple[str, list[str]]]
    called: list[str]
    sessions: list[object]


@asynccontextmanager
async def walked(asks: bool) -> AsyncIterator[Asked]:
    called: list[str] = []
    app = App(FakeHub())
    for route in app.resources:
        for method, point in route.endpoints.items():
            route.endpoints[method] = point._replace(
                handler=noting(called, f"{method} {route.path}")
            )
    gateway = WebsocketHub()
    policy = BrowserPolicy(
        allowed_hosts=("hub.example.org",) if asks else (), pages=app.pages, asks=lambda: asks
    )
    listener = Listener(app, Gateway(gateway).protocol, "127.0.0.1", 0, browsers=policy)
    _, port = await listener.start()
    routes = [(each.path, sorted(each.methods)) for each in app.resources]
    yield Asked(port, routes, called, gateway.sessions)
    await listener.stop(1.0)


def noting(called: list[str], name: str) -> Callable[[Request], Awaitable[Answer]]:
    async def handler(request: Request) -> Answer:
        called.append(name)
        return json(b"{}")

    return handler


async def ask(port: int, method: str, path: str, stranger: Stranger, more: str = "") -> bytes:
    """The head of the answer."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {stranger.host}\r\n{stranger.headers}{more}"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("{port}", str(port)).encode() + b"\r\n")
    async with asyncio.timeout(60):
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def paths(hub: Asked) -> list[str]:
    return [path.replace("{id}", "a").replace("{type}", "cost") for path, _ in hub.routes] + [
        *UNKNOWN
    ]


@pytest.mark.parametrize("asks", [False, True])
async def test_no_page_gets_through_by_any_route_method_or_upgrade(
    asks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with walked(asks) as hub:
        asked = [
            (method, path, name, more)
            for path in paths(hub)
            for name in STRANGERS
            for method in (METHODS[::2] if asks else METHODS)  # Both in all would take long.
            for more in ("", UPGRADE)
            if not more or method in ("GET", "POST", "OPTIONS")
        ]
        through: list[str] = []
        free = asyncio.Semaphore(AT_ONCE)

        async def try_one(method: str, path: str, name: str, more: str) -> None:
            async with free:
                answer = await ask(hub.port, method, path, STRANGERS[name], more)
            if status(answer) not in REFUSALS or b"access-control-" in answer:
                through.append(f"{method} {path} from {name}{' (upgrade)' if more else ''}")

        await asyncio.gather(*(try_one(*each) for each in asked))
        assert through == []
        assert hub.called == []
        assert hub.sessions == []
    with capsys.disabled():
        upgrades = sum(bool(more) for *_, more in asked)
        print(f"\n{len(asked)} requests of pages, {upgrades} of them upgrades: none got through")


async def test_programs_and_the_hubs_own_pages_get_through_to_every_route() -> None:
    async with walked(False) as hub:
        own = "Origin: http://localhost:{port}\r\n"
        for program in (Stranger(), Stranger("127.0.0.1:1"), Stranger(headers=own)):
            hub.called.clear()
            for path, methods in hub.routes:
                for method in methods:
                    target = path.replace("{id}", "a").replace("{type}", "cost")
                    assert status(await ask(hub.port, method, target, program)) == 200
            assert len(hub.called) == sum(len(methods) for _, methods in hub.routes)
            assert status(await ask(hub.port, "GET", "/ws", program, UPGRADE)) == 101


async def test_forms_and_text_of_a_page_are_415_on_every_route_and_method() -> None:
    async with walked(False) as hub:
        own = Stranger(headers="Origin: http://localhost:{port}\r\n")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            for path in paths(hub)[:-1]:
                for method in ("POST", "PUT", "PATCH", "DELETE"):
                    more = f"Content-Type: {kind}\r\nContent-Length: 2\r\n"
                    assert status(await ask(hub.port, method, path, own, more)) == 415
        assert hub.called == []


async def test_pages_of_an_allowed_origin_are_told_that_they_may() -> None:
    app = App(FakeHub())
    policy = BrowserPolicy(allowed_origins=("https://dash.example",))
    listener = Listener(app, Gateway(WebsocketHub()).protocol, "127.0.0.1", 0, browsers=policy)
    _, port = await listener.start()
    allowed = Stranger(headers="Origin: https://dash.example\r\n")
    got = (await ask(port, "GET", "/agents", allowed)).lower()
    assert b"access-control-allow-origin: https://dash.example\r\n" in got
    assert b"vary: origin\r\n" in got
    asking = "Access-Control-Request-Method: DELETE\r\n"
    preflight = (await ask(port, "OPTIONS", "/agents/a", allowed, asking)).lower()
    assert status(preflight) == 204
    assert b"access-control-allow-methods: get, head, post, put, patch, delete\r\n" in preflight
    assert status(await ask(port, "GET", "/ws", allowed, UPGRADE)) == 101
    await listener.stop(1.0)
