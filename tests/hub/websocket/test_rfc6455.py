"""RFC 6455, case by case, through real sockets; and however the stream is cut."""

from __future__ import annotations

import asyncio
import random
import struct

import pytest

from tests.hub.websocket.fakes import OPCODES, RawPeer, RunningHub
from tests.hub.websocket.rfc6455 import CASES, CLOSE, LIMIT, Case, closing, frame
from tests.hub.websocket.test_writing import Opened

Frames = list[tuple[str, bytes]]

SHORT = 300
"""Bytes of a stream that is cut at every byte; longer ones are cut in 50 places, from a seed."""


def check(case: Case, came: Frames) -> None:
    """Pongs may overtake texts and texts pongs; nothing may follow a close frame."""
    closes = [payload for kind, payload in came if kind == "close"]
    if case.close is None:
        assert closes == []
    else:
        assert [kind for kind, _ in came].index("close") == len(came) - 1, came
        if isinstance(case.close, int):
            assert closes[0][:2] == closing(case.close)
        else:
            assert closes[0] == case.close
    for kind in ("text", "pong"):
        assert [each for each in came if each[0] == kind] == [
            each for each in case.back if each[0] == kind
        ]


async def read_all(peer: RawPeer) -> Frames:
    """All frames until the end of the stream."""
    came: Frames = []
    while (each := await peer.frame()) != ("eof", b""):
        came.append(each)
    return came


def split(data: bytes) -> Frames:
    """The frames of what a server has written."""
    came: Frames = []
    while data:
        size, head = data[1], 2
        if size == 126:
            (size,), head = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), head = struct.unpack("!Q", data[2:10]), 10
        came.append((OPCODES[data[0] & 15], data[head : head + size]))
        data = data[head + size :]
    return came


@pytest.mark.parametrize("name", CASES)
async def test_a_client_that_sends_this_gets_that(hub: RunningHub, name: str):
    case = CASES[name]
    assert hub.max_frame_bytes == LIMIT
    peer = await RawPeer.connect(hub.port)
    peer.send(case.sent)
    if case.close is None:
        peer.send(frame(CLOSE, closing(1000, b"no more")))
        came = await read_all(peer)
        assert came.pop() == ("close", closing(1000, b"no more"))
    else:
        came = await read_all(peer)  # the server also ends the stream
    check(case, came)
    peer.vanish()


@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_wherever_the_stream_is_cut(name: str):
    case = CASES[name]
    size = len(case.sent)
    places = range(1, size)
    chance = random.Random(size)
    for cut in places if size <= SHORT else sorted(chance.sample(places, 50)):
        await cut_at(case, [cut])
    if size <= SHORT:
        await cut_at(case, list(places))
    await cut_at(case, list(range(997, size, 997)))


async def cut_at(case: Case, places: list[int]) -> None:
    opened = Opened()
    for start, end in zip([0, *places], [*places, len(case.sent)], strict=True):
        opened.connection.data_received(case.sent[start:end])
        if opened.transport.ended:
            break
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    check(case, split(opened.transport.written))
    assert opened.transport.ended is (case.close is not None)
    opened.connection.connection_lost(None)


async def test_frames_directly_behind_the_handshake_are_read(hub: RunningHub):
    case = CASES["a ping between fragments"]
    peer = await RawPeer.connect(hub.port, early=case.sent)
    check(case, [await peer.frame() for _ in case.back])
    peer.vanish()
