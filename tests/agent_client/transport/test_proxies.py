"""Proxies: which one, the way through it, and that every failure names it without its secrets."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator

import pytest

from agent_client import AgentClient, AgentRegistration, CannotConnect, ConnectionLost, HubClient
from agent_client.errors import HomeportError
from agent_client.transport.proxies import Proxy, ProxyError, is_excepted, is_loopback, proxy_for
from tests.support.addresses import DEAD, resolve, swallowing
from tests.support.fake_hub import FakeHub
from tests.support.legacy_hub import LegacyHub
from tests.support.ports import free_port
from tests.support.proxies import StubProxy
from tests.support.tls import CERTIFICATE

HUB = "http://hub.test:8080"


@pytest.fixture
def proxy(hub: FakeHub) -> Iterator[StubProxy]:
    with StubProxy(hub.port) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "no_proxy", "excepted"),
    [
        ("hub", "hub", True),
        ("HUB.example.", "example", True),
        ("hub.example", ".example", True),
        ("example", ".example", True),
        ("hub.example", "*.example", True),
        ("hub.example", "other, hub.example", True),
        ("hub.example", "other hub.example", True),
        ("hub.example", "hub.example:8080", True),
        ("hub.example", "hub.example:9090", False),
        ("hub.example", "ample", False),
        ("hub.example", "hub", False),
        ("hub.example", "", False),
        ("hub.example", ", ,", False),
        ("hub.example", "*", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "localhost,10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:8080", True),
        ("10.1.2.3", "10.1.2.3:1", False),
        ("10.1.2.3", "1.2.3", False),
        ("10.3", "10.0.0.0/8", True),
        ("0x0a.0.0.3", "10.0.0.3", True),
        ("10.0.0.3", "10.3", True),
        ("10.1.2.3", "10.1.2.77/24", True),
        ("10.1.2.3", "10.1.2.0/255.255.255.0", True),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("fd00::17", "fd00::/8", True),
        ("fd00::17", "[fd00::17]:8080", True),
        ("fd00::17", "[fd00::17]:8081", False),
        ("fd00::17", "fd00:0:0::17", True),
        ("fd00::17", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("beef", "0.0.0.0/0", False),
    ],
)
def test_no_proxy_names_hosts_domains_addresses_and_networks(
    host: str, no_proxy: str, excepted: bool
) -> None:
    assert is_excepted(host, 8080, no_proxy) is excepted


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("hub.localhost", True),
        ("127.8.0.1", True),
        ("127.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("hub.example", False),
    ],
)
def test_no_proxy_is_used_on_this_machine(
    host: str, loopback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.test:1")
    assert is_loopback(host) is loopback
    shown = f"[{host}]" if ":" in host else host
    assert (proxy_for(f"ws://{shown}:8080/ws") is None) is loopback


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "ws://hub", None),
        ({"HTTP_PROXY": "http://p:3128"}, "ws://hub", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, "wss://hub", None),
        ({"HTTP_PROXY": "http://p:3128"}, "https://hub", None),
        ({"http_proxy": "p:3128"}, "http://hub", "http://p:3128"),
        ({"http_proxy": "http://p"}, "http://hub", "http://p:80"),
        ({"https_proxy": "https://p"}, "wss://hub", "https://p:443"),
        ({"https_proxy": "http://s:1", "http_proxy": "http://p:2"}, "ws://hub", "http://s:1"),
        ({"https_proxy": "http://s:1", "http_proxy": "http://p:2"}, "http://hub", "http://p:2"),
        ({"https_proxy": "http://s:1"}, "http://hub", None),
        ({"socks_proxy": "p:1080", "http_proxy": "http://h:2"}, "ws://hub", "socks5h://p:1080"),
        ({"socks_proxy": "http://p:1080"}, "wss://hub", "socks5h://p:1080"),
        ({"SOCKS_PROXY": "socks4://p"}, "https://hub", "socks4://p:1080"),
        ({"ALL_PROXY": "socks://p:9"}, "ws://hub", "socks5h://p:9"),
        ({"all_proxy": "socks5://p:9", "https_proxy": "http://h:2"}, "wss://hub", "http://h:2"),
        ({"ws_proxy": "http://w:1", "socks_proxy": "p:1080"}, "ws://hub", "http://w:1"),
        ({"all_proxy": "http://u:s3cret@[fd00::1]:9"}, "ws://hub", "http://[fd00::1]:9"),
        ({"all_proxy": "http://p", "NO_PROXY": "hub"}, "ws://hub", None),
        ({"http_proxy": ""}, "ws://hub", None),
    ],
)
def test_the_environment_decides(
    variables: dict[str, str],
    url: str,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    chosen = proxy_for(url)
    assert (None if chosen is None else str(chosen)) == expected
    assert "s3cret" not in repr(chosen)


def test_user_and_password_are_read_and_written_as_in_a_url() -> None:
    proxy = Proxy("http", "p", 1, "me@home", "s3cret/:")
    assert proxy.url == "http://me%40home:s3cret%2F%3A@p:1"
    assert f"{proxy} {proxy!r}" == "http://p:1 <proxy http://p:1>"


@pytest.mark.parametrize("value", ["ftp://u:s3cret@p", "http://", "http://u:s3cret@p:99999"])
async def test_a_variable_that_names_no_proxy_ends_the_attempts_at_once(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    agent = AgentClient(HUB, name="a", type="cost")
    with pytest.raises(CannotConnect, match="HTTP_PROXY names no proxy that can be used") as caught:
        await agent.start()
    assert not caught.value.retryable
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", ["http", "socks5h", "socks5"])
async def test_clients_come_to_their_hub_through_a_proxy(
    kind: str, hub: FakeHub, proxy: StubProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, hub_test=["10.9.8.7"])
    monkeypatch.setenv(
        "socks_proxy" if "socks" in kind else "http_proxy", f"{kind}://127.0.0.1:{proxy.port}"
    )
    async with AgentClient(HUB, name="a", type="cost"), HubClient(HUB) as client:
        await client.ping()
    asked = "10.9.8.7:8080" if kind == "socks5" else "hub.test:8080"
    assert proxy.asked == [asked, asked]
    assert hub.handshakes[0].headers["Host"] == "hub.test:8080"


@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_with_the_credentials_of_its_url(
    kind: str, proxy: StubProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.locked = True
    monkeypatch.setenv("all_proxy", f"{kind}://me:s3cret@127.0.0.1:{proxy.port}")
    async with HubClient(HUB) as client:
        await client.ping()
    assert proxy.credentials == ["me:s3cret"]


@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_programs_without_asyncio_come_to_their_hub_through_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LegacyHub() as hub, StubProxy(int(hub.url.rpartition(":")[2])) as proxy:
        proxy.locked = True
        monkeypatch.setenv("all_proxy", f"{kind}://me:s3cret@127.0.0.1:{proxy.port}")
        assert AgentRegistration("a", "cost", "h", 1, [], HUB).register()
        assert proxy.asked == ["hub.test:8080"]
        monkeypatch.setenv("no_proxy", "127.0.0.0/8,.test")
        resolve(monkeypatch, hub_test=["127.0.0.1"])
        direct = f"http://hub.test:{hub.url.rpartition(':')[2]}"
        assert AgentRegistration("a", "cost", "h", 1, [], direct).register()
        assert len(proxy.asked) == 1


async def test_a_proxy_may_have_a_dead_address(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, proxy_test=[DEAD, "127.0.0.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    for kind in ("http", "socks5h", "https"):
        with StubProxy(hub.port, tls=kind == "https") as proxy, swallowing(proxy.port):
            monkeypatch.setenv("all_proxy", f"{kind}://proxy.test:{proxy.port}")
            async with HubClient(HUB) as client:
                await client.ping()
            assert proxy.asked == ["hub.test:8080"]


async def failure(url: str = HUB) -> HomeportError:
    async with HubClient(url, request_timeout=5) as client:
        with pytest.raises(HomeportError) as caught:
            await client.ping()
    return caught.value


@pytest.mark.parametrize("kind", ["http", "socks5h", "https"])
async def test_a_proxy_that_cannot_be_reached_is_named(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("all_proxy", f"{kind}://me:s3cret@127.0.0.1:{port}")
    error = await failure()
    assert isinstance(error, CannotConnect)
    assert error.retryable
    assert error.proxy == f"{kind}://127.0.0.1:{port}"
    assert error.message == (
        f"cannot connect to ws://hub.test:8080/ws through the proxy {kind}://127.0.0.1:{port}: "
        f"[Errno 111] Connection refused (127.0.0.1 port {port})"
    )
    assert "s3cret" not in "".join(traceback.format_exception(error))


async def test_what_a_proxy_refuses_is_said(
    hub: FakeHub, proxy: StubProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = f"http://127.0.0.1:{proxy.port}"
    monkeypatch.setenv("http_proxy", shown)
    proxy.refusal = 502
    assert f"through the proxy {shown}: it refused with HTTP 502" in str(await failure())
    proxy.locked = True
    error = await failure()
    assert f"through the proxy {shown}: it wants credentials (HTTP 407)" in error.message
    assert not error.retryable
    monkeypatch.setenv("http_proxy", f"socks5h://me:wr0ng@127.0.0.1:{proxy.port}")
    error = await failure()
    assert f"through the proxy socks5h://127.0.0.1:{proxy.port}: it refused" in error.message
    assert "wr0ng" not in "".join(traceback.format_exception(error))

    hub.handshake = (503, "no hub", {})
    proxy.locked, proxy.refusal = False, None
    monkeypatch.setenv("http_proxy", shown)
    error = await failure()
    assert error.message.endswith(f"refused the connection: HTTP 503 (through the proxy {shown})")


async def test_what_is_no_proxy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeHub() as other:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{other.port}")
        assert f"through the proxy http://127.0.0.1:{other.port}: it" in str(await failure())


async def test_a_connection_that_ends_later_names_the_proxy_too(
    hub: FakeHub, proxy: StubProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = f"http://127.0.0.1:{proxy.port}"
    monkeypatch.setenv("http_proxy", shown)
    hub.on("ping", lambda peer, _request: peer.abort())
    error = await failure()
    assert isinstance(error, ConnectionLost)
    assert (error.proxy, shown in str(error)) == (shown, True)
    hub.on("ping", lambda _peer, _request: None)
    async with HubClient(HUB, request_timeout=0.2) as client:
        with pytest.raises(HomeportError, match=f"within 0.2 s .through the proxy {shown}.$"):
            await client.ping()


@pytest.fixture
def without_python_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)


@pytest.mark.usefixtures("without_python_socks")
async def test_without_its_package_a_socks_proxy_ends_the_attempts_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOCKS_PROXY", "socks5://me:s3cret@proxy.test:1080")
    words = "through the proxy socks5://proxy.test:1080: SOCKS needs a package .* python-socks"
    agent = AgentClient(HUB, name="a", type="cost")
    with pytest.raises(CannotConnect, match=words) as caught:
        await agent.start()
    assert not caught.value.retryable
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    async with HubClient(HUB) as client:
        with pytest.raises(CannotConnect, match=words):
            await client.find()
        async with client.watch() as watch:
            with pytest.raises(CannotConnect, match=words):
                await anext(watch)


def test_over_http_failures_name_the_proxy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def said(url: str = HUB) -> str:
        caplog.clear()
        assert not AgentRegistration("a", "cost", "h", 1, [], url).register()
        return caplog.text

    with LegacyHub() as hub, StubProxy(int(hub.url.rpartition(":")[2])) as proxy:
        shown = f"http://127.0.0.1:{proxy.port}"
        for variable in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(variable, f"http://me:wr0ng@127.0.0.1:{proxy.port}")
        proxy.refusal = 502
        assert f"502 -  through the proxy {shown}" in said()
        assert f"through the proxy {shown}: Tunnel connection failed: 502" in said(
            "https://hub.test"
        )
        proxy.locked = True
        for url in (HUB, "https://hub.test"):
            assert f"through the proxy {shown}: it wants credentials (HTTP 407)" in said(url)
            assert "wr0ng" not in caplog.text
    assert f"through the proxy {shown}: [Errno 111] Connection refused" in said()
    monkeypatch.setitem(sys.modules, "python_socks", None)
    monkeypatch.setenv("http_proxy", "socks5://me:wr0ng@proxy.test:1080")
    assert "through the proxy socks5://proxy.test:1080: SOCKS needs a package" in said()
    assert "wr0ng" not in caplog.text


def test_a_proxy_s_error_is_an_oserror() -> None:
    """So that each place which handles a connection that fails handles this one as well."""
    assert issubclass(ProxyError, OSError)
