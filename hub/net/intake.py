"""Bytes that were read and wait to be parsed, so that nobody's flood keeps others waiting.

A connection takes a few messages, frames or requests of each read at once. What else one read
brought waits here, and the connection reads no more meanwhile: connections go on in turn, a piece
each, and all of them together for BUDGET in a turn of the loop. So a peer that sends tiny frames or
requests as fast as it can gets no more of the hub than that, however many do so, and a heartbeat
is read between them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from actors.limits import LimitName

BUDGET = 0.001
"""Seconds of one turn of the event loop in which waiting bytes are parsed."""

PIECE = 4096
"""Bytes of a connection that are looked at before it is the next one's turn."""


class Backlog:
    """What one connection has read and not parsed: one read of the transport at most."""

    __slots__ = ("_at", "_data", "after")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.after: Callable[[], None] | None = None
        """What the transport told meanwhile, to be done once it has been parsed: an end."""

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory."""
        return len(self._data)

    def piece(self) -> bytes:
        """The bytes that come next."""
        return self._data[self._at : self._at + PIECE]

    def rest(self) -> bytes:
        """All bytes that have not been parsed."""
        return self._data[self._at :]

    def took(self, count: int) -> bool:
        """So many of them have been parsed; returns whether any are left."""
        self._at += count
        return self._at < len(self._data)


class Reader(Protocol):
    """A connection with a backlog."""

    def read_on(self) -> bool:
        """Parse a piece of it; returns whether it wants another turn. Does not raise."""
        ...


class Intake:
    """The connections of a hub that have a backlog, in turn.

    All backlogs together have at most `max_bytes`; `applied` is told when that is applied. One read
    brings 256 KB at most, and peers that send no more than they have to say leave none.
    """

    def __init__(
        self,
        max_bytes: int = 64 * 1024 * 1024,
        applied: Callable[[LimitName], None] = lambda _setting: None,
    ) -> None:
        self._waiting: deque[Reader] = deque()
        self._begun = False
        self._max_bytes = max_bytes
        self._applied = applied
        self.held = 0
        """Bytes of all backlogs."""

    def hold(self, data: bytes) -> Backlog | None:
        """A backlog of these bytes, which its connection gives to `drop` in the end.

        None when too much waits: the connection is to be closed.
        """
        if self.held + len(data) > self._max_bytes:
            self._applied("max_unparsed_bytes")
            return None
        self.held += len(data)
        return Backlog(data)

    def drop(self, backlog: Backlog) -> None:
        """A backlog is parsed, or no longer wanted."""
        self.held -= backlog.size

    def add(self, reader: Reader) -> None:
        """Have it read on when its turn comes; not again before then."""
        self._waiting.append(reader)
        if not self._begun:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        waiting, until = self._waiting, time.monotonic() + BUDGET
        while waiting:
            reader = waiting.popleft()
            if reader.read_on():
                waiting.append(reader)
            if time.monotonic() >= until:
                break
        if waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._begun = False
