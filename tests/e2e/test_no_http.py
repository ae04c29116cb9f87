"""Bytes on the port that are not HTTP, or only half a request, or far too much."""

from __future__ import annotations

import json
import socket

import pytest

from tests.support.hub_process import Hub, Place
from tests.support.waiting import LIMIT

pytestmark = pytest.mark.usefixtures("noticed_nothing")

GOOD = {"name": "a", "type": "cost", "host": "a.example", "port": 1}


def exchange(hub: Hub, data: bytes, *, half_close: bool = True) -> bytes:
    """Send bytes and read until the hub closes the connection, which it must within the limit."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=LIMIT) as connection:
        said = b""
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while True:
                part = connection.recv(65536)
                if not part:
                    return said
                said += part
        except (ConnectionResetError, BrokenPipeError):
            return said


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /agents/register HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
REFUSED = {
    "garbage": b"\x00\x01\x02\xff garbage\r\n\r\n",
    "a TLS hello": bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + b"\x00" * 500,
    "a Redis command": b"*1\r\n$4\r\nPING\r\n",
    "a version nobody knows": b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a header without a name": GET + b": x\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a length that is none": POST + b"Content-Length: x\r\n\r\n",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n",
    "a broken chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "a websocket without a key": b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "a websocket of a wrong version": UPGRADE.replace(b"Version: 13", b"Version: 7") + b"\r\n",
    "a websocket by POST": UPGRADE.replace(b"GET", b"POST", 1) + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_http_is_refused_without_a_word_of_the_inside(area: Place, data: bytes) -> None:
    said = exchange(area.hub, data)
    assert b"Traceback" not in said
    if said:
        status = int(said.split(b" ", 2)[1])
        assert 400 <= status < 500 or status == 505, said
        body = said.partition(b"\r\n\r\n")[2]
        assert "error" in json.loads(body), said


HUGE = {
    "a huge header": GET + b"X-Big: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "very many headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\n",
    "a huge target": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a header that never ends": GET + b"X-Big: " + b"x" * 3_000_000,
    "a huge header of a websocket": UPGRADE + b"X-Big: " + b"x" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE.keys())
def test_huge_headers_are_refused_or_hung_up_on(area: Place, data: bytes) -> None:
    said = exchange(area.hub, data, half_close=False)
    if said:
        assert 400 <= int(said.split(b" ", 2)[1]) < 500, said[:200]


HALVES = {
    "nothing": b"",
    "half a line": b"GE",
    "half the headers": GET,
    "half a body": POST + b"Content-Length: 500\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "half a handshake": UPGRADE,
    "a handshake and no frame": UPGRADE + b"\r\n",
}


@pytest.mark.parametrize("data", HALVES.values(), ids=HALVES.keys())
def test_half_a_request_and_then_hanging_up_harms_nobody(area: Place, data: bytes) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", area.hub.port), timeout=LIMIT) as connection:
            connection.sendall(data)
    said = exchange(area.hub, data)
    assert b"Traceback" not in said
    assert area.get("/agents").json()["count"] >= 1


def test_a_length_and_chunks_together_do_not_smuggle_a_request(area: Place) -> None:
    smuggled = b"GET /agents HTTP/1.1\r\nHost: localhost\r\n\r\n"
    said = exchange(
        area.hub,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
    )
    assert said.startswith(b"HTTP/1.1 4"), said


def test_several_requests_on_one_connection_are_answered_in_order(area: Place) -> None:
    paths = [b"/health", b"/nope", b"/agents/x", b"/health"]
    requests_ = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths[:3])
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    said = exchange(area.hub, requests_ + last, half_close=False)
    statuses = [int(part.split(b" ", 1)[0]) for part in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 404, 200]


def test_a_body_that_comes_drop_by_drop_is_taken(area: Place) -> None:
    body = json.dumps(GOOD).encode()
    head = b"POST /agents/register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Length: %d\r\nHomeport-Namespace: drops\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", area.hub.port), timeout=LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + body:
            connection.send(bytes([byte]))
        said = b""
        while part := connection.recv(65536):
            said += part
    assert said.startswith(b"HTTP/1.1 201"), said
