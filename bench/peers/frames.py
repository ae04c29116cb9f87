"""Frames of RFC 6455, as far as raw peers need them: those of a client, and where others end."""

from __future__ import annotations

from struct import pack

TEXT, CLOSE, PING = 0x81, 0x88, 0x89  # first bytes of the whole frames that a hub sends
MASK = b"\x37\xfa\x21\x3d"
"""One key for all frames: they can be built beforehand, and cost the server what others cost it."""


def masked(head: int, payload: bytes) -> bytes:
    """One whole frame as a client sends it (section 5.2)."""
    length = len(payload)
    if length < 126:
        start = pack("!BB", head, 0x80 | length)
    elif length < 65536:
        start = pack("!BBH", head, 0x80 | 126, length)
    else:
        start = pack("!BBQ", head, 0x80 | 127, length)
    key = (MASK * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return start + MASK + mixed.to_bytes(length, "big")


def masked_text(payload: bytes) -> bytes:
    """One text frame as a client sends it."""
    return masked(TEXT, payload)


def masked_pong(payload: bytes) -> bytes:
    """The answer to a ping."""
    return masked(0x8A, payload)


def payload_span(data: bytes, start: int) -> tuple[int, int]:
    """Where the payload of the unmasked frame at `start` begins and ends.

    The end lies behind that of `data` while the frame is not all there.
    """
    length = data[start + 1] if start + 1 < len(data) else 0
    if length < 126:
        return start + 2, start + 2 + length
    body = start + (4 if length == 126 else 10)
    if body > len(data):
        return body, body
    return body, body + int.from_bytes(data[start + 2 : body], "big")
