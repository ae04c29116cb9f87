"""Small pieces of text: cells, ages, addresses."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable

from agent_client import AgentRecord
from homeport_protocol.timestamps import parse_timestamp

SHORT_ID = 8
"""Characters of an id that a narrow table shows; `homeport agent` finds an agent by them."""


MARKS = 4
"""Marks on one letter that are shown; more, from one agent, would cover others' lines."""

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks without an image, which Python counts as printable."""


def printable(text: str) -> str:
    """`text` with all characters escaped that could control a terminal, or that it does not show.

    Names and other text of agents are shown, so an escape sequence in them must not take effect,
    and two names that differ must not look the same. So these are escaped: control characters,
    marks that reorder text, characters without width, and marks piled upon one letter; and letters
    that stdout's encoding does not have, so that what is shown has the width that is counted.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = _escape(text, lambda c: c.encode("unicode_escape", "replace").decode("ascii"))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def printable_json(document: str) -> str:
    """A JSON `document` in which the same characters are escaped as JSON does, so that it is equal.

    Line ends between values are kept.
    """
    return "\n".join(
        _escape(line, lambda c: json.dumps(c)[1:-1] if ord(c) > 0x7F else f"\\u{ord(c):04x}")
        for line in document.split("\n")
    )


def _escape(text: str, escaped: Callable[[str], str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    shown, marks = [], MARKS  # a mark at the beginning would sit on whatever stands before it
    for c in text:
        mark = unicodedata.category(c) in ("Mn", "Me")
        marks = marks + 1 if mark else 0
        visible = c.isprintable() and not _INVISIBLE.match(c) and marks <= MARKS
        shown.append(c if visible else escaped(c))
    return "".join(shown)


def age(timestamp: str, now: float) -> str:
    """How long before `now` (Unix seconds) an RFC 3339 `timestamp` was, such as `3s`."""
    try:
        seconds = int(now - parse_timestamp(timestamp))
    except ValueError:
        return printable(timestamp)
    if seconds < 1:
        return "now"  # also for a hub whose clock is slightly ahead
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def ago(timestamp: str, now: float) -> str:
    """The same in a sentence, such as `3s ago`."""
    text = age(timestamp, now)
    return f"{text} ago" if re.fullmatch(r"\d+[dhms]", text) else text


def address(record: AgentRecord) -> str:
    """How the agent is reached: at its `host:port`, or through the hub by `websocket`."""
    if not record.host or not record.port:
        return "websocket" if record.health.connection != "http" else printable(record.host)
    host = f"[{record.host}]" if ":" in record.host else record.host
    return printable(f"{host}:{record.port}")


def one_line(text: str) -> str:
    """`text` as one line, without a full stop at its end, and escaped for a terminal."""
    return printable(" ".join(text.split())).rstrip(".")
