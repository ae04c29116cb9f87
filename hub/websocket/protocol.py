"""One websocket as the library keeps it, without I/O: control frames, fragments, violations.

All that a peer sends can be read here. Whole text messages between two frames need not be
(`hub.frames.whole_messages`): they change nothing in the library's state.
"""

from __future__ import annotations

import logging
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

MAX_CLOSE_REASON = 123
"""Bytes: a control frame holds 125, and the close code takes 2 (RFC 6455 section 5.5)."""

PONG_HEAD = 0x8A
"""First byte of a pong frame: FIN and opcode 10."""

# At debug level the library logs the beginning of payloads, which hold session tokens, and at
# info level two lines for each connection.
_library_logger = logging.getLogger("hub.websockets")
_library_logger.setLevel(logging.WARNING)


class Websocket(ServerProtocol):
    """The library's protocol of a websocket whose handshake is answered without it.

    Pings, closes and violations it answers itself: `data_to_send` has what must follow every call.
    """

    __slots__ = ("_fragments", "_pings_answered", "_pings_sent")

    def __init__(self, max_size: int) -> None:
        super().__init__(
            extensions=None, state=State.OPEN, max_size=max_size, logger=_library_logger
        )
        self._fragments: bytearray | None = None
        self._pings_sent = 0
        self._pings_answered = 0

    def read(self, data: bytes) -> tuple[list[Frame], bool]:
        """The frames that `data` completes, and whether a message may begin right behind it."""
        self.receive_data(data[:-1])
        frames = self.events_received()
        # The last byte alone: only if it completes a frame is the library between two. That it
        # has nothing left to parse does not tell: it may have the head of one, and await the rest.
        self.receive_data(data[-1:])
        completed = self.events_received()
        frames += completed
        between = bool(completed) and self.current_size is None and self.state is State.OPEN
        return cast(list[Frame], frames), between

    def message(self, frame: Frame) -> bytes | None:
        """The message that a frame of text completes, if it does; give it all of them in order."""
        if frame.opcode is Opcode.TEXT:
            if frame.fin:
                return bytes(frame.data)
            self._fragments = bytearray(frame.data)
        elif self._fragments is not None:  # else it continues a binary message
            self._fragments += frame.data  # bounded: the library counts the message's size
            if frame.fin:
                message, self._fragments = bytes(self._fragments), None
                return message
        return None

    def ping(self) -> bool:
        """Send a ping; False when the peer's close has been read."""
        if self.state is not State.OPEN:
            return False
        self._pings_sent += 1
        self.send_ping(self._pings_sent.to_bytes(4, "big"))
        return True

    def answered(self, pong: Frame) -> bool:
        """Whether a pong answers a ping of ours that no pong has answered yet."""
        number = int.from_bytes(pong.data, "big") if len(pong.data) == 4 else 0
        if self._pings_answered < number <= self._pings_sent:
            self._pings_answered = number
            return True
        return False

    def close(self, code: int, reason: str) -> bool:
        """Send a close frame; False when the peer's has been read, whose echo suffices."""
        if self.state is not State.OPEN:
            return False
        self.send_close(code, fit_reason(reason))
        return True

    @property
    def ended_with(self) -> int:
        """The code of the close frame that came first, whoever sent it; 1006 without one."""
        theirs_first = self.close_rcvd_then_sent or self.close_sent is None
        first = self.close_rcvd if theirs_first else self.close_sent
        return 1006 if first is None else int(first.code)


def fit_reason(reason: str) -> str:
    """The reason, cut between characters to what fits a close frame."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_CLOSE_REASON:
        return encoded.decode()
    return encoded[:MAX_CLOSE_REASON].decode("utf-8", "ignore")
