"""What reaches the transport, and when; on a transport that records."""

from __future__ import annotations

import asyncio
import errno

import pytest
import structlog
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from homeport_protocol.errors import CloseCode
from hub.net.intake import Intake
from hub.websocket.connection import Connection
from hub.websocket.frames import text_frame
from hub.websocket.outbox import HIGH_WATER, Flusher
from hub.websocket.protocol import MAX_CLOSE_REASON, fit_reason
from tests.hub.websocket.fakes import (
    FakeHub,
    FakeSession,
    ImpatientIntake,
    NotingTransport,
    client_frame,
    upgrade,
)

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Opened:
    """A connection past its handshake, on a noting transport; it parses all at once by default."""

    def __init__(self, hub: FakeHub | None = None, intake: Intake | None = None) -> None:
        self.hub = hub or FakeHub()
        self.state = ServerState()
        self.transport = NotingTransport()
        self.connection = Connection(self.hub, self.state, Flusher(), intake or ImpatientIntake())
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)
        self.connection.data_received(upgrade())
        assert self.transport.writes.pop().startswith(b"HTTP/1.1 101")

    @property
    def session(self) -> FakeSession:
        return self.hub.sessions[0]


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_text_frame_is_the_librarys(size: int):
    payload = b"x" * size
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_one_payload_for_many_peers_is_framed_once():
    payload = b"news" * 100
    assert text_frame(payload) is text_frame(payload)
    assert text_frame(b"other") == b"\x81\x05other"


@pytest.mark.parametrize("reason", ["", "short", "x" * 200, "é" * 100, "😀" * 40, "\ud800" * 3])
def test_a_reason_fits_a_close_frame(reason: str):
    fitted = fit_reason(reason)
    assert len(fitted.encode()) <= MAX_CLOSE_REASON
    assert reason.encode("utf-8", "replace").decode().startswith(fitted)


async def test_the_messages_of_one_turn_leave_in_one_write():
    opened = Opened()
    for number in range(50):
        opened.session.link.send(b"%d" % number)
    opened.session.link.ping()
    opened.connection.data_received(client_frame(PING, b"p") + client_frame(TEXT, b"echo") * 3)
    assert opened.transport.writes == []
    await turn()
    assert len(opened.transport.writes) == 1
    assert opened.transport.written.endswith(b"\x81\x04echo" * 3 + b"\x8a\x01p")
    opened.session.link.send(b"next turn")
    await turn()
    assert len(opened.transport.writes) == 2


async def test_a_close_leaves_in_the_same_write_behind_the_messages():
    opened = Opened()
    opened.session.link.send(b"a")
    opened.session.link.close(CloseCode.DONE, "bye")
    opened.session.link.send(b"late")
    await turn()
    assert opened.transport.writes == [b"\x81\x01a\x88\x05\x03\xe8bye"]


async def test_messages_wait_whole_while_the_transport_is_paused():
    opened = Opened()
    transport, link = opened.transport, opened.session.link
    transport.stuck = True
    big = b"x" * 50_000
    for _ in range(10):
        link.send(big)
    await turn()
    frame = len(text_frame(big))
    assert transport.held == 2 * frame  # above the mark after the second
    assert link.unsent == 10 * frame
    assert opened.session.calls == ["blocked"]
    transport.release()
    assert transport.held == 2 * frame
    assert link.unsent == 8 * frame
    assert opened.session.calls == ["blocked", "blocked", "drained"]
    for _ in range(4):
        transport.release()
    assert link.unsent == 0
    assert transport.written == text_frame(big) * 10
    assert opened.session.calls == ["blocked", *["blocked", "drained"] * 4, "drained"]


async def test_discard_drops_whole_messages_and_closes_right_behind_what_was_handed_on():
    opened = Opened()
    transport, link = opened.transport, opened.session.link
    transport.stuck = True
    for _ in range(10):
        link.send(b"x" * 50_000)
    await turn()
    link.close(CloseCode.READS_TOO_SLOWLY, "reads too slowly", discard=True)
    close = Frame(Opcode.CLOSE, (4413).to_bytes(2, "big") + b"reads too slowly")
    assert transport.written == text_frame(b"x" * 50_000) * 2 + close.serialize(mask=False)
    assert link.unsent == transport.held


async def test_a_close_without_discard_waits_its_turn_behind_a_paused_transport():
    opened = Opened()
    transport, link = opened.transport, opened.session.link
    transport.stuck = True
    for _ in range(5):
        link.send(b"x" * 50_000)
    await turn()
    link.close(CloseCode.DONE, "")
    await turn()
    assert transport.written == text_frame(b"x" * 50_000) * 2
    for _ in range(3):
        transport.release()
    assert transport.written == text_frame(b"x" * 50_000) * 5 + b"\x88\x02\x03\xe8"


async def test_a_session_that_held_back_is_called_though_the_transport_never_paused():
    opened = Opened()
    opened.session.link.send(b"x" * HIGH_WATER * 2)
    await turn()
    assert opened.session.calls == ["drained"]


async def test_many_small_messages_are_handed_on_in_slices():
    opened = Opened()
    message = b"x" * 1000
    for _ in range(300):
        opened.session.link.send(message)
    await turn()
    assert opened.transport.written == text_frame(message) * 300
    assert all(len(write) <= HIGH_WATER + 2000 for write in opened.transport.writes)


async def test_delivered_only_grows_and_keeps_its_value_when_the_connection_is_gone():
    opened = Opened()
    transport, link = opened.transport, opened.session.link
    start = link.delivered
    link.send(b"x" * 98)
    await turn()
    assert link.delivered == start + 100
    transport.stuck = True
    link.send(b"x" * 98)
    assert link.delivered == start + 100
    await turn()
    assert link.delivered == start + 100
    transport.release()
    assert link.delivered == start + 200
    opened.connection.connection_lost(None)
    assert link.delivered == start + 200
    assert link.unsent == 0
    assert opened.session.calls.count("closed") == 1
    assert opened.state.connections == set()


async def test_after_our_close_only_the_end_is_written():
    opened = Opened()
    opened.session.link.close(CloseCode.DONE, "")
    await turn()
    del opened.transport.writes[:]
    opened.connection.data_received(client_frame(PING, b"p") + client_frame(TEXT, b"x"))
    opened.connection.data_received(client_frame(CLOSE, b"\x03\xe8") + client_frame(PING))
    await turn()
    assert opened.transport.writes == []
    assert opened.transport.ended


@pytest.mark.parametrize("last", [client_frame(CLOSE, b"\x03\xe8"), client_frame(TEXT, mask=False)])
async def test_a_pong_that_waited_for_the_peer_to_read_is_dropped_at_the_end(last: bytes):
    opened = Opened()
    transport = opened.transport
    transport.stuck = True
    opened.session.link.send(b"x" * 2 * HIGH_WATER)
    await turn()
    opened.connection.data_received(client_frame(PING, b"waits") + last)
    assert transport.ended
    transport.release()
    assert not transport.aborted
    assert b"waits" not in transport.written


async def test_a_pong_that_waited_for_the_peer_to_read_is_not_sent_behind_our_close():
    opened = Opened()
    transport, link = opened.transport, opened.session.link
    transport.stuck = True
    link.send(b"x" * 2 * HIGH_WATER)
    await turn()
    opened.connection.data_received(client_frame(PING, b"p"))
    link.close(CloseCode.DONE, "")
    transport.release()
    assert transport.written.endswith(b"\x88\x02\x03\xe8")


async def test_a_peer_that_is_gone_when_its_end_is_read_is_no_fault_of_ours():
    opened = Opened()

    def gone() -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    opened.transport.write_eof = gone
    with structlog.testing.capture_logs() as logged:
        opened.connection.eof_received()
    assert logged == []
    assert opened.session.closed_times == 1


async def test_answers_of_one_turn_are_bounded_too():
    opened = Opened()
    opened.hub.unsent.max_bytes = 2**20
    opened.session.on_message = lambda me, _data: me.link.send(b"x" * 100_000)
    opened.connection.data_received(client_frame(TEXT, b"ask") * 100)
    assert len(opened.session.messages) == 12
    assert opened.session.link.unsent < 100
    await turn()
    reason = b"reads too slowly: beyond max_unsent_bytes"
    assert opened.transport.written == b"\x88\x2b" + (4413).to_bytes(2, "big") + reason


async def test_a_transport_that_fails_is_cut_off_and_the_session_told():
    opened = Opened()

    def broken(_data: bytes) -> None:
        raise RuntimeError("a bug")

    opened.transport.write = broken
    opened.session.link.send(b"x")
    await turn()
    assert opened.transport.aborted
    opened.connection.connection_lost(None)
    assert opened.session.closed_times == 1


async def test_uvicorns_shutdown_says_going_away():
    opened = Opened()
    opened.connection.shutdown()
    opened.connection.shutdown()
    await turn()
    assert opened.transport.written == b"\x88\x10\x03\xe9hub going away"


async def test_a_segment_full_of_frames_is_judged_slice_by_slice():
    hub = FakeHub()
    hub.max_rate = 1000
    opened = Opened(hub)
    opened.connection.data_received(client_frame(TEXT, b"x") * 10_000)
    assert 0 < len(opened.session.messages) <= 1000
    assert opened.transport.ended
    assert opened.transport.written.count(b"\x81\x01x") == len(opened.session.messages)
    assert (4429).to_bytes(2, "big") in opened.transport.written
