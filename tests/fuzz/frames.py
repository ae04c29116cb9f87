"""Streams of frames: valid, broken, mutated and cut; judged by a plain reading of RFC 6455."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from tests.fuzz.answers import check_message
from tests.fuzz.reference import BINARY, CLOSE, CONT, PING, PONG, TEXT, Reading, read
from tests.fuzz.target import Found, Target
from tests.hub.websocket.rfc6455 import CASES, LIMIT, frame
from tests.support.waiting import LIMIT as LIMIT_SECONDS
from tests.support.wire import Message, Wire

SENTINEL = b"the last ping"


class Stream(NamedTuple):
    """The bytes of one connection behind its handshake, and where they are cut into segments."""

    pieces: Sequence[bytes]
    cuts: Sequence[float]

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


_requests = st.sampled_from(
    [
        {"op": "ping", "id": 1},
        {"op": "find", "id": 2, "filter": {}},
        {"op": "get", "id": 3, "agent_id": "550e8400-e29b-41d4-a716-446655440000"},
        {"op": "heartbeat", "id": 4},
        {"op": "nothing", "id": 5},
    ]
).map(lambda message: json.dumps(message).encode())
_texts = st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
_sizes = st.sampled_from([0, 1, 125, 126, 127, 4095, 4096, 65_535, LIMIT, LIMIT + 1])
_payloads = st.one_of(
    _requests, _texts, st.binary(max_size=140), _sizes.map(lambda size: b" " * size)
)
_reserved = st.one_of(st.just(0), st.just(0), st.integers(0, 7))


@st.composite
def _frames(draw: st.DrawFn) -> bytes:
    opcode = draw(st.one_of(st.sampled_from([CONT, TEXT, TEXT, BINARY, CLOSE, PING, PONG])))
    payload = draw(_payloads)
    if opcode >= CLOSE and draw(st.booleans()):
        payload = payload[:125]
    if opcode == CLOSE and draw(st.booleans()):
        payload = struct.pack("!H", draw(st.integers(0, 65_535))) + payload[:123]
    fitting = [form for form, most in ((0, 125), (2, 65_535), (8, 2**63)) if len(payload) <= most]
    form = draw(st.sampled_from([fitting[0], *fitting]))
    fin = draw(st.one_of(st.just(True), st.booleans()))
    return frame(opcode, payload, fin=fin, rsv=draw(_reserved), form=form)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A frame with one byte changed, left out or twice, or without its end."""
    made = draw(_frames())
    at = draw(st.integers(0, min(len(made) - 1, 16)))
    match draw(st.sampled_from(["change", "leave out", "repeat", "cut"])):
        case "change":
            return made[:at] + bytes([draw(st.integers(0, 255))]) + made[at + 1 :]
        case "leave out":
            return made[:at] + made[at + 1 :]
        case "repeat":
            return made[:at] + made[at : at + 1] + made[at:]
        case _:
            return made[:at]


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """A whole text, perhaps in fragments with control frames between, that breaks no rule."""
    text = draw(st.one_of(_requests, st.text(max_size=200).map(str.encode)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    made = b""
    for number, part in enumerate(parts):
        if number and draw(st.booleans()):
            made += frame(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125)))
        made += frame(CONT if number else TEXT, part, fin=number == len(parts) - 1)
    return made


_broken = st.one_of(
    _frames(),
    _mutated(),
    st.binary(max_size=60),
    st.sampled_from([case.sent for case in CASES.values()]),
)
_pieces = st.one_of(_messages(), _messages(), _messages(), _broken)
streams = st.builds(
    Stream,
    st.lists(_pieces, min_size=1, max_size=12),
    st.lists(st.floats(0, 1), max_size=6).map(sorted),
)


def send(target: Target, stream: Stream) -> int:
    """Send a stream on a connection of its own, and judge all that comes back; raises Found.

    Returns the number of frames that it holds.
    """
    expected = read(stream.data, LIMIT)
    last = not expected.partial and expected.closed is None and expected.violation is None
    wire = Connection(target)
    try:
        data = stream.data
        cuts = [round(cut * len(data)) for cut in stream.cuts]
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            wire.send_bytes(data[start:end])
        if last:
            if not expected.open_message:
                wire.send(b'{"op":"ping","id":"last"}')
                wire.listen_until(lambda: b'"last"' in wire.texts[-1:][0] if wire.texts else False)
            wire.send_bytes(frame(PING, SENTINEL))
            wire.listen_until(lambda: SENTINEL in wire.pongs)
        elif not expected.partial:
            wire.listen_until(lambda: False)
    finally:
        wire.drop()
    if wire.violation is not None:
        raise Found(f"the hub's own frames are broken: {wire.violation}")
    _judge(expected, wire)
    return expected.frames


def _judge(expected: Reading, wire: Connection) -> None:
    # Ours: a binary message, or ten malformed ones in a row. Then nothing more is answered, even
    # where the frame behind it is a violation, and is closed with that.
    ours = expected.binaries > 0 or len(expected.texts) >= 10
    if wire.code == 4400 and not ours:
        raise Found("closed with 4400 without a reason")
    if ours and wire.code in (4400, expected.violation):
        return
    if expected.partial and not wire.code:
        return  # it was not waited for
    pongs = [pong for pong in wire.pongs if pong != SENTINEL]
    if pongs != expected.pings:
        raise Found(f"pongs {pongs!r} for the pings {expected.pings!r}")
    texts = [text for text in wire.texts if b'"last"' not in text]
    # What was asked before the end of a connection need not be answered.
    answered = wire.close is None and not expected.open_message
    if len(texts) > len(expected.texts) or (answered and len(texts) < len(expected.texts)):
        raise Found(f"{len(texts)} answers to {len(expected.texts)} messages")
    if expected.violation is not None and wire.code != expected.violation:
        raise Found(f"closed with {wire.code} for {expected.violation}")
    if expected.closed is not None and wire.close_payload != expected.closed:
        raise Found(f"the close frame {expected.closed!r} was answered with {wire.close_payload!r}")
    if expected.closed is None and expected.violation is None and wire.code:
        raise Found(f"closed with {wire.code} without a reason")


class Connection(Wire):
    """A connection that keeps what it got, and checks it against the contract."""

    def __init__(self, target: Target) -> None:
        self.texts: list[bytes] = []
        self.pongs: list[bytes] = []
        self.close_payload = b""
        super().__init__(target.hub.url, namespace=target.namespace)

    @property
    def code(self) -> int:
        """The code that the hub closed with; 0: it did not, or without one."""
        return int.from_bytes(self.close_payload[:2], "big")

    @property
    def violation(self) -> Exception | None:
        """What is wrong with the frames of the hub."""
        wrong = self._protocol.parser_exc
        return None if isinstance(wrong, EOFError) else wrong

    def listen_until(self, come: Callable[[], bool]) -> None:
        """Read until it has come, or the hub has ended the stream; raises Found."""
        limit = time.monotonic() + LIMIT_SECONDS
        while not come() and self.closed_at is None:
            if not self._pump(limit - time.monotonic()) and self.closed_at is None:
                raise Found("the hub neither answered nor closed")

    def _frame(self, received: Frame) -> None:
        payload = bytes(received.data)
        if received.opcode is Opcode.PONG:
            self.pongs.append(payload)
        elif received.opcode is Opcode.CLOSE:
            self.close_payload = payload
        elif received.opcode is Opcode.TEXT:
            self.texts.append(payload)
            check_message(json.loads(payload))
        super()._frame(received)

    @property
    def answers(self) -> list[Message]:
        """All answers so far, in order."""
        return self._answers
