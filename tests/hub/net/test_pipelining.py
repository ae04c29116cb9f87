"""Requests that come at once: answered in order, one after the other, and nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hub.net.intake import Intake
from hub.net.pipelining import PipelinedHttp
from tests.hub.websocket.fakes import RunningHub, answer_ok, client_frame, upgrade
from tests.support.waiting import until

MANY = 1500


@asynccontextmanager
async def running(app: Any = answer_ok, **options: Any) -> AsyncIterator[RunningHub]:
    hub = RunningHub(app, **options)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.listener.stop(0.0)


async def send(hub: RunningHub, data: bytes) -> asyncio.StreamReader:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(data)
    reader.writer = writer  # type: ignore[attr-defined]  # which lives as long as the reader
    return reader


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def bodies(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    found = []
    async with asyncio.timeout(60):
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            found.append(await reader.readexactly(length))
    return found


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    length = str(len(body)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def test_many_requests_of_one_segment_are_answered_in_order() -> None:
    async with running() as hub:
        reader = await send(hub, b"".join(get(f"/{number}") for number in range(MANY)))
        expected = [b"/%d" % number for number in range(MANY)]
        assert await bodies(reader, MANY) == expected


@pytest.mark.parametrize("size", [0, 1, 100, 5_000, 60_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_whole_wherever_the_pieces_end(size: int, chunked: bool) -> None:
    sent = [(b"%d\n\n\r\n\r\n" % number * size)[:size] for number in range(5)]

    def post(body: bytes) -> bytes:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        if not chunked:
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        chunks = [body[at : at + 700] for at in range(0, len(body), 700)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"

    async with running(echo) as hub:
        reader = await send(hub, b"".join(map(post, sent)))
        assert await bodies(reader, 5) == sent


async def test_a_neighbour_is_answered_while_others_pipeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []
    take: Callable[[PipelinedHttp, bytes], int] = PipelinedHttp._take

    def noted(self: PipelinedHttp, data: bytes) -> int:
        begun.append(id(self))
        return take(self, data)

    monkeypatch.setattr(PipelinedHttp, "_take", noted)
    async with running() as hub:
        flood = [await send(hub, get("/flood") * MANY) for _ in range(3)]
        await until(lambda: len(begun) > 3)
        asked = await send(hub, get("/mine"))
        assert await bodies(asked, 1) == [b"/mine"]
        assert len(begun) < 3 * MANY, "it waited for all the others"
        for reader in flood:
            assert await bodies(reader, MANY) == [b"/flood"] * MANY


async def test_a_request_is_read_when_the_one_before_is_answered() -> None:
    begun: list[str] = []
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        await go_on.wait()
        await answer_ok(scope, receive, send)

    async with running(slow) as hub:
        reader = await send(hub, b"".join(get(f"/{number}") for number in range(50)))
        await until(lambda: begun)
        (connection,) = hub.listener._state.connections
        await until(lambda: not connection._has_turn)
        # The first is being answered, and the second piece has been parsed at once.
        assert len(connection.pipeline) == 1
        assert hub.listener._intake.held > 0
        go_on.set()
        assert len(await bodies(reader, 50)) == 50
        assert hub.listener._intake.held == 0


async def test_a_websocket_behind_requests_gets_what_comes_behind_it() -> None:
    async with running() as hub:
        data = get("/1") + get("/2") + get("/3") + upgrade() + client_frame(1, b"hello")
        reader = await send(hub, data)
        assert await bodies(reader, 3) == [b"/1", b"/2", b"/3"]
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(7) == b"\x81\x05hello"


async def test_garbage_behind_requests_closes_after_their_answers() -> None:
    async with running() as hub:
        reader = await send(hub, get("/1") * 20 + b"\x00\x01\r\n\r\n" + get("/2") * 20)
        assert await bodies(reader, 20) == [b"/1"] * 20
        rest = await reader.read()
        assert b"/2" not in rest
        assert rest == b"" or rest.startswith(b"HTTP/1.1 400")


async def test_a_caller_that_is_gone_leaves_nothing_waiting() -> None:
    async with running() as hub:
        reader = await send(hub, get("/1") * MANY)
        await until(lambda: hub.listener._intake.held)
        reader.writer.transport.abort()  # type: ignore[attr-defined]
        await until(lambda: not hub.listener._intake.held)
        await until(lambda: not hub.listener.open_connections)


async def test_beyond_what_may_wait_in_all_the_connection_is_closed() -> None:
    async with running() as hub:
        hub.listener._intake = Intake(1000, hub.limits.applied)
        reader = await send(hub, get("/1") * MANY)
        async with asyncio.timeout(60):
            while await reader.read(65536):
                pass
        assert hub.listener._intake.held == 0
        assert b'limits_applied_total{setting="max_unparsed_bytes"} 1' in hub.metrics.text()
        other = await send(hub, get("/1") * 20)
        assert await bodies(other, 20) == [b"/1"] * 20
