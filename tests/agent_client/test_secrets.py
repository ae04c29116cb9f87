"""No secret that a client is given is shown: not in a repr, an error, a traceback or a log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from agent_client import AgentClient, AgentRegistration, HomeportError, Hub, HubClient
from homeport_protocol.tokens import make_token
from tests.support.fake_hub import FakeHub, Peer, error, eventually
from tests.support.legacy_hub import LegacyHub
from tests.support.ports import free_port
from tests.support.proxies import StubProxy
from tests.support.tls import server_context

MARK = "S3CR3T"
TOKEN = make_token("abcdefghij01", f"{MARK:x<40}")
JWT = f"eyJhbGciOiJFUzI1NiJ9.{MARK}.c2ln"


class Place(NamedTuple):
    """Where a secret is given: options, environment, user of the URL, its query."""

    options: Mapping[str, Any] = MappingProxyType({})
    environment: Mapping[str, str] = MappingProxyType({})
    user: str = ""
    query: str = ""
    file: str = ""


PLACES = {
    "token": Place({"token": TOKEN}),
    "a JWT": Place({"token": JWT}),
    "a token that is none": Place({"token": f"{MARK}\n"}),
    "a token with a typing error": Place({"token": f"hp1_{MARK}"}),
    "HOMEPORT_TOKEN": Place(environment={"HOMEPORT_TOKEN": MARK}),
    "a bad HOMEPORT_TOKEN": Place(environment={"HOMEPORT_TOKEN": f"{MARK} x"}),
    "a file": Place({"token_file": "token"}, file=TOKEN),
    "a file with more": Place({"token_file": "token"}, file=f"{MARK} {MARK}"),
    "HOMEPORT_TOKEN_FILE": Place(environment={"HOMEPORT_TOKEN_FILE": "token"}, file=MARK),
    "a password": Place(user=f"agent:{MARK}@"),
    "a token as password": Place(user=f"agent:{TOKEN}@"),
    "an escaped password": Place(user=f"agent:{MARK}%2F%40@"),
    "a password with an error": Place(user=f"agent:{MARK}%00@"),
    "a password with a slash": Place(user=f"agent:{MARK}/x@"),
    "a user alone": Place(user=f"{MARK}@"),
    "a query": Place(query=f"?key={MARK}"),
    "a header": Place({"headers": {"X-Key": MARK}}),
    "a bad header": Place({"headers": {"X-Key": f"{MARK}\n"}}),
    "HOMEPORT_HEADERS": Place(environment={"HOMEPORT_HEADERS": f"Authorization: {MARK}"}),
    "a bad HOMEPORT_HEADERS": Place(environment={"HOMEPORT_HEADERS": f"X {MARK}"}),
    "a certificate": Place({"ca_file": "token", "client_cert": "token"}, file=MARK),
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place: Place = request.param
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(place.file)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


class Seen:
    """All that was shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def thing(self, thing: object) -> None:
        self.texts += [repr(thing), str(thing), f"{thing!a}"]

    def failure(self, failure: BaseException) -> None:
        self.texts.append("".join(traceback.format_exception(failure)))
        chain: list[BaseException | None] = [failure]
        for each in chain:
            if each is not None:
                self.texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
                self.texts += getattr(each, "__notes__", [])
                chain += [each.__cause__, each.__context__]


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[Seen]:
    """Checked at the end, together with the log at DEBUG."""
    caplog.set_level(logging.DEBUG)
    seen = Seen()
    yield seen
    ours = [each for each in caplog.records if not each.name.startswith("websockets.server")]
    shown = "\n".join([*(caplog.handler.format(each) for each in ours), *seen.texts])
    assert shown
    for line in shown.splitlines():
        assert MARK not in line


def refused(hub: FakeHub) -> None:
    hub.handshake = (401, {"error": "the token is not known"}, {"WWW-Authenticate": "Bearer"})


def forbidden(hub: FakeHub) -> None:
    hub.handshake = (403, {"error": "not for this role"}, {})


def broken(hub: FakeHub) -> None:
    hub.handshake = (503, "<html>", {"Set-Cookie": MARK})


def elsewhere(hub: FakeHub) -> None:
    hub.handshake = (307, "", {"Location": f"http://a:{MARK}@127.0.0.1:1/ws?{MARK}"})


def in_circles(hub: FakeHub) -> None:
    hub.handshake = (307, "", {"Location": f"/ws?next={MARK}"})


def revoked(hub: FakeHub) -> None:
    def close(peer: Peer, _request: Any) -> Any:
        return peer.close(4401, "the token was revoked")

    for op in ("register", "ping", "watch"):
        hub.on(op, close)


def denied(hub: FakeHub) -> None:
    for op in ("register", "ping", "watch"):
        hub.on(op, lambda _peer, _request: error("forbidden", "not for this role"))


def silent(hub: FakeHub) -> None:
    for op in ("register", "ping", "watch"):
        hub.on(op, lambda _peer, _request: None)


def well(hub: FakeHub) -> None:
    pass


async def use(make: Callable[..., Any], seen: Seen, at: str, options: Mapping[str, Any]) -> None:
    """Make and use one client of each kind; whatever it shows is noted."""
    try:
        client = make(at, options)
    except HomeportError as failure:
        seen.failure(failure)
        return
    seen.thing(client)
    try:
        if isinstance(client, AgentClient):
            async with client:
                seen.thing(client.lease)
                seen.thing(client)
        elif isinstance(client, HubClient):
            watch = client.watch()
            seen.thing(watch)
            for asked in (client.ping(), anext(watch)):
                try:
                    async with asyncio.timeout(0.3):  # a watch waits for a hub that is away
                        await asked
                except (HomeportError, TimeoutError) as failure:
                    seen.failure(failure)
            seen.thing(client)
            await client.close()
        elif isinstance(client, Hub):
            await asyncio.to_thread(client.ping)
        else:
            await asyncio.to_thread(client.register)
            await asyncio.to_thread(client.unregister)
    except HomeportError as failure:
        seen.failure(failure)
    finally:
        if isinstance(client, Hub):
            await asyncio.to_thread(client.close)
    seen.thing(client)


MAKERS: list[Callable[..., Any]] = [
    lambda at, options: AgentClient(
        at, name="a", type="cost", connect_timeout=0.2, request_timeout=0.2, **options
    ),
    lambda at, options: HubClient(at, request_timeout=0.2, **options),
    lambda at, options: Hub(at, request_timeout=0.2, **options),
]


@pytest.mark.parametrize(
    "behave",
    [well, refused, forbidden, broken, elsewhere, in_circles, revoked, denied, silent],
)
async def test_whatever_the_hub_does(
    hub: FakeHub, place: Place, seen: Seen, behave: Callable[[FakeHub], None]
) -> None:
    behave(hub)
    at = f"http://{place.user}127.0.0.1:{hub.port}/{place.query}"
    for make in MAKERS:
        await use(make, seen, at, place.options)


async def test_whatever_answers_instead(
    place: Place, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeHub(tls=server_context()) as secure:
        with StubProxy(secure.port) as proxy:
            proxy.locked = True
            monkeypatch.setenv("http_proxy", f"http://me:{MARK}@127.0.0.1:{proxy.port}")
            monkeypatch.setenv("https_proxy", f"socks5h://me:{MARK}@127.0.0.1:{proxy.port}")
            for at in (
                f"127.0.0.1:{secure.port}",
                f"127.0.0.1:{free_port()}",
                "hub.test:8080",
                "hub.test:0",
            ):
                for scheme in ("http", "https", "ftp"):
                    for make in MAKERS[:2]:
                        url = f"{scheme}://{place.user}{at}/{place.query}"
                        await use(make, seen, url, place.options)


def registration(at: str, options: Mapping[str, Any]) -> AgentRegistration:
    return AgentRegistration("a", "cost", "h", 1, [], at, **options)


async def test_nor_over_http(place: Place, seen: Seen) -> None:
    with LegacyHub() as hub, LegacyHub(tls=server_context()) as secure:
        for url in (hub.url, secure.url, f"http://127.0.0.1:{free_port()}", "ftp://127.0.0.1:1"):
            at = url.replace("://", f"://{place.user}")
            await use(registration, seen, f"{at}/{place.query}", place.options)
            await use(registration, seen, f"{at},{at}1", place.options)
        hub.headers = {"Location": f"http://a:{MARK}@127.0.0.1:1/?{MARK}"}
        for hub.status in (401, 403, 302, 308, 503):
            at = hub.url.replace("://", f"://{place.user}")
            await use(registration, seen, at, place.options)


async def test_nor_when_an_agent_goes_on_for_a_while(hub: FakeHub, seen: Seen) -> None:
    """The log holds no session token either."""
    agent = AgentClient(hub.url, name="a", type="cost", token=MARK, metadata={"key": MARK})
    async with agent:
        hub.agents[agent.agent_id]["token"] = f"session-{MARK}"
        seen.thing(agent.lease)
        for _ in range(2):
            resumed = len(hub.requests("resume"))
            hub.peer.abort()
            await eventually(lambda resumed=resumed: len(hub.requests("resume")) > resumed)
            await agent.wait_connected()
        await agent.report(metadata={"key": f"{MARK} again"})
        seen.thing(agent)
