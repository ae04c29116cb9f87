"""What the programs of a fault's scene write down, one JSON object a line, and how it is read.

`at` is `time.monotonic()`, which is one clock for all processes of a machine. A program that is
killed leaves at most half a line at its end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from homeport_protocol.record import AgentRecord


class Note(Struct, frozen=True, kw_only=True, tag_field="what"):
    """Something that happened."""

    at: float


class Opened(Note, frozen=True, kw_only=True, tag="opened"):
    """A connection to a hub is there."""

    connection: int
    hub: str


class Ended(Note, frozen=True, kw_only=True, tag="ended"):
    """A connection is gone; 1006 when it broke without a close code."""

    connection: int
    code: int


class Said(Note, frozen=True, kw_only=True, tag="said"):
    """An agent asks a hub, over a connection or (0) over HTTP; `number` is the ask's own."""

    number: int
    connection: int
    op: str
    agent_id: str
    hub: str
    says: dict[str, Any]


class Answered(Note, frozen=True, kw_only=True, tag="answered"):
    """The answer to it: `code` is `ok` or an error's."""

    number: int
    code: str
    given: int = 0
    revision: int = 0
    log: str = ""
    durable: bool = True
    unknown: bool = False
    agent_id: str = ""


class Watching(Note, frozen=True, kw_only=True, tag="watching"):
    """A watch begins on a connection."""

    connection: int
    watcher: str
    hub: str
    since: int | None
    since_log: str
    by_position: bool = False
    resumed: bool
    log: str
    revision: int


class Snapped(Note, frozen=True, kw_only=True, tag="snapped"):
    """A watch was given all agents, as of a revision."""

    connection: int
    log: str
    revision: int
    agents: list[AgentRecord]


class Heard(Note, frozen=True, kw_only=True, tag="heard"):
    """A watch was told of a change."""

    connection: int
    revision: int
    kind: str
    agent: AgentRecord
    coalesced: bool = False


class Pulse(Note, frozen=True, kw_only=True, tag="pulse"):
    """The program runs. Where pulses are missing it did not, and gave no sign of life."""


class Trouble(Note, frozen=True, kw_only=True, tag="trouble"):
    """The program saw what must not be."""

    words: str


AnyNote = Opened | Ended | Said | Answered | Watching | Snapped | Heard | Pulse | Trouble

N = TypeVar("N", bound=Note)

_decoder = msgspec.json.Decoder(AnyNote)
_encode = msgspec.json.Encoder().encode


class Pen:
    """Writes notes; each is with the system when `note` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def note(self, kind: type[Note], /, **fields: Any) -> None:
        """Write down that this happened: now, unless `at` is given."""
        self._file.write(_encode(kind(**{"at": time.monotonic(), **fields})) + b"\n")


def read_notes(path: Path) -> list[Note]:
    """All notes of one program, in the order in which they were written."""
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    notes: list[Note] = [_decoder.decode(line) for line in lines]
    try:
        return [*notes, _decoder.decode(rest)] if rest else notes
    except msgspec.MsgspecError:
        return notes  # killed while it wrote


def of_kind(notes: list[Note], kind: type[N]) -> list[N]:
    """Those of one kind."""
    return [note for note in notes if isinstance(note, kind)]
