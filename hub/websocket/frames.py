"""Text messages as frames, written and read without the library: nearly all the traffic."""

from __future__ import annotations

from struct import Struct

from websockets.exceptions import PayloadTooBig, ProtocolError

try:
    from websockets.speedups import apply_mask
except ImportError:  # installed without a compiler
    from websockets.utils import apply_mask

_TEXT_HEAD = 0x81  # FIN and opcode 1
_MASKED = 0x80  # set in the second byte by clients, never by servers
_SHORT = tuple(bytes((_TEXT_HEAD, length)) for length in range(126))
_pack_medium = Struct("!BBH").pack
_pack_long = Struct("!BBQ").pack


_HEADS = {126: 4, 127: 10}
"""Bytes of a head without its mask, by the length in its second byte; 2 for all others."""

_SHORTEST = {4: 126, 10: 65536}
"""The smallest payload for which a head may have that many bytes."""

_LONGEST_HEAD = 10

_FINAL, _CONTROL, _OPCODE = 0x80, 0x08, 0x0F
"""Bits of a head's first byte."""

_MAX_CONTROL = 125
"""Bytes of a control frame's payload (RFC 6455 section 5.5)."""

_latest: tuple[bytes, bytes] = (b"", _SHORT[0])


def text_frame(payload: bytes) -> bytes:
    """One whole, unmasked text frame (RFC 6455 section 5.2).

    A payload that is sent to many connections in turn is framed once, and their queues share it.
    """
    global _latest  # noqa: PLW0603 - a memo of one entry; hubs have one thread
    length = len(payload)
    if length < 126:  # an acknowledgement; no event is so short
        return _SHORT[length] + payload
    known, frame = _latest
    if known is payload:
        return frame
    if length < 65536:
        frame = _pack_medium(_TEXT_HEAD, 126, length) + payload
    else:
        frame = _pack_long(_TEXT_HEAD, 127, length) + payload
    _latest = (payload, frame)
    return frame


AT_ONCE = 32
"""Messages that are taken before it is another connection's turn, or their bytes are MUCH."""

MUCH = 4096
"""Bytes of messages after which no other one is taken."""

FRAMES_AT_ONCE = 16
"""Frames that the library parses before it is another connection's turn; one takes it 7 µs."""


def whole_messages(data: bytes, max_size: int) -> tuple[list[bytes], int]:
    """The first text messages of `data`, and the number of bytes that they take.

    Only frames that need no further checks are taken: whole, final, masked, of at most 65,535 bytes
    and at most `max_size`, and UTF-8. The first other frame, or one whose length is not in its
    shortest form, ends the list; `hub.websocket.protocol` checks it.
    """
    messages: list[bytes] = []
    at, end = 0, len(data)
    body = 6
    while body <= end and data[at] == _TEXT_HEAD and len(messages) < AT_ONCE and at < MUCH:
        length = data[at + 1] - _MASKED
        if length >= 126:
            body += 2
            if length == 127 or body > end:
                break
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if length < 126:
                break
        stop = body + length
        if stop > end or not 0 <= length <= max_size:
            break
        message = apply_mask(data[body:stop], data[body - 4 : body])
        if not message.isascii() and not is_utf8(message):
            break
        messages.append(message)
        at = stop
        body = at + 6
    return messages, at


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8, without surrogates and overlong forms."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class FrameHeads:
    """Follows the heads of a stream's frames, and finds those whose length is not allowed.

    A length has its shortest form, and fits 63 bits (RFC 6455 section 5.2): a proxy that reads the
    other forms differently would see other frames than we do. A message has at most `max_size`
    bytes in all its frames; control frames between them do not count, and have at most 125.
    """

    __slots__ = ("_head", "_left", "_max_size", "_message", "violation")

    def __init__(self, max_size: int) -> None:
        self.violation: PayloadTooBig | ProtocolError | None = None
        """What is wrong with the length that was found."""
        self._max_size = max_size
        self._message = 0  # bytes of the message, this frame included
        self._head = b""
        self._left = 0  # bytes of this frame's mask and payload that are still to come

    @property
    def between_frames(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._left and not self._head

    def follow(self, data: bytes) -> int:
        """The number of bytes that may be parsed now: FRAMES_AT_ONCE at most.

        Call it again with the rest, unless it has found a violation, where they end. All bytes that
        are not read by `whole_messages` go through it, in order.
        """
        at, end, frames = 0, len(data), 0
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            if not self._head:
                if frames == FRAMES_AT_ONCE:
                    break
                frames += 1
            known = len(self._head)
            head = self._head + data[at : at + _LONGEST_HEAD - known]
            size = _HEADS.get(head[1] & ~_MASKED, 2) if len(head) > 1 else 2
            if len(head) < size:
                self._head = head
                return end
            length = int.from_bytes(head[2:size], "big") if size > 2 else head[1] & ~_MASKED
            at += size - known
            self.violation = self._judge(head[0], size, length)
            if self.violation is not None:
                break
            self._head = b""
            self._left = length + 4  # an unmasked frame ends the connection anyway
        return at

    def _judge(self, first: int, size: int, length: int) -> PayloadTooBig | ProtocolError | None:
        if not _SHORTEST.get(size, 0) <= length < 2**63:
            return ProtocolError("length of a frame not in its shortest form")
        if first & _CONTROL:
            return ProtocolError("control frame too long") if length > _MAX_CONTROL else None
        if first & _OPCODE:  # otherwise it continues a message
            self._message = 0
        self._message += length
        if self._message > self._max_size:
            return PayloadTooBig(self._message, self._max_size)
        if first & _FINAL:
            self._message = 0
        return None
