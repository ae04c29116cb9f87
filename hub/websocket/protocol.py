"""One websocket in the library's sans-I/O protocol: control frames, fragments, violations.

Everything that a peer sends can be read here. Whole text messages between two frames need not be
(`hub.websocket.frames.whole_messages`), because they do not change the library's state.
"""

from __future__ import annotations

import logging
from codecs import IncrementalDecoder, getincrementaldecoder
from typing import cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from hub.websocket.frames import FrameHeads

MAX_CLOSE_REASON = 123
"""Bytes: a control frame holds 125, and the close code takes 2 (RFC 6455 section 5.5)."""

PONG_HEAD = 0x8A
"""First byte of a pong frame: FIN and opcode 10."""

# At debug level the library logs the beginning of payloads, which contain session tokens, and at
# info level two lines for each connection.
_library_logger = logging.getLogger("hub.websockets")
_library_logger.setLevel(logging.WARNING)

_utf8_decoder = getincrementaldecoder("utf-8")
_TEXTS = frozenset({Opcode.TEXT, Opcode.CONT})


class Websocket(ServerProtocol):
    """The library's protocol of a websocket whose handshake is answered elsewhere.

    The library answers pings, closes and violations: send `data_to_send()` after every call. Those
    that it lets pass are found here: lengths in a form that is not allowed, and texts that are not
    UTF-8. So are messages beyond `max_size`, as it counts control frames between their parts.
    """

    __slots__ = ("_decoder", "_fragments", "_heads", "_pings_answered", "_pings_sent")

    def __init__(self, max_size: int) -> None:
        super().__init__(extensions=None, state=State.OPEN, max_size=None, logger=_library_logger)
        self._heads = FrameHeads(max_size)
        self._decoder: IncrementalDecoder | None = None
        self._fragments: bytearray | None = None
        self._pings_sent = 0
        self._pings_answered = 0

    def read(self, data: bytes) -> tuple[list[Frame], int]:
        """The first few frames that `data` completes, and how many of its bytes were taken."""
        heads = self._heads
        taken = heads.follow(data)
        self.receive_data(data[:taken])
        frames = cast(list[Frame], self.events_received())
        if heads.violation is None:
            return frames, taken
        if not self.eof_sent:  # else the library found another one before it
            large = isinstance(heads.violation, PayloadTooBig)
            code = CloseCode.MESSAGE_TOO_BIG if large else CloseCode.PROTOCOL_ERROR
            self.fail(code, str(heads.violation))
            self.parser_exc = heads.violation
        return frames, len(data)

    @property
    def between_messages(self) -> bool:
        """Whether a message may begin right behind what was read."""
        heads = self._heads.between_frames
        return heads and self.current_size is None and self.state is State.OPEN

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame from the parser, which closes with 1007 on UnicodeDecodeError."""
        if frame.opcode is Opcode.TEXT:
            self._decoder = _utf8_decoder()
        if self._decoder is not None and frame.opcode in _TEXTS:
            self._decoder.decode(bytes(frame.data), frame.fin)
            if frame.fin:
                self._decoder = None
        super().recv_frame(frame)

    def message(self, frame: Frame) -> bytes | None:
        """The message that a text or continuation frame completes, or None.

        Call it with every such frame, in order.
        """
        if frame.opcode is Opcode.TEXT:
            if frame.fin:
                return bytes(frame.data)
            self._fragments = bytearray(frame.data)
        elif self._fragments is not None:  # otherwise it continues a binary message
            self._fragments += frame.data  # bounded by `max_size`
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
