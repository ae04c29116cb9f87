"""One websocket in the library's sans-I/O protocol: control frames, fragments, violations.

Everything that a peer sends can be read here. Whole text messages between two frames need not be
(`hub.websocket.frames.whole_messages`), because they do not change the library's state.
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

# At debug level the library logs the beginning of payloads, which contain session tokens, and at
# info level two lines for each connection.
_library_logger = logging.getLogger("hub.websockets")
_library_logger.setLevel(logging.WARNING)


class Websocket(ServerProtocol):
    """The library's protocol of a websocket whose handshake is answered elsewhere.

    The library answers pings, closes and violations: send `data_to_send()` after every call.
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
        # The last byte alone: the library is between two frames only if this byte completes one.
        # An empty parse buffer would not show that, since the head of a frame may be parsed.
        self.receive_data(data[-1:])
        completed = self.events_received()
        frames += completed
        between = bool(completed) and self.current_size is None and self.state is State.OPEN
        return cast(list[Frame], frames), between

    def message(self, frame: Frame) -> bytes | None:
        """The message that a text or continuation frame completes, or None.

        Call it with every such frame, in order.
        """
        if frame.opcode is Opcode.TEXT:
            if frame.fin:
                return bytes(frame.data)
            self._fragments = bytearray(frame.data)
        elif self._fragments is not None:  # otherwise it continues a binary message
            self._fragments += frame.data  # bounded: the library counts the message's size
            if frame.fin:
                message, self._fragments = bytes(self._fragments), None
                return message
        return None

    def ping(self) -> bool:
        """Send a ping; False when the peer's close frame has been read."""
        if self.state is not State.OPEN:
            return False
        self._pings_sent += 1
        self.send_ping(self._pings_sent.to_bytes(4, "big"))
        return True

    def answered(self, pong: Frame) -> bool:
        """Whether a pong is the first answer to a ping of ours."""
        number = int.from_bytes(pong.data, "big") if len(pong.data) == 4 else 0
        if self._pings_answered < number <= self._pings_sent:
            self._pings_answered = number
            return True
        return False

    def close(self, code: int, reason: str) -> bool:
        """Send a close frame; False when the peer's has been read and echoed."""
        if self.state is not State.OPEN:
            return False
        self.send_close(code, fit_reason(reason))
        return True

    @property
    def ended_with(self) -> int:
        """The code of the first close frame, of either side; 1006 without one."""
        theirs_first = self.close_rcvd_then_sent or self.close_sent is None
        first = self.close_rcvd if theirs_first else self.close_sent
        return 1006 if first is None else int(first.code)


def fit_reason(reason: str) -> str:
    """The reason, cut at a character boundary to fit a close frame."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_CLOSE_REASON:
        return encoded.decode()
    return encoded[:MAX_CLOSE_REASON].decode("utf-8", "ignore")
