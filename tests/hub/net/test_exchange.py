"""Whole requests and whole answers: as ASGI would do it, in one write."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hub.net.exchange import EXCHANGE
from hub.net.listener import Listener
from hub.net.unsent import UnsentBudget
from hub.websocket.gateway import Gateway
from tests.hub.websocket.fakes import FakeHub
from tests.support.waiting import until

POST = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
LARGE = b"x" * 4_000_000


class Served:
    """A listener whose application answers with the body that it was sent, or `/large`."""

    def __init__(self) -> None:
        self.bodies: list[bytes | None] = []
        self.answering = 0
        self.made = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def app(self, scope, receive, send) -> None:
        exchange = scope["extensions"][EXCHANGE]
        body = exchange.whole_body()
        self.bodies.append(body)
        if body is None:
            message = await receive()
            while message["more_body"]:
                message = await receive()
            body = message["body"]
        await self.hold.wait()
        parts = (b"<", body, b">") if scope["path"] != "/large" else (LARGE,)
        if scope["path"] == "/slices":
            await exchange.answer_in_slices(200, (), self.slices())
            return
        length = b"%d" % sum(map(len, parts))
        self.answering += 1
        await exchange.answer(200, ((b"content-length", length),), parts)
        self.answering -= 1

    async def slices(self):
        for number in range(400):
            self.made += 1
            yield b"%07d" % number + b"x" * 100_000


@pytest.fixture
async def served():
    served = Served()
    served.unsent = UnsentBudget(send_timeout=0.5)
    listener = Listener(
        served.app, Gateway(FakeHub()).protocol, "127.0.0.1", 0, unsent=served.unsent
    )
    _, port = await listener.start()
    served.listener = listener
    served.port = port
    served.connect = lambda: asyncio.open_connection("127.0.0.1", port)
    yield served
    await listener.stop(1.0)


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head, await reader.readexactly(length)


async def test_a_body_that_came_with_its_head_is_there_at_once(served):
    reader, writer = await served.connect()
    writer.write(POST + b"hello")
    head, body = await read_answer(reader)
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert b"connection:" not in head
    assert body == b"<hello>"
    assert served.bodies == [b"hello"]
    writer.close()


async def test_a_body_that_comes_later_is_received(served):
    reader, writer = await served.connect()
    writer.write(POST + b"hel")
    await until(lambda: served.bodies)
    writer.write(b"lo")
    assert (await read_answer(reader))[1].endswith(b"lo>")
    assert served.bodies == [None]
    writer.close()


async def test_requests_in_a_row_are_answered_in_their_order_on_one_connection(served):
    reader, writer = await served.connect()
    served.hold.clear()
    writer.write(b"".join(POST + b"num-%d" % number for number in range(5)))
    await until(lambda: served.bodies)
    served.hold.set()
    assert [(await read_answer(reader))[1] for _ in range(5)] == [
        b"<num-%d>" % number for number in range(5)
    ]
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
        POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"hello",
    ],
)
async def test_a_connection_that_is_not_kept_alive_is_closed_and_told_so(served, request_):
    reader, writer = await served.connect()
    writer.write(request_)
    head, body = await read_answer(reader)
    assert b"\r\nconnection: close\r\n" in head
    assert body == b"<hello>"
    assert await reader.read() == b""
    writer.close()


async def test_who_does_not_read_gets_no_second_answer_before_the_first(served):
    reader, writer = await served.connect()
    get = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(get * 8)
    await until(lambda: served.answering == 1)
    await asyncio.sleep(0.05)
    answered = len(served.bodies)
    assert answered < 8
    for _ in range(8):
        assert (await read_answer(reader))[1] == LARGE
    assert len(served.bodies) == 8
    writer.close()


async def test_nothing_is_sent_to_a_caller_that_has_gone(served):
    _, writer = await served.connect()
    served.hold.clear()
    writer.write(POST + b"hello")
    await until(lambda: served.bodies)
    writer.transport.abort()
    await until(lambda: served.listener.open_connections == 0)
    served.hold.set()
    await until(lambda: not served.listener._state.tasks)
    assert served.answering == 0


@pytest.mark.parametrize("cut_off", [False, True])
async def test_whoever_asked_several_times_and_has_gone_raises_nothing(served, caplog, cut_off):
    _, writer = await served.connect()
    served.hold.clear()
    writer.write((POST + b"hello") * 3)
    await until(lambda: served.bodies)
    writer.transport.abort()  # not noticed: nothing more is read until it is answered
    await asyncio.sleep(0.02)
    if cut_off:
        for connection in [*served.listener._state.connections]:
            connection.transport.abort()
        await until(lambda: served.listener.open_connections == 0)
    served.hold.set()
    await until(lambda: not served.listener._state.tasks)
    await until(lambda: served.listener.open_connections == 0)
    assert served.answering == 0
    assert not caplog.records


async def test_a_body_in_chunks_is_whole_once_the_last_has_come(served):
    reader, writer = await served.connect()
    head = b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write((head + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") * 2)
    for _ in range(2):
        assert (await read_answer(reader))[1] == b"<hello>"
    assert served.bodies == [b"hello"] * 2
    writer.close()


async def test_who_waits_to_be_asked_for_its_body_is_asked_and_may_go_on(served):
    reader, writer = await served.connect()
    writer.write(POST.replace(b"Host: localhost", b"Host: localhost\r\nExpect: 100-continue"))
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello" + POST + b"again")
    assert (await read_answer(reader))[1] == b"<hello>"
    assert (await read_answer(reader))[1] == b"<again>"
    writer.close()


GET_SLICES = b"GET /slices HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    async with asyncio.timeout(10):
        while (size := int(await reader.readline(), 16)) > 0:
            parts.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
    return b"".join(parts)


async def test_a_long_answer_goes_out_in_chunks_and_the_connection_lives_on(served):
    reader, writer = await served.connect()
    writer.write(GET_SLICES + POST + b"hello")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"transfer-encoding: chunked\r\n" in head
    assert b"content-length" not in head
    assert await read_chunks(reader) == b"".join([part async for part in Served().slices()])
    assert (await read_answer(reader))[1] == b"<hello>"
    writer.close()


async def test_a_caller_of_http_1_0_reads_a_long_answer_to_the_end_of_the_connection(served):
    reader, writer = await served.connect()
    writer.write(GET_SLICES.replace(b"1.1", b"1.0"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"connection: close\r\n" in head
    assert b"chunked" not in head
    async with asyncio.timeout(10):
        assert await reader.read() == b"".join([part async for part in Served().slices()])
    writer.close()


async def test_of_a_long_answer_no_more_is_made_than_is_read(served):
    served.unsent.send_timeout = 60.0
    reader, writer = await served.connect()
    writer.transport.pause_reading()
    writer.write(GET_SLICES)
    await until(lambda: served.unsent.total)
    await asyncio.sleep(0.2)
    assert served.made < 100, "the kernel has some megabytes at most"
    assert served.unsent.total < 300_000
    writer.transport.resume_reading()
    await reader.readuntil(b"\r\n\r\n")
    assert await read_chunks(reader) == b"".join([part async for part in Served().slices()])
    assert served.unsent.total == 0
    writer.close()


@pytest.mark.parametrize("path", [b"/slices", b"/large"])
async def test_who_reads_nothing_for_send_timeout_is_cut_off(served, path):
    applied = []
    served.unsent.applied = applied.append
    _, writer = await served.connect()
    writer.transport.pause_reading()
    began = asyncio.get_running_loop().time()
    writer.write(GET_SLICES.replace(b"/slices", path))
    await until(lambda: served.unsent.total)
    await until(lambda: served.listener.open_connections == 0)
    assert 0.45 <= asyncio.get_running_loop().time() - began < 1.5
    assert applied == ["send_timeout"]
    assert served.unsent.total == 0
    await until(lambda: not served.listener._state.tasks)
    writer.transport.abort()


async def test_who_reads_a_little_at_a_time_is_not_cut_off(served):
    # With a small receive buffer, so that the kernel tells soon that some of it was read.
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", served.port))
    reader, writer = await asyncio.open_connection(sock=small, limit=16 * 1024)
    writer.write(GET_SLICES)
    got = 0
    for _ in range(20):
        got += len(await reader.read(64 * 1024))
        await asyncio.sleep(0.1)
    assert got
    assert served.listener.open_connections == 1
    writer.transport.abort()


async def test_a_connection_that_closes_does_not_wait_for_a_caller_that_does_not_read(served):
    _, writer = await served.connect()
    writer.transport.pause_reading()
    writer.write(
        GET_SLICES.replace(b"/slices", b"/large").replace(b"Host", b"Connection: close\r\nHost")
    )
    await until(lambda: served.unsent.total)
    await until(lambda: served.listener.open_connections == 0)
    writer.transport.abort()


async def test_beyond_the_total_the_largest_connection_is_cut_off(served):
    served.unsent.send_timeout = 60.0
    served.unsent.max_total_bytes = 9_000_000
    writers = []
    for _ in range(6):
        _, writer = await served.connect()
        writer.transport.pause_reading()
        writer.write(GET_SLICES.replace(b"/slices", b"/large"))
        writers.append(writer)
    await until(lambda: len(served.bodies) == 6)
    await until(lambda: served.listener.open_connections < 6)
    await until(lambda: served.unsent.total <= 9_000_000)
    assert served.listener.open_connections >= 2
    for writer in writers:
        writer.transport.abort()
