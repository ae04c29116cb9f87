"""TLS to a hub, in every client: whom it trusts, what it shows, what it says when that fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentClient, AgentRegistration, BadRequest, CannotConnect, Hub, HubClient
from tests.support.addresses import resolve
from tests.support.fake_hub import FakeHub, eventually
from tests.support.legacy_hub import LegacyHub
from tests.support.proxies import StubProxy
from tests.support.tls import CERTIFICATE, KEY, LOCKED_KEY, server_context

MUTUAL = {"ca_file": CERTIFICATE, "client_cert": CERTIFICATE, "client_key": KEY}


@pytest.fixture
async def secure() -> AsyncIterator[FakeHub]:
    async with FakeHub(tls=server_context()) as hub:
        yield hub


def url(hub: FakeHub, scheme: str = "https", host: str = "localhost") -> str:
    return f"{scheme}://{host}:{hub.port}"


async def every_client(at: str, **options: Any) -> None:
    """Have each kind of client reach the websocket `at`."""
    async with AgentClient(at, name="cost-1", type="cost", **options):
        pass
    async with HubClient(at, **options) as client, client.watch() as watch:
        await client.ping()
        await anext(watch)
    with Hub(at, **options) as blocking:
        await asyncio.to_thread(blocking.ping)


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_every_client_trusts_the_ca_file(secure: FakeHub, scheme: str) -> None:
    await every_client(url(secure, scheme), ca_file=CERTIFICATE)


async def test_or_that_of_the_environment(secure: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_CA_FILE", str(CERTIFICATE))
    await every_client(url(secure))
    with LegacyHub(tls=server_context()) as legacy:
        assert AgentRegistration("a", "cost", "h", 1, [], legacy.url).register()


async def test_a_client_shows_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = server_context(asks_for_certificate=True)
    async with FakeHub(tls=asking) as hub:
        await every_client(url(hub), **MUTUAL)
        monkeypatch.setenv("HOMEPORT_CA_FILE", str(CERTIFICATE))
        monkeypatch.setenv("HOMEPORT_CLIENT_CERT", str(CERTIFICATE))
        monkeypatch.setenv("HOMEPORT_CLIENT_KEY", str(KEY))
        await every_client(url(hub))
    with LegacyHub(tls=asking) as legacy:
        assert AgentRegistration("a", "cost", "h", 1, [], legacy.url).register()


async def test_a_certificate_and_its_key_may_be_one_file(tmp_path: Path) -> None:
    both = tmp_path / "client.pem"
    both.write_bytes(CERTIFICATE.read_bytes() + KEY.read_bytes())
    async with (
        FakeHub(tls=server_context(asks_for_certificate=True)) as hub,
        HubClient(url(hub), ca_file=CERTIFICATE, client_cert=both) as client,
    ):
        await client.ping()


async def test_the_files_are_read_again_at_each_connection(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(KEY.read_bytes())
    async with (
        FakeHub(tls=server_context()) as hub,
        HubClient(url(hub), ca_file=trusted) as client,
    ):
        with pytest.raises(BadRequest):
            await client.ping()
        trusted.write_bytes(CERTIFICATE.read_bytes())
        await client.ping()


async def test_through_a_tunnel_too(secure: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, hub_test=["10.9.8.7"])
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))  # for the proxy that has TLS
    for kind in ("http", "https", "socks5h"):
        with StubProxy(secure.port, tls=kind == "https") as proxy:
            monkeypatch.setenv("all_proxy", f"{kind}://localhost:{proxy.port}")
            async with HubClient("https://hub.test", ca_file=CERTIFICATE) as client:
                await client.ping()
            assert proxy.asked == ["hub.test:443"]
    with (
        LegacyHub(tls=server_context()) as hub,
        StubProxy(int(hub.url.rpartition(":")[2])) as proxy,
    ):
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{proxy.port}")
        at = "https://hub.test"
        assert AgentRegistration("a", "cost", "h", 1, [], at, ca_file=CERTIFICATE).register()
        assert proxy.asked == ["hub.test:443"]


@pytest.mark.parametrize(
    ("host", "options", "words"),
    [
        ("localhost", {}, "self-signed certificate; give the certificate of the CA that signed it"),
        (
            "127.0.0.1",
            {"ca_file": CERTIFICATE},
            "not valid for '127.0.0.1'; put a name into the URL that the certificate has",
        ),
    ],
)
async def test_a_certificate_that_is_not_trusted_says_what_to_do(
    secure: FakeHub,
    caplog: pytest.LogCaptureFixture,
    host: str,
    options: dict[str, Any],
    words: str,
) -> None:
    for client in (
        HubClient(url(secure, host=host), **options).ping(),
        AgentClient(
            url(secure, host=host), name="a", type="cost", connect_timeout=2, **options
        ).start(),
    ):
        with pytest.raises(CannotConnect, match=f"its certificate is not trusted: .*{words}"):
            await client
    with LegacyHub(tls=server_context()) as legacy:
        at = legacy.url.replace("localhost", host)
        assert not AgentRegistration("a", "cost", "h", 1, [], at, **options).register()
    assert re.search(
        f"{at}/agents/register: its certificate is not trusted: .*{words}", caplog.text
    )


async def test_a_certificate_that_is_missing_is_named(caplog: pytest.LogCaptureFixture) -> None:
    asking = server_context(asks_for_certificate=True)
    words = "give a client certificate (client_cert, --client-cert, HOMEPORT_CLIENT_CERT)"
    async with FakeHub(tls=asking) as hub, HubClient(url(hub), ca_file=CERTIFICATE) as client:
        with pytest.raises(CannotConnect, match=re.escape(words)):
            await client.ping()
    with LegacyHub(tls=asking) as legacy:
        assert not AgentRegistration(
            "a", "cost", "h", 1, [], legacy.url, ca_file=CERTIFICATE
        ).register()
    assert words in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_file": "/no/such"}, "ca_file /no/such: it cannot be read: no such file"),
        ({"ca_file": KEY}, "it holds no certificate in PEM form"),
        ({"client_cert": "/no/such"}, "client_cert /no/such: it cannot be read: no such file"),
        (
            {"client_cert": CERTIFICATE},
            "its key in PEM form; name the file of the key with client_key",
        ),
        (
            {"client_cert": CERTIFICATE, "client_key": "/no/such"},
            "client_key /no/such: it cannot be read: no such file",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(
    secure: FakeHub, caplog: pytest.LogCaptureFixture, options: dict[str, Any], words: str
) -> None:
    async with HubClient(url(secure), **options) as client:
        with pytest.raises(BadRequest, match=words) as caught:
            await client.ping()
    assert caught.value.field == list(options)[-1]
    registration = AgentRegistration("a", "cost", "h", 1, [], url(secure), **options)
    assert not registration.register()
    assert words in caplog.text
    assert secure.handshakes == []


async def test_a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it(
    secure: FakeHub,
) -> None:
    options = {"ca_file": CERTIFICATE, "client_cert": CERTIFICATE, "client_key": LOCKED_KEY}
    async with HubClient(url(secure), **options) as client:
        with pytest.raises(BadRequest, match="its key has a passphrase; give a key without one"):
            await client.ping()


def test_a_key_without_its_certificate_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="client_key: give `client_cert` as well"):
        HubClient(client_key=KEY)


async def test_an_agent_that_has_worked_waits_for_a_file_that_is_away(
    secure: FakeHub, tmp_path: Path
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(CERTIFICATE.read_bytes())
    async with AgentClient(url(secure), name="a", type="cost", ca_file=trusted) as agent:
        trusted.unlink()
        secure.peer.abort()
        await eventually(lambda: not agent.connected)
        trusted.write_bytes(CERTIFICATE.read_bytes())
        await agent.wait_connected()
