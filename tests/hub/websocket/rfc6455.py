"""What RFC 6455 asks of a server that echoes texts: bytes that a client sends, and what comes back.

The cases cover what sections 1 to 7 and 10 of Autobahn's test suite describe, without its code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
LIMIT = 65_536
"""Bytes that a message may have."""


class Case(NamedTuple):
    """`back` are the texts and pongs that come back, in order; then `close`, None: none."""

    sent: bytes
    back: Sequence[tuple[str, bytes]] = ()
    close: bytes | int | None = None
    """The whole payload of the close frame, or only its code."""


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, form: int | None = None
) -> bytes:
    """A masked frame; `form` is the number of bytes of its extended length, the shortest if None.

    Other than the frames of `fakes`, it has a mask that changes the payload.
    """
    size = len(payload)
    if form is None:
        form = 0 if size < 126 else 2 if size < 65_536 else 8
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second = {0: size, 2: 126, 8: 127}[form]
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    extended = size.to_bytes(form, "big") if form else b""
    return bytes([first, 0x80 | second]) + extended + MASK + masked


def part(opcode: int, payload: bytes = b"") -> bytes:
    """A frame that others continue."""
    return frame(opcode, payload, fin=False)


def closing(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def cases() -> Iterator[tuple[str, Case]]:
    """Every case, with its name."""
    yield from lengths()
    yield from pings()
    yield from heads()
    yield from fragments()
    yield from utf8()
    yield from closes()


def lengths() -> Iterator[tuple[str, Case]]:
    for size in (0, 1, 125, 126, 127, 128, 65_535, LIMIT):
        text = b"*" * size
        yield f"a text of {size} bytes", Case(frame(TEXT, text), [("text", text)])
    yield "a text one byte too long", Case(frame(TEXT, b"*" * (LIMIT + 1)), close=1009)
    text = b"*" * LIMIT
    pieces = [text[at : at + 1300] for at in range(0, LIMIT, 1300)]
    sent = part(TEXT, pieces[0]) + b"".join(part(CONT, piece) for piece in pieces[1:-1])
    yield "a long text in 1,300 byte pieces", Case(sent + frame(CONT, pieces[-1]), [("text", text)])
    yield "pieces one byte too long", Case(sent + frame(CONT, pieces[-1] + b"*"), close=1009)
    full = part(TEXT, text) + frame(PING, b"p" * 125) + frame(CONT)
    back = [("pong", b"p" * 125), ("text", text)]
    yield "a ping within the longest message", Case(full, back)
    yield "more behind the longest message", Case(part(TEXT, text) + frame(CONT, b"*"), close=1009)
    for opcode in (CLOSE, PING, PONG):
        head = bytes([0x80 | opcode, 0xFE, 0x7F, 0xFF]) + MASK
        yield f"the head of a long control frame, opcode {opcode}", Case(head, close=1002)
    for size, form in ((0, 2), (5, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8)):
        name = f"a length of {size} in {form} bytes"
        long = frame(TEXT, b"*" * size, form=form)
        yield name, Case(frame(TEXT, b"good") + long, [("text", b"good")], 1002)
        between = part(TEXT, b"a") + frame(PING, b"*" * min(size, 125), form=form)
        yield f"{name}, of a ping between fragments", Case(between, close=1002)
    for size, code in ((2**63, 1002), (2**64 - 1, 1002), (2**63 - 1, 1009), (2**32, 1009)):
        for opcode in (TEXT, BINARY):
            head = bytes([0x80 | opcode, 0xFF]) + struct.pack("!Q", size) + MASK
            yield f"a length of {size:,}, opcode {opcode}", Case(head, close=code)


def pings() -> Iterator[tuple[str, Case]]:
    every = bytes(range(125))
    for payload in (b"", b"hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", every):
        yield f"a ping of {len(payload)}", Case(frame(PING, payload), [("pong", payload)])
    for opcode in (PING, PONG):
        sent = frame(opcode, every + b"x", form=2)
        yield f"a control frame of 126 bytes, opcode {opcode}", Case(sent, close=1002)
    yield "a pong without a ping", Case(frame(PONG, b"unsolicited"))
    sent = frame(PONG, b"unsolicited") + frame(PING, b"p") + frame(PONG)
    yield "a ping between pongs without a ping", Case(sent, [("pong", b"p")])
    numbered = [b"%d" % number for number in range(10)]
    sent = b"".join(frame(PING, payload) for payload in numbered)
    yield "ten pings", Case(sent, [("pong", payload) for payload in numbered])


def heads() -> Iterator[tuple[str, Case]]:
    good = frame(TEXT, b"good")
    for rsv in range(1, 8):
        for opcode in (TEXT, PING, CLOSE):
            name = f"reserved bits {rsv:03b}, opcode {opcode}"
            yield name, Case(good + frame(opcode, rsv=rsv) + good, [("text", b"good")], 1002)
    for opcode in (*range(3, 8), *range(11, 16)):
        sent = good + frame(opcode, b"payload") + frame(PING)
        yield f"reserved opcode {opcode}", Case(sent, [("text", b"good")], 1002)
    for opcode in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
        unmasked = bytes([0x80 | opcode, 0])
        yield f"no mask, opcode {opcode}", Case(good + unmasked, [("text", b"good")], 1002)


def fragments() -> Iterator[tuple[str, Case]]:
    for opcode in (CLOSE, PING, PONG):
        yield f"a control frame in pieces, opcode {opcode}", Case(part(opcode), close=1002)
    whole = part(TEXT, b"one ") + part(CONT, b"two ") + frame(CONT, b"three")
    yield "three fragments", Case(whole, [("text", b"one two three")])
    empty = part(TEXT) + part(CONT) + frame(CONT)
    yield "three empty fragments", Case(empty, [("text", b"")])
    middle = part(TEXT) + part(CONT, b"middle") + frame(CONT)
    yield "a fragment between empty ones", Case(middle, [("text", b"middle")])
    pinged = part(TEXT, b"one ") + frame(PING, b"p") + frame(CONT, b"two")
    yield "a ping between fragments", Case(pinged, [("pong", b"p"), ("text", b"one two")])
    busy = b"".join(
        part(CONT, b"%d" % number) + frame(PING, b"%d" % number) + frame(PONG)
        for number in range(8)
    )
    pongs = [("pong", b"%d" % number) for number in range(8)]
    sent = part(TEXT, b"n") + busy + frame(CONT, b"!") + frame(TEXT, b"next")
    back = [*pongs, ("text", b"n01234567!"), ("text", b"next")]
    yield "pings and pongs between all fragments", Case(sent, back)
    for fin in (True, False):
        alone = frame(CONT, b"of nothing", fin=fin)
        name = f"a continuation of nothing, fin {fin}"
        yield name, Case(alone + frame(TEXT, b"late"), close=1002)
        yield f"{name}, behind a message", Case(whole + alone, [("text", b"one two three")], 1002)
    for opcode in (TEXT, BINARY):
        sent = part(TEXT, b"begun") + frame(opcode, b"another")
        yield f"a message inside another, opcode {opcode}", Case(sent, close=1002)
    sent = part(TEXT, b"begun") + frame(CLOSE, closing(1000))
    yield "a close frame inside a message", Case(sent, close=1002)


UTF8 = {
    "two bytes": b"\xc3\xa9",
    "Greek": "κόσμε".encode(),
    "the first of two bytes": b"\xc2\x80",
    "the last of two bytes": b"\xdf\xbf",
    "the first of three bytes": b"\xe0\xa0\x80",
    "below the surrogates": b"\xed\x9f\xbf",
    "above the surrogates": b"\xee\x80\x80",
    "the replacement character": b"\xef\xbf\xbd",
    "a character that is none": b"\xef\xbf\xbe",
    "the last of three bytes": b"\xef\xbf\xbf",
    "the first of four bytes": b"\xf0\x90\x80\x80",
    "the last of four bytes": b"\xf4\x8f\xbf\xbf",
    "NUL": b"\x00",
}
NOT_UTF8 = {
    "a continuation byte alone": b"\x80",
    "the last continuation byte alone": b"\xbf",
    "all continuation bytes": bytes(range(0x80, 0xC0)),
    "a first byte alone": b"\xc3",
    "a first byte and a space": b"\xe2 ",
    "two of three bytes": b"\xe2\x82",
    "three of four bytes": b"\xf0\x9f\x98",
    "an impossible byte": b"\xfe",
    "two impossible bytes": b"\xff\xff",
    "an overlong slash in two bytes": b"\xc0\xaf",
    "an overlong slash in three bytes": b"\xe0\x80\xaf",
    "an overlong slash in four bytes": b"\xf0\x80\x80\xaf",
    "an overlong NUL": b"\xc0\x80",
    "overlong in two bytes, the largest": b"\xc1\xbf",
    "overlong in three bytes, the largest": b"\xe0\x9f\xbf",
    "overlong in four bytes, the largest": b"\xf0\x8f\xbf\xbf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond the last character": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "UTF-16": "text".encode("utf-16"),
}


def utf8() -> Iterator[tuple[str, Case]]:
    for name, piece in UTF8.items():
        text = b"Hello-" + piece + b"-!"
        yield f"UTF-8, {name}", Case(frame(TEXT, text), [("text", text)])
        each = part(TEXT) + b"".join(part(CONT, bytes([byte])) for byte in text) + frame(CONT)
        yield f"UTF-8 cut at every byte, {name}", Case(each, [("text", text)])
    for name, piece in NOT_UTF8.items():
        text = b"Hello-" + piece
        good, late = frame(TEXT, b"good"), frame(TEXT, b"late") + frame(CLOSE, closing(1000))
        yield f"not UTF-8, {name}", Case(good + frame(TEXT, text) + late, [("text", b"good")], 1007)
        each = part(TEXT) + b"".join(part(CONT, bytes([byte])) for byte in text) + frame(CONT)
        yield f"not UTF-8 cut at every byte, {name}", Case(each + late, close=1007)
    # The end is not waited for: the rest of the message may never come.
    yield "not UTF-8 in a fragment that others follow", Case(part(TEXT, b"\xc0\xaf"), close=1007)


CODES = (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)
NO_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


def closes() -> Iterator[tuple[str, Case]]:
    yield "a close frame without a code", Case(frame(CLOSE), close=b"")
    for code in CODES:
        payload = closing(code)
        yield f"a close frame, {code}", Case(frame(CLOSE, payload), close=payload)
    for reason in (b"Hello World!", "žluťoučký".encode(), b"x" * 123):
        payload = closing(1000, reason)
        yield f"a reason of {len(reason)} bytes", Case(frame(CLOSE, payload), close=payload)
    yield "a reason that is too long", Case(frame(CLOSE, closing(1000, b"x" * 124)), close=1002)
    yield (
        "a reason that is not UTF-8",
        Case(frame(CLOSE, closing(1000, b"\xce\xba\xe1")), close=1007),
    )
    yield "a close frame of one byte", Case(frame(CLOSE, b"\x03"), close=1002)
    for code in NO_CODES:
        yield f"no close code, {code}", Case(frame(CLOSE, closing(code)), close=1002)
        yield (
            f"no close code, {code}, and a reason",
            Case(frame(CLOSE, closing(code, b"why")), close=1002),
        )
    end = closing(1000, b"end")
    for name, late in {
        "a text": frame(TEXT, b"late"),
        "a ping": frame(PING, b"late"),
        "another close frame": frame(CLOSE, closing(1001)),
        "a fragment": part(TEXT, b"late"),
        "what is no frame": b"\xff" * 50,
    }.items():
        sent = frame(TEXT, b"first") + frame(CLOSE, end) + late
        yield f"{name} behind a close frame", Case(sent, [("text", b"first")], end)
    sent = part(TEXT, b"one ") + frame(CLOSE, end) + frame(CONT, b"two")
    yield "the rest of a message behind a close frame", Case(sent, close=1002)


_listed = list(cases())
CASES = dict(_listed)
assert len(CASES) == len(_listed), "two cases have the same name"
