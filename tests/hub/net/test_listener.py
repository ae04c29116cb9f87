"""The one port: start, stop, HTTP beside websockets, and callers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.net.listener import ACCEPTS, Listener
from hub.net.open_files import connection_room, raise_open_file_limit
from hub.net.sockets import ListenError
from hub.websocket.gateway import Gateway
from tests.hub.websocket.fakes import FakeHub, RawPeer, RunningHub, answer_ok
from tests.support.waiting import until

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


def listener(app=answer_ok, host: str = "127.0.0.1", port: int = 0, **options) -> Listener:
    return Listener(app, Gateway(FakeHub()).protocol, host, port, **options)


async def ask(port: int, data: bytes) -> bytes:
    """Send raw bytes; everything until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


def error_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return int(head.split()[1]), json.loads(body)["error"]


async def test_http_and_websockets_share_one_port(hub: RunningHub):
    async with connect(hub.url) as client:
        answer = await ask(hub.port, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
        assert b"server:" not in answer.lower()
        assert answer.endswith(b"\r\n\r\n/a")
        await client.send("x")
        assert await client.recv() == "x"


async def test_an_accepted_connection_has_nodelay(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    (connection,) = hub.connections
    accepted = connection.transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    peer.vanish()


async def test_a_port_in_use_is_one_plain_sentence(hub: RunningHub):
    with pytest.raises(ListenError) as caught:
        await listener(port=hub.port).start()
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{hub.port}: address already in use"


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no.such.host.invalid", 0, "host name is not known"),
        ("192.0.2.1", 0, "no such address"),
        ("127.0.0.1", 70_000, "port"),
    ],
)
async def test_an_impossible_address_is_one_plain_sentence(host: str, port: int, words: str):
    with pytest.raises(ListenError, match=words):
        await listener(host=host, port=port).start()


async def test_a_name_with_several_addresses_is_served_on_one_port():
    running = listener(host="localhost")
    host, port = await running.start()
    assert host in {"127.0.0.1", "::1"}
    for family, _, _, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.setblocking(False)
            await asyncio.get_running_loop().sock_connect(probe, address)
            assert probe.getpeername()[1] == port
    await running.stop(1.0)


async def test_after_stop_nobody_is_accepted_and_the_port_is_free():
    running = listener()
    _, port = await running.start()
    await running.stop(1.0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    again = listener(port=port)
    assert await again.start() == ("127.0.0.1", port)
    await again.stop(1.0)


async def test_stop_lets_a_request_finish_and_closes_idle_connections():
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(scope, receive, send) -> None:
        begun.set()
        await release.wait()
        await answer_ok(scope, receive, send)

    running = listener(slow)
    _, port = await running.start()
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(ask(port, GET))
    await begun.wait()
    stopping = asyncio.create_task(running.stop(5.0))
    assert await idle.read() == b""
    assert not stopping.done()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    release.set()
    assert (await answer).startswith(b"HTTP/1.1 200")
    await asyncio.wait_for(stopping, 2)
    idle_writer.close()


async def test_stop_cuts_off_what_does_not_end_and_logs_no_traceback(
    caplog: pytest.LogCaptureFixture,
):
    async def endless(scope, receive, send) -> None:
        await asyncio.Event().wait()

    running = listener(endless)
    _, port = await running.start()
    answer = asyncio.create_task(ask(port, GET))
    await until(lambda: running.open_connections == 1)
    with structlog.testing.capture_logs() as logged:
        await asyncio.wait_for(running.stop(0.1), 2)
    with contextlib.suppress(ConnectionResetError):
        assert await answer == b""
    assert [entry["event"] for entry in logged] == ["connections cut off"]
    assert caplog.text == ""
    assert running.open_connections == 0


async def test_stop_does_not_wait_for_a_websocket_that_does_not_answer(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    await asyncio.wait_for(hub.listener.stop(0.2), 2)
    assert await peer.close_code() == 1001
    await until(lambda: hub.sessions[0].closed_times == 1)


async def test_stop_closes_websockets_with_1001(hub: RunningHub):
    client = await connect(hub.url)
    stopping = asyncio.create_task(hub.listener.stop(5.0))
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1001
    await asyncio.wait_for(stopping, 2)


async def test_stop_without_start_and_twice_is_harmless():
    running = listener()
    await running.stop(0.1)
    await running.start()
    await running.stop(0.1)
    await running.stop(0.1)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",  # a TLS hello
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_invalid_http_is_400_without_a_traceback(
    hub: RunningHub, data: bytes, caplog: pytest.LogCaptureFixture
):
    assert error_of(await ask(hub.port, data)) == (400, "not a valid HTTP request")
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\nX: " + b"y" * 500_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
        b"GET /" + b"y" * 500_000,
    ],
)
async def test_a_head_without_end_is_431(hub: RunningHub, flood: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    for start in range(0, len(flood), 10_000):
        writer.write(flood[start : start + 10_000])
    with contextlib.suppress(ConnectionResetError):
        assert error_of(await reader.read())[0] == 431
    await until(lambda: hub.listener.open_connections == 0)
    writer.close()


async def test_a_body_is_not_charged_to_the_head(hub: RunningHub):
    post = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    for _ in range(3):
        writer.write(post)
        assert (await reader.readuntil(b"\r\n\r\n/a")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_another_upgrade_is_served_as_plain_http(hub: RunningHub):
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n/a")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_listening_leaves_signals_and_logging_alone():
    import signal  # noqa: PLC0415

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    handlers = list(logging.getLogger().handlers)
    running = listener()
    await running.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert logging.getLogger().handlers == handlers
    await running.stop(0.1)


def test_the_limit_of_open_files_is_raised_and_leaves_room():
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = min(soft, 512)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, hard))
    try:
        limit = raise_open_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert limit == min(hard, 1 << 20)
        assert raise_open_file_limit() == limit
        assert 0 < connection_room(limit) < limit - 64
        assert connection_room(10) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_full_backlog_is_accepted_several_at_a_time():
    server = listener()
    _, port = await server.start()
    # The loop stands still meanwhile.
    waiting = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(80)]
    turns = 0
    try:
        while server.open_connections < len(waiting):
            await asyncio.sleep(0)
            turns += 1
            assert turns < 10_000
        # Accepting is found out by polling, and the loop may take turns without it.
        assert turns <= 1.5 * len(waiting) / ACCEPTS + 30
    finally:
        for each in waiting:
            each.close()
        await server.stop(0.0)
