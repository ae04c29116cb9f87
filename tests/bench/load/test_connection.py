"""The load for websockets: what it sends is right, and it notices every answer that is not."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from websockets.frames import Frame
from websockets.server import ServerProtocol

from bench.errors import BenchError
from bench.load.connection import Connection, Script, Timed
from bench.load.records import METADATA_BYTES, bench_spec, group_filter, group_names
from bench.load.talk import Talk, constant, echo, finds, heartbeats
from bench.peers.frames import masked_text
from bench.peers.raw_websocket import Target
from homeport_protocol.codec import decode_request, encode
from homeport_protocol.requests import Find, Heartbeat


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def taken(self) -> bytes:
        written, self.written = self.written, b""
        return written

    def close(self) -> None:
        self.closing = True

    abort = close


def opened(talk: Talk, kind: type[Connection] = Connection) -> tuple[Connection, Wire]:
    wire = Wire()
    connection = kind(Script(talk))
    connection.connection_made(wire)  # type: ignore[arg-type]
    connection.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    return connection, wire


def text(payload: bytes) -> bytes:
    """A text frame as a server sends it."""
    return Frame(1, payload).serialize(mask=False)


def requests_in(data: bytes) -> list[bytes]:
    """What a server reads."""
    server = ServerProtocol()
    server.receive_data(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    server.receive_data(data)
    return [bytes(event.data) for event in server.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 65535, 65536])
def test_a_masked_frame_is_read_as_what_it_was_made_of(size: int) -> None:
    assert requests_in(masked_text(b"m" * size)) == [b"m" * size]


def test_requests_go_out_in_turn_and_begin_anew() -> None:
    connection, wire = opened(heartbeats(4))
    connection.send(3)
    connection.send(3)

    asked = [decode_request(each) for each in requests_in(wire.taken())]
    assert asked == [Heartbeat(id=number) for number in (100, 101, 102, 103, 100, 101)]


def test_each_answer_is_followed_by_the_next_request() -> None:
    talk = echo(20, 2)
    connection, wire = opened(talk)
    connection.running = True
    connection.send(2)
    wire.taken()

    connection.data_received(b"".join(text(each.encode()) for each in talk.answers[:2]))
    assert requests_in(wire.taken()) == [each.encode() for each in talk.requests[2:4]]
    connection.running = False
    connection.data_received(text(talk.answers[2].encode()))
    assert (connection.asked, connection.answered, connection.wrong) == (4, 3, 0)
    assert wire.taken() == b""


@pytest.mark.parametrize("size", [10, 125, 126, 70_000])
def test_answers_may_come_in_any_pieces(size: int) -> None:
    connection, _ = opened(constant(10, "c" * size))
    connection.send(3)
    data = text(b"c" * size) * 3
    step = max(1, size // 7)
    for start in range(0, len(data), step):
        connection.data_received(data[start : start + step])

    assert (connection.answered, connection.wrong) == (3, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"op":"heartbeat_ack","id":101,"durable":true}',  # of another request
        b'{"op":"heartbeat_ack","id":100,"durable":false}',
        b'{"op":"error","id":100,"code":"unavailable"}',
        b"",
    ],
)
def test_a_wrong_answer_is_noticed(answer: bytes) -> None:
    connection, _ = opened(heartbeats(1))
    connection.send(1)
    connection.data_received(text(answer))

    assert (connection.answered, connection.wrong, connection.example) == (1, 1, answer)


def test_a_ping_is_answered_between_answers() -> None:
    talk = echo(20, 1)
    connection, wire = opened(talk)
    connection.send(1)
    wire.taken()
    connection.data_received(Frame(9, b"42").serialize(mask=False) + text(talk.answers[0].encode()))

    assert requests_in(wire.taken()) == [b"42"]
    assert connection.answered == 1


def test_a_close_is_told_with_its_reason() -> None:
    connection, wire = opened(heartbeats(1))
    connection.data_received(Frame(8, b"\x11\x4dtoo many").serialize(mask=False))

    assert connection.end_reason == "the server closed with 4429 too many"
    assert connection.close_code == 4429
    assert wire.closing


def test_in_a_line_the_one_that_waited_longest_asks_next() -> None:
    talk = echo(20, 1)
    (first, wire_a), (second, wire_b) = opened(talk), opened(talk)
    line = deque([second])
    for each in (first, second):
        each.line, each.running = line, True
    first.send(1)
    first.data_received(text(talk.answers[0].encode()))

    assert [first.asked, second.asked] == [1, 1]
    assert list(line) == [first]
    assert len(requests_in(wire_b.taken())) == 1
    assert len(requests_in(wire_a.taken())) == 1


def test_a_timed_connection_has_a_latency_for_each_answer() -> None:
    talk = echo(20, 2)
    connection, _ = opened(talk, Timed)
    assert isinstance(connection, Timed)
    connection.running = True
    connection.send(2)
    connection.data_received(b"".join(text(each.encode()) for each in talk.answers[:2]))

    assert len(connection.latencies) == 2
    assert all(latency >= 0 for latency in connection.latencies)


async def test_a_refused_handshake_is_told_in_words() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = Connection(Script(heartbeats(1)))
        with pytest.raises(BenchError, match="404 Not Found"):
            await connection.open(Target(f"ws://127.0.0.1:{port}/ws"))


def test_a_target_keeps_the_query_of_its_url() -> None:
    target = Target("ws://hub.example/ws?namespace=bench-1")

    assert (target.host, target.port) == ("hub.example", 80)
    assert target.upgrade.startswith(b"GET /ws?namespace=bench-1 HTTP/1.1\r\nHost: hub.example\r\n")


def test_the_agents_of_the_bench_are_all_of_one_size() -> None:
    specs = [bench_spec(number) for number in (0, 1, 99, 123_456)]

    assert {len(encode(spec)) for spec in specs} == {len(encode(specs[0]))}
    assert {len(encode(spec.metadata)) for spec in specs} == {METADATA_BYTES}
    assert {len(spec.capabilities) for spec in specs} == {5}


def test_a_group_is_the_ten_agents_that_its_filter_finds() -> None:
    filter = group_filter(1)
    specs = [bench_spec(number) for number in range(100)]
    found = [
        spec.name
        for spec in specs
        if spec.type == filter.type and set(filter.capabilities or ()) <= set(spec.capabilities)
    ]

    assert len(found) == 10
    assert found == group_names(1)
    first = finds([filter], 10).requests[0]
    assert decode_request(first.encode()) == Find(id=100, filter=filter)
