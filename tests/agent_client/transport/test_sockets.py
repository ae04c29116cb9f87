"""Names with several addresses: one that does not answer must not keep a client from the next."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from agent_client import AgentClient, AgentRegistration, CannotConnect, HubClient
from agent_client.transport.dialer import Dialer
from agent_client.transport.sockets import (
    Address,
    connect_socket,
    connect_socket_blocking,
    in_turn,
)
from tests.support.addresses import DEAD, resolve, swallowing
from tests.support.fake_hub import FakeHub, eventually, running_hub
from tests.support.legacy_hub import LegacyHub
from tests.support.proxies import StubProxy
from tests.support.tls import CERTIFICATE, server_context
from tests.support.waiting import wait_until

LOOPS: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop]


def answer(family: int, address: str) -> tuple[Any, ...]:
    return (family, socket.SOCK_STREAM, 6, "", (address, 80))


def resolve_in_loop(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Have `hub.test` be these addresses for the running loop."""
    loop = asyncio.get_running_loop()
    usual = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **more: Any) -> Any:
        if host != "hub.test":
            return await usual(host, port, **more)
        return [(*answer(socket.AF_INET, a)[:4], (a, port)) for a in addresses]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


def open_sockets() -> set[str]:
    links = set()
    for each in os.listdir("/proc/self/fd"):
        try:
            links.add(os.readlink(f"/proc/self/fd/{each}"))
        except OSError:
            pass
    return {each for each in links if each.startswith("socket:")}


def test_the_families_take_turns_and_no_address_comes_twice() -> None:
    v4, v6 = socket.AF_INET, socket.AF_INET6
    found = [
        answer(v6, "::1"),
        answer(v6, "::2"),
        answer(v6, "::1"),
        answer(v6, "::3"),
        answer(v4, "10.0.0.1"),
        answer(v4, "10.0.0.2"),
    ]
    assert in_turn(found) == [
        Address(v6, ("::1", 80)),
        Address(v4, ("10.0.0.1", 80)),
        Address(v6, ("::2", 80)),
        Address(v4, ("10.0.0.2", 80)),
        Address(v6, ("::3", 80)),
    ]


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_dead_first_address_does_not_keep_an_agent_from_the_second(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(port: int) -> None:
        resolve_in_loop(monkeypatch, [DEAD, "127.0.0.1"])
        # One attempt is all that it has time for.
        options: Any = {"connect_timeout": 9, "request_timeout": 30}
        async with AgentClient(f"http://hub.test:{port}", name="a", type="cost", **options):
            pass

    with running_hub() as hub, swallowing(hub.port), asyncio.Runner(loop_factory=loop_factory) as r:
        r.run(main(hub.port))
        assert hub.ops() == ["register", "unregister"]


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("proxy", [None, "http", "socks5h"])
def test_small_messages_are_sent_at_once(
    proxy: str | None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(url: str) -> None:
        dialer = Dialer(url, namespace=None, token=None)
        [url] = dialer.endpoints.in_turn()
        connection = await dialer.dial(url, seconds=10)
        opened = connection._websocket.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        await connection.close()

    with running_hub() as hub, StubProxy(hub.port) as stub:
        if proxy is not None:
            monkeypatch.setenv("all_proxy", f"{proxy}://127.0.0.1:{stub.port}")
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main(hub.url if proxy is None else "http://hub.test"))


def test_an_address_is_connected_to_without_a_thread() -> None:
    """Which Python 3.12 would warn of when the program forks."""

    async def main(port: int) -> None:
        for form in ("127.0.0.1", "127.1"):
            (await connect_socket(form, port)).close()
        assert threading.active_count() == before

    with socket.create_server(("127.0.0.1", 0)) as server:
        before = threading.active_count()
        asyncio.run(main(server.getsockname()[1]))


async def test_nor_does_one_that_refuses(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, hub_test=["127.0.0.8", "127.0.0.1"])
    async with HubClient(f"http://hub.test:{hub.port}") as client:
        await client.ping()


async def test_without_an_answer_every_address_is_named(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, hub_test=["127.0.0.7", "127.0.0.8"])
    async with HubClient(f"http://hub.test:{hub.port}") as client:
        with pytest.raises(CannotConnect) as caught:
            await client.ping()
    for address in ("127.0.0.7", "127.0.0.8"):
        assert f"Connection refused ({address} port {hub.port})" in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_tls_checks_the_name_and_not_the_address(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, hub_test=[DEAD, "127.0.0.1"], other_test=["127.0.0.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", hub.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except OSError:
                pass
            sink.close()

        await asyncio.gather(pump(reader, forth), pump(back, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=server_context())
    port = server.sockets[0].getsockname()[1]
    with swallowing(port):
        async with HubClient(f"https://hub.test:{port}") as client:
            await client.ping()
        assert hub.handshakes[-1].headers["Host"] == f"hub.test:{port}"
        async with HubClient(f"https://other.test:{port}") as client:
            with pytest.raises(CannotConnect, match=r"(?i)hostname mismatch"):
                await client.ping()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_nothing_stays_open_of_an_attempt_that_was_given_up(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(port: int) -> None:
        addresses = [DEAD]
        resolve_in_loop(monkeypatch, addresses)
        before = open_sockets()
        for seconds in (0.0, 0.05):
            attempt = asyncio.create_task(connect_socket("hub.test", port))
            await asyncio.sleep(seconds)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
        await eventually(lambda: open_sockets() <= before, "closing the attempts")
        addresses.append("127.0.0.1")
        (await connect_socket("hub.test", port)).close()
        await eventually(lambda: open_sockets() <= before, "closing the losers")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with swallowing(port), asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main(port))


def test_programs_without_asyncio_come_to_the_second_address_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, hub_test=[DEAD, "127.0.0.1"], two_test=["127.0.0.7", "127.0.0.8"])
    with LegacyHub() as hub:
        port = int(hub.url.rpartition(":")[2])
        with swallowing(port):
            before = open_sockets()
            agent = AgentRegistration("a", "cost", "h", 1, [], f"http://hub.test:{port}")
            assert agent.register()
            wait_until(lambda: open_sockets() <= before)  # the hub's end is in this process, too
        with pytest.raises(ConnectionRefusedError) as caught:
            connect_socket_blocking("two.test", port, 5)
        assert f"(127.0.0.7 port {port}); Connection refused (127.0.0.8" in str(caught.value)


def test_without_asyncio_the_time_is_for_all_addresses_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, hub_test=[DEAD])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with swallowing(port):
            before = open_sockets()
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                connect_socket_blocking("hub.test", port, 0.3)
            assert time.monotonic() - started >= 0.3
            assert open_sockets() <= before
