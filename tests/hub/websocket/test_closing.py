"""How websockets end, and peers that do not read, through real sockets."""

from __future__ import annotations

import asyncio
import os

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import hub.websocket.close_timer as hub_closing
from homeport_protocol.errors import CloseCode
from hub.websocket.outbox import HIGH_WATER
from tests.hub.websocket.fakes import FakeSession, RawPeer, RunningHub, client_frame
from tests.support.waiting import until

CONT, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
CHUNK = b"x" * 20_000


async def stuff(session: FakeSession, at_least: int) -> None:
    """Send until so much stays unsent that nothing moves any more."""
    while session.link.unsent < at_least:
        assert session.closed_times == 0
        session.link.send(CHUNK)
        await asyncio.sleep(0)
    delivered = -1
    while delivered != session.link.delivered:
        delivered = session.link.delivered
        await asyncio.sleep(0.02)


async def test_the_sessions_close_has_its_code_and_reason_behind_what_was_queued(hub: RunningHub):
    async with connect(hub.url) as client:
        link = hub.sessions[0].link
        link.send(b"last words")
        link.close(CloseCode.FENCED, "a newer session took over")
        link.send(b"too late")
        link.ping()
        assert await client.recv() == "last words"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4409
        assert client.close_reason == "a newer session took over"
    await until(lambda: hub.sessions[0].closed_times == 1)


async def test_a_second_close_changes_nothing(hub: RunningHub):
    async with connect(hub.url) as client:
        link = hub.sessions[0].link
        link.close(CloseCode.DONE, "")
        link.close(CloseCode.INTERNAL, "", discard=True)
        await client.wait_closed()
        assert client.close_code == 1000


async def test_a_long_reason_is_cut_between_characters(hub: RunningHub):
    async with connect(hub.url) as client:
        hub.sessions[0].link.close(CloseCode.DONE, "é" * 200)
        await client.wait_closed()
        assert client.close_reason == "é" * 61


async def test_nothing_is_received_after_the_session_has_closed(hub: RunningHub):
    def close_at_once(session: FakeSession, data: bytes) -> None:
        session.link.close(CloseCode.PROTOCOL_ERROR, "enough")

    hub.on_message = close_at_once
    peer = await RawPeer.connect(hub.port)
    peer.send(*[client_frame(TEXT, b"x")] * 10, client_frame(PING, b"p"))
    assert await peer.close_code() == 4400
    peer.send(client_frame(TEXT, b"y"), client_frame(PING, b"p"))
    peer.send(client_frame(CLOSE, b"\x11\x30"))
    assert await peer.frame() == ("eof", b"")
    assert hub.sessions[0].messages == [b"x"]


async def test_the_peers_close_comes_after_the_answers_to_what_it_sent_before(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    peer.send(client_frame(TEXT, b"ask"), client_frame(CLOSE, b"\x03\xe8bye"))
    assert await peer.frame() == ("text", b"ask")
    assert await peer.frame() == ("close", b"\x03\xe8bye")
    assert await peer.frame() == ("eof", b"")
    assert hub.sessions[0].closed_times == 1


async def test_a_session_that_closes_while_the_peers_close_is_under_way_hears_it_once(
    hub: RunningHub,
):
    def answer_and_close(session: FakeSession, data: bytes) -> None:
        session.link.send(b"done")
        session.link.ping()
        session.link.close(CloseCode.DONE, "")
        session.link.send(b"too late")
        assert session.closed_times == 0

    hub.on_message = answer_and_close
    peer = await RawPeer.connect(hub.port)
    with structlog.testing.capture_logs() as logged:
        # What begins with a control frame is the library's to read, as far as the close.
        frames = [client_frame(PONG, b""), *[client_frame(TEXT, b"x")] * 2]
        peer.send(*frames, client_frame(CLOSE, b"\x03\xe9"))
        assert await peer.frame() == ("text", b"done")
        assert await peer.frame() == ("close", b"\x03\xe9")
        assert await peer.frame() == ("eof", b"")
        peer.writer.close()
        await until(lambda: hub.listener.open_connections == 0)
    assert logged == []
    assert hub.sessions[0].messages == [b"x"]
    assert hub.sessions[0].closed_times == 1


async def test_a_peer_that_vanishes_is_told_once(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    peer.vanish()
    await until(lambda: hub.sessions[0].closed_times == 1)
    await until(lambda: hub.listener.open_connections == 0)
    assert hub.sessions[0].closed_times == 1
    assert hub.connections == set()
    link = hub.sessions[0].link
    link.send(b"x")
    link.ping()
    link.pause_reading()
    link.resume_reading()
    link.close(CloseCode.DONE, "", discard=True)
    assert link.unsent == 0
    assert link.delivered >= 0


async def test_a_peer_that_only_stops_sending_is_gone_too(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    peer.send(client_frame(TEXT, b"ask"))
    peer.writer.write_eof()
    assert await peer.frame() == ("text", b"ask")
    assert await peer.frame() == ("eof", b"")
    await until(lambda: hub.listener.open_connections == 0)
    assert hub.sessions[0].closed_times == 1


async def test_a_peer_that_does_not_answer_the_close_is_cut_off(hub: RunningHub, monkeypatch):
    monkeypatch.setattr(hub_closing, "CLOSE_TIMEOUT", 0.1)
    peer = await RawPeer.connect(hub.port)
    hub.sessions[0].link.close(CloseCode.LEASE_LOST, "")
    assert await peer.close_code() == 4408
    assert await peer.frame() == ("eof", b"")
    await until(lambda: hub.listener.open_connections == 0)
    assert hub.sessions[0].closed_times == 1


async def test_a_peer_that_keeps_the_line_after_its_close_is_cut_off(hub: RunningHub, monkeypatch):
    monkeypatch.setattr(hub_closing, "CLOSE_TIMEOUT", 0.1)
    peer = await RawPeer.connect(hub.port)
    peer.send(client_frame(CLOSE, b"\x03\xe8"))
    assert await peer.close_code() == 1000
    await until(lambda: hub.listener.open_connections == 0)


async def test_what_a_slow_reader_leaves_stays_unsent_until_it_reads(hub: RunningHub):
    peer = await RawPeer.connect(hub.port, receive_buffer=8192)
    session = hub.sessions[0]
    await stuff(session, 2**20)
    assert session.link.unsent >= 2**20
    (connection,) = hub.connections
    held = connection.transport.get_write_buffer_size()
    assert held <= HIGH_WATER + len(CHUNK) + 10
    before = session.link.delivered
    session.calls.clear()
    messages = 0
    while session.link.unsent:
        assert await peer.frame() == ("text", CHUNK)
        messages += 1
    assert session.link.delivered > before + 2**20 - 1
    assert "drained" in session.calls
    assert messages > 0


async def test_a_slow_reader_that_comes_back_finds_whole_messages_and_then_4413(hub: RunningHub):
    peer = await RawPeer.connect(hub.port, receive_buffer=8192)
    session = hub.sessions[0]
    await stuff(session, 2**20)
    session.link.close(CloseCode.READS_TOO_SLOWLY, "reads too slowly", discard=True)
    # Nothing but what the transport had, and the close frame, is left.
    assert session.link.unsent <= HIGH_WATER + len(CHUNK) + 50
    while True:
        kind, payload = await peer.frame()
        if kind == "close":
            break
        assert (kind, payload) == ("text", CHUNK)
    assert payload == (4413).to_bytes(2, "big") + b"reads too slowly"


async def test_a_reader_that_never_comes_back_is_cut_off_after_the_linger(
    hub: RunningHub, monkeypatch
):
    monkeypatch.setattr(hub_closing, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(hub_closing, "LINGER", 0.3)
    peer = await RawPeer.connect(hub.port, receive_buffer=8192)
    session = hub.sessions[0]
    await stuff(session, 2**20)
    started = asyncio.get_running_loop().time()
    session.link.close(CloseCode.READS_TOO_SLOWLY, "", discard=True)
    await until(lambda: hub.listener.open_connections == 0)
    assert asyncio.get_running_loop().time() - started >= 0.29
    assert session.closed_times == 1
    assert session.link.unsent == 0
    peer.vanish()


async def test_a_peer_that_hangs_up_with_a_full_pipe_is_cut_off_too(hub: RunningHub, monkeypatch):
    monkeypatch.setattr(hub_closing, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(hub_closing, "LINGER", 0.1)
    for last in (client_frame(CLOSE, b"\x03\xe8"), client_frame(CONT, b"violation"), b""):
        peer = await RawPeer.connect(hub.port, receive_buffer=8192)
        session = hub.sessions[-1]
        await stuff(session, 2**19)
        peer.send(last)
        if not last:
            peer.writer.write_eof()
        await until(lambda: hub.listener.open_connections == 0)
        assert session.closed_times == 1


async def test_pings_of_a_peer_that_does_not_read_cost_no_memory(hub: RunningHub):
    peer = await RawPeer.connect(hub.port, receive_buffer=8192)
    session = hub.sessions[0]
    await stuff(session, 2**18)
    unsent = session.link.unsent
    for _ in range(20):
        peer.send(client_frame(PING, os.urandom(125)) * 200, client_frame(TEXT, b"q"))
    peer.send(client_frame(PING, b"newest"))
    await until(lambda: len(session.messages) == 20)
    assert session.link.unsent <= unsent + 20 * 3
    pongs = []
    while b"newest" not in pongs:
        kind, payload = await peer.frame()
        if kind == "pong":
            pongs.append(payload)
    assert pongs == [b"newest"]


async def test_what_is_queued_behind_a_stuck_peer_is_bounded(hub: RunningHub):
    hub.unsent.max_bytes = 2**20
    peer = await RawPeer.connect(hub.port, receive_buffer=8192)
    session = hub.sessions[0]
    await stuff(session, 2**18)
    for _ in range(200):
        session.link.send(CHUNK)
    assert session.link.unsent <= HIGH_WATER + len(CHUNK) + 50
    assert await peer.close_code() == 4413


async def test_reading_can_be_paused_and_resumed(hub: RunningHub):
    peer = await RawPeer.connect(hub.port)
    session = hub.sessions[0]
    session.link.pause_reading()
    session.link.pause_reading()
    peer.send(client_frame(TEXT, b"held"))
    await asyncio.sleep(0.05)
    assert session.messages == []
    session.link.resume_reading()
    session.link.resume_reading()
    assert await peer.frame() == ("text", b"held")


async def test_closing_reads_on_so_that_the_peers_close_is_seen(hub: RunningHub, monkeypatch):
    monkeypatch.setattr(hub_closing, "CLOSE_TIMEOUT", 60.0)
    async with connect(hub.url) as client:
        link = hub.sessions[0].link
        link.pause_reading()
        link.close(CloseCode.DONE, "")
        await client.wait_closed()
    await until(lambda: hub.listener.open_connections == 0)


async def test_all_open_websockets_can_be_closed_at_once(hub: RunningHub):
    clients = [await connect(hub.url) for _ in range(20)]
    for connection in list(hub.connections):
        connection.close(CloseCode.GOING_AWAY, "retry in 1 s")
    for client in clients:
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1001, "retry in 1 s")
    await until(lambda: not hub.connections)
