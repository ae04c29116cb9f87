"""Websocket frames that a hub writes itself, and the queue of those not yet handed on."""

from __future__ import annotations

import asyncio
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler was there when it was installed
    from websockets.utils import apply_mask

HIGH_WATER = 64 * 1024
"""Bytes the transport may hold; what is beyond waits in our queue, where it can be discarded."""

MAX_CLOSE_REASON = 123
"""Bytes: a control frame holds 125, and the close code takes 2 (RFC 6455 section 5.5)."""

PONG_HEAD = 0x8A
"""First byte of a pong frame: FIN and opcode 10."""

_TEXT_HEAD = 0x81  # FIN and opcode 1
_MASKED = 0x80  # set in the second byte by clients, never by servers
_SHORT = tuple(bytes((_TEXT_HEAD, length)) for length in range(126))
_pack_medium = Struct("!BBH").pack
_pack_long = Struct("!BBQ").pack


_latest: tuple[bytes, bytes] = (b"", _SHORT[0])


def text_frame(payload: bytes) -> bytes:
    """One whole, unmasked text frame (RFC 6455 section 5.2).

    One payload sent to many connections in turn is framed once, and all their queues share it.
    """
    global _latest  # noqa: PLW0603 - a memo of one entry; hubs have one thread
    length = len(payload)
    if length < 126:  # an acknowledgement; no news is so short
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


def whole_messages(data: bytes, max_size: int) -> tuple[list[bytes], int]:
    """The text messages that `data` begins with, and how many bytes of it they are.

    Taken are frames that need no judgement: whole, final, masked, of up to 65,535 bytes and not
    above `max_size`. Whatever else comes first, if only by its length's form, ends the list and
    is the library's to judge (RFC 6455 section 5.2).
    """
    messages: list[bytes] = []
    at, end = 0, len(data)
    body = 6
    while body <= end and data[at] == _TEXT_HEAD:
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
        messages.append(apply_mask(data[body:stop], data[body - 4 : body]))
        at = stop
        body = at + 6
    return messages, at


def fit_reason(reason: str) -> str:
    """The reason, cut between characters to what fits a close frame."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_CLOSE_REASON:
        return encoded.decode()
    return encoded[:MAX_CLOSE_REASON].decode("utf-8", "ignore")


class Outbox:
    """Frames on their way to one transport, in order, and the count of bytes.

    Frames are whole here: `discard` never cuts one. A frame that `flush` has handed to the
    transport can no longer be taken back, so at most `HIGH_WATER` and one frame are handed on
    before the transport has passed bytes to the kernel.
    """

    __slots__ = ("_frames", "_pong", "_transport", "_written", "paused", "queued")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport: asyncio.Transport | None = transport
        self._frames: list[bytes] = []
        self._pong: bytes | None = None
        self._written = 0
        self.queued = 0
        """Bytes still here, not yet given to the transport."""
        self.paused = False
        """The transport has enough for now."""

    @property
    def unsent(self) -> int:
        """Bytes here and in the transport: not yet in the kernel's hands."""
        if self._transport is None:
            return 0
        return self.queued + self._transport.get_write_buffer_size()

    @property
    def delivered(self) -> int:
        """Bytes that have gone to the kernel; keeps its last value once detached."""
        if self._transport is None:
            return self._written
        return self._written - self._transport.get_write_buffer_size()

    def push(self, frame: bytes) -> None:
        """Queue one frame."""
        self._frames.append(frame)
        self.queued += len(frame)

    def push_pong(self, frame: bytes) -> None:
        """Queue a pong; of those that wait for a paused transport only the newest is kept.

        RFC 6455 section 5.5.3 allows answering just the latest ping, and so a peer that pings
        without reading costs no memory.
        """
        if self.paused:
            self._pong = frame
        else:
            self.push(frame)

    def push_waiting_pong(self) -> None:
        """Queue the pong that waited, now that the transport has room again."""
        if self._pong is not None:
            self.push(self._pong)
            self._pong = None

    def flush(self) -> None:
        """Hand whole frames to the transport, in one write if they are few, until it has enough."""
        while self.queued > HIGH_WATER and not self.paused:
            size = count = 0
            while size < HIGH_WATER and count < len(self._frames):
                size += len(self._frames[count])
                count += 1
            frames = self._frames[:count]
            del self._frames[:count]
            self.queued -= size
            self._write(b"".join(frames))
        if not self.paused:
            self.flush_all()

    def flush_all(self) -> None:
        """Hand over everything, paused or not: nothing will follow that could wait its turn."""
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            self.queued = 0
            self._write(data)

    def discard(self) -> None:
        """Drop every frame that is still here."""
        self._frames = []
        self._pong = None
        self.queued = 0

    def detach(self) -> None:
        """The transport is gone."""
        self._written = self.delivered
        self._transport = None
        self.discard()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._written += len(data)
            self._transport.write(data)
