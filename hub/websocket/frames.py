"""Text messages as frames, written and read without the library: nearly all the traffic."""

from __future__ import annotations

from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # installed without a compiler
    from websockets.utils import apply_mask

_TEXT_HEAD = 0x81  # FIN and opcode 1
_MASKED = 0x80  # set in the second byte by clients, never by servers
_SHORT = tuple(bytes((_TEXT_HEAD, length)) for length in range(126))
_pack_medium = Struct("!BBH").pack
_pack_long = Struct("!BBQ").pack


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


def whole_messages(data: bytes, max_size: int) -> tuple[list[bytes], int]:
    """The text messages at the beginning of `data`, and the number of bytes that they take.

    Only frames that need no further checks are taken: whole, final, masked, of at most 65,535 bytes
    and at most `max_size`. The first other frame, or one whose length is not in its shortest form,
    ends the list; the library checks it (RFC 6455 section 5.2).
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
