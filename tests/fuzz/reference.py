"""RFC 6455 read slowly and plainly: what a server must make of a client's bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass
class Reading:
    """What a whole stream holds, up to its first violation or close frame."""

    texts: list[bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    binaries: int = 0
    """Binary messages that were begun."""
    frames: int = 0
    closed: bytes | None = None
    """The payload of the client's close frame."""
    violation: int | None = None
    """The code that the server must close with."""
    open_message: bool = False
    partial: bool = False
    """The stream ends within a frame."""


class _Violation(Exception):  # noqa: N818 - an outcome
    def __init__(self, code: int) -> None:
        self.code = code


def read(stream: bytes, max_size: int) -> Reading:
    """Read until the stream ends, the client closes, or the first violation."""
    reading = Reading()
    message: bytearray | None = None
    kind = 0
    try:
        while stream:
            head = _head(stream, len(message or b""), max_size)
            if head is None:
                reading.partial = True
                break
            opcode, fin, start, size = head
            if len(stream) < start + size:
                reading.partial = True
                break
            mask, masked = stream[start - 4 : start], stream[start : start + size]
            payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
            stream = stream[start + size :]
            if opcode >= CLOSE:
                if not fin:
                    raise _Violation(1002)
            elif (opcode == CONT) is (message is None):
                if opcode == TEXT:  # two violations at once: either code would be right
                    _check_utf8(payload, whole=fin)
                raise _Violation(1002)
            reading.frames += 1
            if opcode == PING:
                reading.pings.append(payload)
            elif opcode == CLOSE:
                _check_close(payload)
                if message is not None:
                    raise _Violation(1002)
                reading.closed = payload
                break
            elif opcode != PONG:
                if message is None:
                    message, kind = bytearray(), opcode
                    reading.binaries += opcode == BINARY
                message += payload
                if kind == TEXT:
                    _check_utf8(bytes(message), whole=fin)
                if fin:
                    if kind == TEXT:
                        reading.texts.append(bytes(message))
                    message = None
    except _Violation as violation:
        reading.violation = violation.code
    reading.open_message = message is not None
    return reading


def _head(stream: bytes, known: int, max_size: int) -> tuple[int, bool, int, int] | None:
    """Opcode, last of its message, where the payload starts, its size; None: not all here yet."""
    if len(stream) < 2:
        return None
    opcode, size, start = stream[0] & 15, stream[1] & 127, 2
    if opcode in range(3, 8) or opcode > PONG or not stream[1] & 128:
        raise _Violation(1002)
    if size > 125:
        form = 2 if size == 126 else 8
        start += form
        if len(stream) < start:
            return None
        size = int.from_bytes(stream[2:start], "big")
        if size < (126 if form == 2 else 65_536) or size >= 2**63:
            raise _Violation(1002)
    if opcode >= CLOSE and size > 125:
        raise _Violation(1002)
    if opcode < CLOSE and size + (known if opcode == CONT else 0) > max_size:
        raise _Violation(1009)
    start += 4
    if len(stream) >= start + size and stream[0] & 0x70:
        raise _Violation(1002)
    return opcode, bool(stream[0] & 128), start, size


def _check_close(payload: bytes) -> None:
    if len(payload) == 1:
        raise _Violation(1002)
    code = int.from_bytes(payload[:2], "big") if payload else 1000
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise _Violation(1007) from None
    if code not in (*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)):
        raise _Violation(1002)


def _check_utf8(text: bytes, *, whole: bool) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        if whole or error.reason != "unexpected end of data":
            raise _Violation(1007) from None
