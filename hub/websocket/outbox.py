"""What a connection has yet to write: its order, its pace, and when it goes to the transport."""

from __future__ import annotations

import asyncio
from typing import Protocol

HIGH_WATER = 64 * 1024
"""Bytes the transport may hold; what is beyond waits in our queue, where it can be discarded."""


class Sender(Protocol):
    """Whose frames these are."""

    def drained(self) -> None:
        """Much has been handed on, and the transport has room again."""
        ...

    def crashed(self, error: Exception) -> None:
        """Nothing could be handed on, or `drained` failed."""
        ...


class Flushed(Protocol):
    """What has something to write."""

    def flush(self) -> None:
        """Write it; does not raise."""
        ...


class Flusher:
    """Has each connection write once, at the end of the turn in which it got something to write."""

    def __init__(self) -> None:
        self._waiting: list[Flushed] = []

    def add(self, connection: Flushed) -> None:
        """Flush the connection at the end of this turn; once, if it is added once."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(connection)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()


class Outbox:
    """Frames on their way to one transport, in order, and the count of bytes.

    What is pushed in one turn of the loop leaves at its end, in one write. Frames are whole here:
    `discard` never cuts one. A frame that has been handed to the transport can no longer be taken
    back, so at most `HIGH_WATER` and one frame are handed on before the transport has passed bytes
    to the kernel.
    """

    __slots__ = (
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

    def __init__(self, flusher: Flusher, sender: Sender) -> None:
        self._transport: asyncio.Transport | None = None
        self._flusher = flusher
        self._sender: Sender | None = sender
        self._due = False  # to be flushed at the end of this turn
        self._frames: list[bytes] = []
        self._pong: bytes | None = None
        self._written = 0
        self.queued = 0
        """Bytes still here, not yet given to the transport."""
        self.paused = False
        """The transport has enough for now."""

    def attach(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on."""
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport = transport

    @property
    def unsent(self) -> int:
        """Bytes here and in the transport: not yet in the kernel's hands."""
        if self._transport is None:
            return 0
        return self.queued + self._transport.get_write_buffer_size()

    @property
    def delivered(self) -> int:
        """Bytes that have gone to the kernel; keeps its last value once detached."""
        if self._transport is None:
            return self._written
        return self._written - self._transport.get_write_buffer_size()

    def push(self, frame: bytes) -> None:
        """Queue one frame, for the end of this turn or for when the transport has room."""
        self._frames.append(frame)
        self.queued += len(frame)
        if not (self._due or self.paused):
            self._due = True
            self._flusher.add(self)

    def push_pong(self, frame: bytes) -> None:
        """Queue a pong; of those that wait for a paused transport only the newest is kept.

        RFC 6455 section 5.5.3 allows answering just the latest ping, and so a peer that pings
        without reading costs no memory.
        """
        if self.paused:
            self._pong = frame
        else:
            self.push(frame)

    def push_waiting_pong(self) -> None:
        """Queue the pong that waited, now that the transport has room again."""
        if self._pong is not None:
            self.push(self._pong)
            self._pong = None

    def flush(self) -> None:
        """Hand on what this turn has brought; called by the flusher."""
        self._due = False
        much = self.queued > HIGH_WATER
        try:
            self.hand_on()
            # When the transport took it all without a pause, it will not say that it has room. Of
            # little nobody held back.
            if much and not self.paused and self._sender is not None:
                self._sender.drained()
        except Exception as error:
            if self._sender is not None:
                self._sender.crashed(error)

    def hand_on(self) -> None:
        """Hand whole frames to the transport, in one write if they are few, until it has enough."""
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
            self.hand_on_all()

    def hand_on_all(self) -> None:
        """Hand over everything, paused or not: nothing will follow that could wait its turn."""
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            self.queued = 0
            self._write(data)

    def discard(self) -> None:
        """Drop every frame that is still here."""
        self._frames = []
        self._pong = None
        self.queued = 0

    def detach(self) -> None:
        """The transport is gone."""
        self._written = self.delivered
        self._transport = self._sender = None
        self.discard()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._written += len(data)
            self._transport.write(data)
