"""The frames that a connection has yet to write, and when they go to the transport."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hub.net.unsent import Peer, UnsentBudget

HIGH_WATER = 64 * 1024
"""Bytes that the transport may hold; more waits in our queue, where it can be discarded."""


class Sender(Peer, Protocol):
    """The connection whose frames these are."""

    def drained(self) -> None:
        """Much was written, and the transport has room again."""
        ...

    def crashed(self, error: Exception) -> None:
        """Writing failed, or `drained` did."""
        ...


class Flushed(Protocol):
    """Something with pending output."""

    def flush(self) -> None:
        """Write the output; does not raise."""
        ...


class Flusher:
    """Lets each connection write once, at the end of a loop turn in which it has output."""

    def __init__(self) -> None:
        self._waiting: list[Flushed] = []

    def add(self, connection: Flushed) -> None:
        """Flush the connection at the end of this turn; add it only once a turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(connection)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()


class Outbox:
    """Frames on their way to one transport, in order, and the number of their bytes.

    The frames that are pushed in one turn of the loop are written at its end, in one write. The
    queue holds whole frames, so `discard` never cuts one. A frame in the transport can no longer be
    discarded, so at most `HIGH_WATER` bytes and one frame are given to the transport before it has
    passed bytes to the kernel. While the transport is paused, all bytes count in the `budget`.
    """

    __slots__ = (
        "_budget",
        "_due",
        "_flusher",
        "_frames",
        "_pong",
        "_sender",
        "_transport",
        "_written",
        "paused",
        "queued",
    )

    def __init__(self, flusher: Flusher, sender: Sender, budget: UnsentBudget) -> None:
        self._transport: asyncio.Transport | None = None
        self._budget = budget
        self._flusher = flusher
        self._sender: Sender | None = sender
        self._due = False  # a flush is scheduled for the end of this turn
        self._frames: list[bytes] = []
        self._pong: bytes | None = None
        self._written = 0
        self.queued = 0
        """Bytes in the queue, not yet given to the transport."""
        self.paused = False
        """The transport's buffer is full."""

    def attach(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on."""
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport = transport

    @property
    def unsent(self) -> int:
        """Bytes in the queue and in the transport, not yet given to the kernel."""
        if self._transport is None:
            return 0
        return self.queued + self._transport.get_write_buffer_size()

    @property
    def delivered(self) -> int:
        """Bytes that were given to the kernel; keeps its last value once detached."""
        if self._transport is None:
            return self._written
        return self._written - self._transport.get_write_buffer_size()

    def push(self, frame: bytes) -> None:
        """Queue one frame until the end of this turn, or until the transport has room."""
        self._frames.append(frame)
        self.queued += len(frame)
        if self.paused:
            self._count()
        elif not self._due:
            self._due = True
            self._flusher.add(self)

    def push_pong(self, frame: bytes) -> None:
        """Queue a pong; while the transport is paused, only the newest pong is kept.

        RFC 6455 section 5.5.3 allows answering only the latest ping, so a peer that sends pings
        without reading costs no memory.
        """
        if self.paused:
            self._pong = frame
        else:
            self.push(frame)

    def push_waiting_pong(self) -> None:
        """Queue the pong that was kept while the transport was paused."""
        if self._pong is not None:
            self.push(self._pong)
            self._pong = None

    def flush(self) -> None:
        """Write the frames of this turn; called by the flusher."""
        self._due = False
        much = self.queued > HIGH_WATER
        try:
            self.write_pending()
            # A transport that never paused never calls resume_writing, so notify here; below
            # HIGH_WATER nothing was held back.
            if self.paused:
                self._count()
            elif much and self._sender is not None:
                self._sender.drained()
        except Exception as error:
            if self._sender is not None:
                self._sender.crashed(error)

    def write_pending(self) -> None:
        """Give whole frames to the transport until it pauses; in one write if they are few."""
        while self.queued > HIGH_WATER and not self.paused:
            size = count = 0
            while size < HIGH_WATER and count < len(self._frames):
                size += len(self._frames[count])
                count += 1
            frames = self._frames[:count]
            del self._frames[:count]
            self.queued -= size
            self._write(b"".join(frames))
        if not self.paused:
            self.write_all()

    def resumed(self) -> None:
        """The transport has sent most of its buffer: write what it takes now."""
        self.write_pending()
        self._count()

    def write_all(self) -> None:
        """Give everything to the transport, paused or not: nothing else will follow."""
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            self.queued = 0
            self._write(data)

    def discard(self) -> None:
        """Drop every frame in the queue."""
        self._frames = []
        self._pong = None
        self.queued = 0
        self._count()

    def detach(self) -> None:
        """The transport is gone."""
        self._written = self.delivered
        self._transport = None
        self.discard()  # from here on nothing is unsent
        self._sender = None

    def _count(self) -> None:
        if self._sender is not None:
            self._budget.count(self._sender, self.unsent if self.paused else 0)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._written += len(data)
            self._transport.write(data)
