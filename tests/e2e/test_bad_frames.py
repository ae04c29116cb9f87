"""Frames that are too large, broken, half, or far too many."""

from __future__ import annotations

import contextlib
import struct
import time
from typing import Any

import pytest

from tests.e2e.records import SOMEONE
from tests.support.bad_values import BAD
from tests.support.hub_process import Hub
from tests.support.neighbours import Neighbour, assert_error
from tests.support.wire import ClosedError, Wire, frame

pytestmark = pytest.mark.usefixtures("noticed_nothing")


def test_a_binary_frame_closes_with_4400(wire: Wire) -> None:
    wire.send_bytes(frame(2, b'{"op":"ping","id":1}'))
    assert wire.closing()[0] == 4400


def test_a_binary_frame_of_an_agent_ends_its_connection_like_any_loss(
    wire: Wire, neighbour: Neighbour
) -> None:
    registered = wire.register("binary")
    watcher = neighbour.place.watcher({"name": "binary"})
    wire.send_bytes(frame(2, b"\x00" * 100))
    assert wire.closing()[0] == 4400
    assert watcher.event("lost")["agent"]["id"] == registered["agent_id"]


def test_a_frame_of_one_mebibyte_closes_with_1009(wire: Wire) -> None:
    wire.send(b"x" * 1_048_576)
    assert wire.closing()[0] == 1009


def test_100000_brackets_are_above_the_frame_bound_and_close_with_1009(wire: Wire) -> None:
    wire.send(b"[" * 100_000)
    assert wire.closing()[0] == 1009


def test_100000_brackets_within_a_wider_bound_are_a_bad_request(start_hub: Any, enter: Any) -> None:
    hub = start_hub("--redis", "memory://", "--max-frame-bytes", "1048576")
    wire = enter(hub).connect()
    for data in (b"[" * 100_000, b'{"op":' + b"[" * 100_000, b"9" * 1_000_000):
        wire.send(data)
        assert_error(wire.answer(), BAD, None, None)
        wire.ping()


def test_the_largest_frame_is_64_kibibytes(wire: Wire) -> None:
    message = b'{"op":"ping","id":1}'
    wire.send(message + b" " * (65_536 - len(message)))
    assert wire.answer()["op"] == "pong"
    wire.send(message + b" " * (65_537 - len(message)))
    assert wire.closing()[0] == 1009


def test_fragments_are_put_together_and_bounded_together(wire: Wire) -> None:
    wire.send_bytes(
        frame(1, b'{"op":"pi', fin=False)
        + frame(9, b"a ping in between")
        + frame(0, b'ng","i', fin=False)
        + frame(0, b'd":1}')
    )
    assert wire.answer()["op"] == "pong"
    wire.send_bytes(frame(1, b" " * 40_000, fin=False))
    wire.send_bytes(frame(0, b" " * 40_000, fin=True))
    assert wire.closing()[0] == 1009


BROKEN_FRAMES = {
    "not masked": frame(1, b"{}", masked=False),
    "a reserved bit, as compression sets": frame(1, b"{}", reserved=4),
    "a reserved opcode": frame(3, b"{}"),
    "a reserved control opcode": frame(0xB, b""),
    "a fragmented ping": frame(9, b"", fin=False),
    "a ping of 126 bytes": frame(9, b"x" * 126),
    "a continuation of nothing": frame(0, b"{}"),
    "a new message inside another": frame(1, b"{", fin=False) + frame(1, b"}"),
    "a close frame of one byte": frame(8, b"x"),
    "a length not in its shortest form": b"\x81\xfe\x00\x02" + bytes(4) + b"{}",
    "a length of 2 to the 63": b"\x81\xff\x80" + bytes(7),
}


@pytest.mark.parametrize("data", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
def test_what_is_no_websocket_frame_closes_with_1002(wire: Wire, data: bytes) -> None:
    """RFC 6455: a protocol error of the websocket itself, below the contract's messages."""
    wire.send_bytes(data)
    assert wire.closing()[0] == 1002


NOT_UTF8 = {
    "an id": b'{"op":"ping","id":"\xff\xfe"}',
    "an id, cut": b'{"op":"ping","id":"\xe2\x82"}',
    "an overlong NUL": b'{"op":"ping","id":"\xc0\x80"}',
    "a surrogate": b'{"op":"ping","id":"\xed\xa0\x80"}',
    "a field that is ignored": b'{"op":"ping","id":1,"surplus":"\xff"}',
    "UTF-16": '{"op":"ping","id":1}'.encode("utf-16"),
}


@pytest.mark.parametrize("data", NOT_UTF8.values(), ids=NOT_UTF8.keys())
def test_a_text_that_is_not_utf8_closes_with_1007(neighbour: Neighbour, data: bytes) -> None:
    for sent in (frame(1, data), frame(1, data[:20], fin=False) + frame(0, data[20:])):
        wire = neighbour.place.connect()
        wire.ping()
        wire.send_bytes(sent)
        assert wire.closing()[0] == 1007


@pytest.mark.parametrize("code", [999, 1005])
def test_a_close_frame_with_a_code_that_nobody_may_send_closes_with_1002(
    wire: Wire, code: int
) -> None:
    wire.send_bytes(frame(8, struct.pack("!H", code)))
    assert wire.closing()[0] == 1002


def test_a_close_frame_whose_reason_is_not_utf8_closes_with_1007(wire: Wire) -> None:
    wire.send_bytes(frame(8, b"\x03\xe8\xff\xfe"))
    assert wire.closing()[0] == 1007


def test_half_a_frame_and_then_silence_harms_nobody(neighbour: Neighbour) -> None:
    wires = [neighbour.place.connect() for _ in range(20)]
    for wire in wires:
        wire.send_bytes(frame(1, b"x" * 1000)[:500])
    neighbour.check()
    for wire in wires:
        wire.reset()


FLOODS = {
    "messages": frame(1, b'{"op":"ping","id":1}'),
    "pings": frame(9, b""),
    "pongs": frame(10, b""),
    "empty fragments": frame(0, b"", fin=False),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_held_up_or_closed_with_4429_and_the_others_go_on(
    shared_hub: Hub, neighbour: Neighbour, name: str
) -> None:
    """20,000 frames at once: those above the bound are refused, and no other client waits."""
    wire = neighbour.place.connect()
    if name == "empty fragments":
        wire.send_bytes(frame(1, b"", fin=False))
    for _ in range(20):
        wire.send_bytes(FLOODS[name] * 1_000)
        began = time.monotonic()
        neighbour.wire.ping()
        assert time.monotonic() - began < 2
    wire.drain()
    if name == "empty fragments":
        wire.send_bytes(frame(0, b'{"op":"ping","id":1}'))
    else:
        wire.send('{"op":"ping","id":1}')
    with contextlib.suppress(ClosedError):
        answer = wire.answer()
        assert answer["op"] == "pong" or answer["code"] == "rate_limited", answer
        return
    assert wire.closing()[0] == 4429


# -- ten in a row --------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"hello", b'{"op":"nonsense","id":1}', b'{"op":"get","id":1}'])
def test_ten_malformed_messages_in_a_row_close_with_4400(wire: Wire, data: bytes) -> None:
    for _ in range(9):
        wire.send(data)
        assert wire.answer()["op"] == "error"
    wire.send(data)
    with pytest.raises(ClosedError) as closed:  # noqa: PT012 - the tenth may be answered first
        wire.answer()
        wire.answer()
    assert closed.value.code == 4400


def test_one_good_message_among_nine_bad_ones_starts_the_count_anew(wire: Wire) -> None:
    for _ in range(4):
        for _ in range(9):
            wire.send(b"hello")
            assert wire.answer()["op"] == "error"
        wire.ping()


def test_refused_but_well_formed_requests_never_close_the_connection(wire: Wire) -> None:
    for _ in range(25):
        assert wire.ask("heartbeat")["code"] == "not_registered"
        assert wire.ask("get", agent_id=SOMEONE)["code"] == "not_found"
    wire.ping()
