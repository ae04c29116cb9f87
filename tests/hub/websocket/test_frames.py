"""Whole messages bypass the library: the result may not depend on how the stream is cut."""

from __future__ import annotations

import random

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from hub.websocket.frames import AT_ONCE, MUCH, whole_messages
from tests.hub.websocket.fakes import FakeHub, client_frame
from tests.hub.websocket.test_writing import Opened

CONT, TEXT, CLOSE, PING = 0, 1, 8, 9

LOOKS_LIKE_A_FRAME = b"\xe4" + client_frame(TEXT, b"fake")  # and is UTF-8, as texts must be


def read_by_library(stream: bytes, max_size: int) -> list[bytes]:
    """The messages of a stream, joined from their fragments, until the library ends it."""
    library = ServerProtocol(state=State.OPEN, max_size=max_size)
    library.receive_data(stream)
    messages: list[bytes] = []
    fragments = b""
    for event in library.events_received():
        assert isinstance(event, Frame)
        if event.opcode in {Opcode.TEXT, Opcode.CONT}:
            fragments += event.data
            if event.fin:
                messages.append(fragments)
                fragments = b""
        elif event.opcode is Opcode.CLOSE:
            break
    return messages


def any_frames(chance: random.Random) -> bytes:
    """One message in one of its forms, a ping, or a close."""
    size = chance.choice([0, 1, 4, 125, 126, 127, 300, 2_000, MUCH, 9_000])
    # Payloads that look like frames: a reader out of step would take them for some.
    whole = (LOOKS_LIKE_A_FRAME * size)[:size].decode(errors="ignore").encode()
    payload = whole.ljust(size)
    match chance.randrange(12):
        case 0:
            return client_frame(PING, payload[:125])
        case 1:
            half = size // 2
            return b"".join(
                [
                    client_frame(TEXT, payload[:half], fin=False),
                    client_frame(PING, b"between"),
                    client_frame(CONT, payload[half:]),
                ]
            )
        case 2 if chance.random() < 0.2:
            return client_frame(CLOSE, (1000).to_bytes(2, "big"))
        case _:
            return masked(payload, chance.choice([b"\0" * 4, chance.randbytes(4)]))


def masked(payload: bytes, mask: bytes) -> bytes:
    frame = client_frame(TEXT, payload)
    head = frame[: len(frame) - len(payload) - 4]
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@pytest.mark.parametrize("seed", range(60))
async def test_a_stream_is_read_as_the_library_reads_it_however_it_is_cut(seed: int):
    chance = random.Random(seed)
    hub = FakeHub()
    hub.max_frame_bytes = chance.choice([2_500, 64 * 1024])
    stream = b"".join(any_frames(chance) for _ in range(chance.randrange(1, 25)))
    opened = Opened(hub)
    at = 0
    while at < len(stream):
        size = chance.choice([1, 2, 3, 4, 6, 8, 50, 700, MUCH, 3 * MUCH])
        opened.connection.data_received(stream[at : at + size])
        at += size
    assert opened.session.messages == read_by_library(stream, hub.max_frame_bytes)


@pytest.mark.parametrize("cut", [2, 6])
async def test_a_payload_that_looks_like_frames_is_none_when_its_head_came_before(cut: int):
    opened = Opened()
    first, payload = LOOKS_LIKE_A_FRAME[:1], LOOKS_LIKE_A_FRAME[1:]
    begun = client_frame(PING) + client_frame(TEXT, first, fin=False)
    stream = begun + client_frame(CONT, payload) + client_frame(TEXT, b"next")
    at = len(begun) + cut
    opened.connection.data_received(stream[:at])
    opened.connection.data_received(stream[at:])
    assert opened.session.messages == [first + payload, b"next"]


def test_few_messages_are_taken_at_once_and_none_behind_much():
    small = client_frame(TEXT, b"x")
    assert whole_messages(small * 100, 100) == ([b"x"] * AT_ONCE, len(small) * AT_ONCE)
    large = client_frame(TEXT, b"x" * MUCH)
    assert whole_messages(large + small, 10_000) == ([b"x" * MUCH], len(large))


@pytest.mark.parametrize(
    "other",
    [
        client_frame(PING, b"p"),
        client_frame(TEXT, b"part", fin=False),
        client_frame(TEXT, b"unmasked", mask=False),
        client_frame(TEXT, b"x" * 101),
        client_frame(TEXT, b"cut short")[:-1],
        b"\xc1\x80\0\0\0\0",  # a reserved bit
        b"\x81\xfe\0\x01\0\0\0\0x",  # a length in a longer form than it needs
        client_frame(TEXT, b"\xe2\x82"),  # not UTF-8
        b"\x81",
    ],
)
def test_what_needs_judgement_is_left_to_the_library(other: bytes):
    known = client_frame(TEXT, b"one") + client_frame(TEXT) + client_frame(TEXT, b"x" * 100)
    expected = ([b"one", b"", b"x" * 100], len(known))
    assert whole_messages(known + other, max_size=100) == expected
    assert whole_messages(other, max_size=100) == ([], 0)
