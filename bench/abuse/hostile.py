"""One connection of an attacker, over a raw socket, and the tally of what all of them got."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Self, cast

from bench.peers.frames import CLOSE
from bench.peers.raw_websocket import Target

TAIL = 1024
"""Bytes of the end of a stream that are kept: a close frame, or the answer to a registration."""

CONNECTING = 10.0
"""Seconds until a connection that nobody accepts is given up."""


class Tally:
    """What came of an attacker's connections.

    `ends` counts how they ended: `HTTP 408` for an answer before any upgrade, `close 4429` for a
    close frame, `cut off` for a connection that ended without a word, `not accepted`, and
    `given up` for one that the attacker itself dropped.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self.most_open = 0
        self.sent = 0
        self.received = 0
        self.done = 0
        """Requests that the hub did: changes, registrations with their ends, lists."""
        self.ends: Counter[str] = Counter()


class Hostile(asyncio.Protocol):
    """A connection that sends what it is told, reads whatever comes, and drops it."""

    transport: asyncio.Transport

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._head = b""
        self._tail = b""
        self._room = asyncio.Event()
        self._room.set()
        self._heard = asyncio.Event()
        self._ended = asyncio.Event()
        self._given_up = False
        self.received = 0

    @classmethod
    async def connect(cls, target: Target, tally: Tally, source: str | None = None) -> Self:
        """Open a connection; raises OSError, TimeoutError included, when none comes about."""
        local = None if source is None else (source, 0)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECTING):
                _, protocol = await loop.create_connection(
                    lambda: cls(tally), target.host, target.port, local_addr=local
                )
        except OSError:
            tally.ends["not accepted"] += 1
            raise
        return protocol

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return self._ended.is_set()

    def write(self, data: bytes) -> None:
        """Send it; nothing happens once the connection is gone."""
        if not self.ended:
            self._tally.sent += len(data)
            self.transport.write(data)

    async def pour(self, data: bytes) -> None:
        """Send it, and wait until there is room for more, or the connection is gone."""
        self.write(data)
        await self._room.wait()

    async def heard(self, size: int, seconds: float = 10.0) -> bool:
        """Wait until so many bytes came in all; False when it ended, or took too long."""
        try:
            async with asyncio.timeout(seconds):
                while self.received < size and not self.ended:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            return False
        return self.received >= size

    def latest(self) -> bytes:
        """The end of what came, at most TAIL bytes."""
        return self._tail

    async def upgrade(self, target: Target) -> bool:
        """Ask for a websocket, and wait for the answer: whether there is one."""
        self.write(target.upgrade)
        await self.heard(16)
        return self._head.startswith(b"HTTP/1.1 101 ")

    async def end(self) -> None:
        """Wait until the hub has ended the connection."""
        await self._ended.wait()

    def abort(self) -> None:
        """Drop the connection."""
        if not self.ended:
            self._given_up = True
            self.transport.abort()

    # --- what the transport calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        tally = self._tally
        tally.opened += 1
        tally.open += 1
        tally.most_open = max(tally.most_open, tally.open)

    def data_received(self, data: bytes) -> None:
        self._tally.received += len(data)
        self.received += len(data)
        if len(self._head) < 16:
            self._head += data[:16]
        self._tail = (self._tail + data)[-TAIL:] if len(data) < TAIL else data[-TAIL:]
        self._heard.set()
        if CLOSE in self._tail and self._closed_with() is not None:
            self.transport.abort()  # a hub that closes waits for the answer, which it does not get

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.open -= 1
        self._tally.ends[self._end()] += 1
        self._ended.set()
        self._room.set()
        self._heard.set()

    def _end(self) -> str:
        if self._given_up:
            return "given up"
        status = self._head[9:12].decode("latin-1")
        if self._head.startswith(b"HTTP/1.") and status != "101":
            return f"HTTP {status}"
        code = self._closed_with()
        return "cut off" if code is None else f"close {code}"

    def _closed_with(self) -> int | None:
        """The code of the close frame that ends what came, if one does."""
        for length in range(2, 126):
            frame = self._tail[-length - 2 :]
            if frame[:2] == bytes((CLOSE, length)):
                return int.from_bytes(frame[2:4], "big")
        return None
