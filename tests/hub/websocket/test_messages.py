"""Messages, control frames and violations, through real sockets."""

from __future__ import annotations

import asyncio
import traceback
import tracemalloc

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from homeport_protocol.errors import CloseCode
from tests.hub.websocket.fakes import FakeSession, RawPeer, RunningHub, client_frame
from tests.support.waiting import until

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
async def test_messages_of_every_header_length_are_echoed(hub: RunningHub, size: int):
    async with connect(hub.url) as client:
        await client.send("x" * size)
        assert await client.recv() == "x" * size


async def test_a_message_at_the_bound_passes_and_one_byte_more_is_closed_with_1009(hub: RunningHub):
    async with connect(hub.url) as client:
        await client.send("x" * hub.max_frame_bytes)
        await client.recv()
        await client.send("x" * (hub.max_frame_bytes + 1))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1009


async def test_a_megabyte_frame_is_closed_with_1009_and_the_peer_reads_why(hub: RunningHub):
    async with connect(hub.url) as client:
        await client.send("x" * 2**20)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1009
    await until(lambda: hub.sessions[0].closed_times == 1)
    assert hub.sessions[0].messages == []


async def test_fragments_are_joined(hub: RunningHub):
    async with connect(hub.url) as client:
        await client.send(["one ", "two ", "", "three"])
        assert await client.recv() == "one two three"


async def test_fragments_beyond_the_bound_are_closed_with_1009(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    part = b"x" * (hub.max_frame_bytes // 2 + 1)
    peer.send(client_frame(TEXT, part, fin=False), client_frame(CONT, part))
    assert await peer.close_code() == 1009
    assert hub.sessions[0].messages == []


async def test_control_frames_may_come_between_fragments(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    peer.send(
        client_frame(TEXT, b"a", fin=False), client_frame(PING, b"p"), client_frame(CONT, b"b")
    )
    assert sorted([await peer.frame(), await peer.frame()]) == [("pong", b"p"), ("text", b"ab")]


async def test_an_endless_stream_of_empty_fragments_grows_no_memory(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    hub.max_rate = 10**9
    stream = client_frame(CONT, b"", fin=False) * 5_000
    peer.send(client_frame(TEXT, b"", fin=False), stream, client_frame(PING))
    assert (await peer.frame())[0] == "pong"
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(4):
        peer.send(stream, client_frame(PING))
        assert (await peer.frame())[0] == "pong"
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000  # one byte for each of the 20,000 would be more
    peer.send(client_frame(CONT, b"done"))
    assert await peer.frame() == ("text", b"done")


async def test_a_ping_gets_its_pong(hub: RunningHub):
    async with connect(hub.url) as client:
        await asyncio.wait_for(await client.ping(b"abc"), 5)


async def test_the_session_hears_the_pong_to_its_ping_once(hub: RunningHub):
    async with connect(hub.url):
        session = hub.sessions[0]
        session.link.ping()
        await until(lambda: "pong" in session.calls)
        assert session.calls.count("pong") == 1


async def test_pongs_that_answer_no_ping_are_not_passed_on(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    session = hub.sessions[0]
    session.link.ping()
    kind, payload = await peer.frame()
    assert kind == "ping"
    other = [b"", b"\0\0\0\0", b"\0\0\0\2", b"\xff\xff\xff\xff", payload + b"x"]
    peer.send(*(client_frame(PONG, data) for data in other), client_frame(TEXT, b"sync"))
    await peer.frame()
    assert "pong" not in session.calls
    peer.send(client_frame(PONG, payload), client_frame(PONG, payload), client_frame(TEXT, b"sync"))
    await peer.frame()
    assert session.calls.count("pong") == 1


async def test_of_several_pings_the_newest_pong_answers_all(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    session = hub.sessions[0]
    session.link.ping()
    session.link.ping()
    first, second = await peer.frame(), await peer.frame()
    peer.send(client_frame(PONG, second[1]), client_frame(PONG, first[1]), client_frame(TEXT))
    await peer.frame()
    assert session.calls.count("pong") == 1


@pytest.mark.parametrize("fin", [True, False])
async def test_a_binary_message_is_told_once_without_its_content(hub: RunningHub, fin: bool):
    peer = await RawPeer.connect(hub.port)
    peer.send(client_frame(BINARY, b"\0\1", fin=fin))
    if not fin:
        peer.send(client_frame(CONT, b"\2", fin=False), client_frame(CONT, b"\3"))
    peer.send(client_frame(TEXT, b"after"))
    assert await peer.frame() == ("text", b"after")
    assert hub.sessions[0].messages == [b"after"]
    assert hub.sessions[0].calls.count("binary") == 1


async def test_a_text_inside_a_binary_message_is_closed_with_1002_however_it_is_cut(
    hub: RunningHub,
):
    for pieces in ([BINARY], [TEXT]), ([BINARY, TEXT],):
        peer = await RawPeer.connect(hub.port)
        for opcodes in pieces:
            peer.send(*(client_frame(each, b"x", fin=each == TEXT) for each in opcodes))
            peer.send(client_frame(PING))
            kind, payload = await peer.frame()
        assert (kind, payload[:2]) == ("close", (1002).to_bytes(2, "big"))
    assert all(session.messages == [] for session in hub.sessions)


async def test_many_messages_in_one_segment_are_all_answered_in_order(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    messages = [b"%d" % number for number in range(3_000)]
    peer.send(*(client_frame(TEXT, message) for message in messages))
    answers = [await peer.frame() for _ in messages]
    assert answers == [("text", message) for message in messages]


async def test_frames_split_at_every_byte_are_read_the_same(hub: RunningHub):
    stream = b"".join(
        [
            client_frame(TEXT, b"first"),
            client_frame(TEXT, b"a", fin=False),
            client_frame(PING, b"p"),
            client_frame(CONT, b"b" * 130),
            client_frame(TEXT, "ünï".encode()),
        ]
    )
    peer = await RawPeer.connect(hub.port)
    session = hub.sessions[0]
    (connection,) = hub.connections
    for at in range(1, len(stream)):
        session.messages.clear()
        connection.data_received(stream[:at])
        connection.data_received(stream[at:])
        assert session.messages == [b"first", b"a" + b"b" * 130, "ünï".encode()]
        # The pong is queued by the piece that completes the ping.
        answers = [await peer.frame() for _ in range(4)]
        assert sorted(kind for kind, _ in answers) == ["pong", "text", "text", "text"]
    for byte in stream:
        connection.data_received(bytes([byte]))
    assert len(session.messages) == 6


@pytest.mark.parametrize(
    "frame",
    [
        client_frame(TEXT, b"x", mask=False),
        bytes([0x81 | 0x40, 0x80]) + b"\0\0\0\0",  # a reserved bit
        bytes([0x83, 0x80]) + b"\0\0\0\0",  # no such opcode
        client_frame(CONT, b"x"),  # continues nothing
        client_frame(PING, b"x", fin=False),  # control frames are whole
        client_frame(PING, b"x" * 126),
        client_frame(TEXT, b"", fin=False) + client_frame(TEXT),
        client_frame(CLOSE, b"\x03"),  # half a code
    ],
)
async def test_a_violation_is_closed_with_1002_and_ends_the_session(hub: RunningHub, frame: bytes):
    peer = await RawPeer.connect(hub.port)
    peer.send(client_frame(TEXT, b"good"), frame, client_frame(TEXT, b"late"))
    assert await peer.frame() == ("text", b"good")
    assert await peer.close_code() == 1002
    assert await peer.frame() == ("eof", b"")
    peer.writer.close()
    await until(lambda: hub.listener.open_connections == 0)
    assert hub.sessions[0].messages == [b"good"]
    assert hub.sessions[0].closed_times == 1


@pytest.mark.parametrize(
    "frame",
    [
        client_frame(TEXT, b"x"),
        client_frame(PING),
        client_frame(PONG),
        client_frame(CONT, b"", fin=False),
    ],
)
async def test_a_flood_of_any_frame_is_closed_with_4429(hub: RunningHub, frame: bytes):
    hub.max_rate = 500
    peer, neighbour = await RawPeer.connect(hub.port), await RawPeer.connect(hub.port)
    peer.send(client_frame(TEXT, b"", fin=frame[0] != 0), frame * 50_000)
    assert await peer.close_code() == CloseCode.RATE_LIMITED
    neighbour.send(client_frame(TEXT, b"still here"))
    assert await neighbour.frame() == ("text", b"still here")
    await until(lambda: hub.sessions[0].closed_times == 1)
    # Judged by the slice: at most the bound and one slice of frames were taken.
    assert len(hub.sessions[0].messages) <= hub.max_rate
    peer.vanish()
    await until(lambda: hub.listener.open_connections == 1)


async def test_frames_sent_at_the_rate_are_all_taken(hub: RunningHub):
    hub.max_rate = 3
    peer = await RawPeer.connect(hub.port)
    (connection,) = hub.connections
    for _ in range(5):
        peer.send(client_frame(TEXT, b"x") * 3)
        for _ in range(3):
            assert await peer.frame() == ("text", b"x")
        connection._frames_due -= 1.0  # a second goes by
    peer.send(client_frame(TEXT, b"x") * 5)
    assert await peer.close_code() == CloseCode.RATE_LIMITED


async def test_after_a_pause_a_burst_is_taken_and_a_larger_one_is_not(hub: RunningHub):
    hub.max_rate, hub.most_at_once = 1, 200
    peer, other = await RawPeer.connect(hub.port), await RawPeer.connect(hub.port)
    peer.send(client_frame(TEXT, b"x") * 200)
    for _ in range(200):
        assert await peer.frame() == ("text", b"x")
    other.send(client_frame(PING) * 300)
    assert await other.close_code() == CloseCode.RATE_LIMITED
    assert b'homeport_limits_applied_total{setting="max_rate"} 1.0' in hub.metrics.text()
    peer.vanish()


async def test_a_message_that_is_too_large_is_counted(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    peer.send(client_frame(TEXT, b"x" * (hub.max_frame_bytes + 1)))
    assert await peer.close_code() == CloseCode.TOO_LARGE
    assert b'homeport_limits_applied_total{setting="max_frame_bytes"} 1.0' in hub.metrics.text()


async def test_a_bug_in_a_session_closes_it_with_1011_and_neighbours_live(hub: RunningHub):
    def explode(session: FakeSession, data: bytes) -> None:
        if data == b"bomb":
            raise RuntimeError("a bug")
        session.link.send(data)

    hub.on_message = explode
    async with connect(hub.url) as victim, connect(hub.url) as neighbour:
        await victim.send("fine")
        assert await victim.recv() == "fine"
        await victim.send("bomb")
        with pytest.raises(ConnectionClosed):
            await victim.recv()
        assert victim.close_code == 1011
        await neighbour.send("alive")
        assert await neighbour.recv() == "alive"
    await until(lambda: hub.listener.open_connections == 0)
    assert [session.closed_times for session in hub.sessions] == [1, 1]


@pytest.mark.parametrize("method", ["pong", "received_binary", "closed"])
async def test_a_bug_in_any_method_of_a_session_stays_with_it(hub: RunningHub, method: str):
    peer, neighbour = await RawPeer.connect(hub.port), await RawPeer.connect(hub.port)

    def explode(*_args) -> None:
        raise RuntimeError("a bug")

    setattr(hub.sessions[0], method, explode)
    hub.sessions[0].link.ping()
    _, payload = await peer.frame()
    peer.send(client_frame(PONG, payload), client_frame(BINARY), client_frame(CLOSE, b"\x03\xe8"))
    assert await peer.close_code() in {1000, 1011}
    neighbour.send(client_frame(TEXT, b"alive"))
    assert await neighbour.frame() == ("text", b"alive")
    peer.writer.close()
    await until(lambda: hub.listener.open_connections == 1)


async def test_the_log_of_a_bug_says_where_and_shows_no_payload(hub: RunningHub):
    def explode(session: FakeSession, data: bytes) -> None:
        raise RuntimeError("a bug")

    hub.on_message = explode
    peer = await RawPeer.connect(hub.port)
    with structlog.testing.capture_logs() as logged:
        peer.send(client_frame(TEXT, b'{"session_token":"hush-hush"}'))
        assert await peer.close_code() == 1011
    (entry,) = logged
    error = entry.pop("exc_info")
    assert str(error) == "a bug"
    assert entry["event"] == "connection failed"
    assert entry["namespace"] == "default"
    assert "127.0.0.1" in entry["peer"]
    assert "hush-hush" not in str(entry) + "".join(traceback.format_exception(error))
