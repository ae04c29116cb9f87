"""One callback a turn of the loop for all connections that have something to write."""

from __future__ import annotations

import asyncio
from typing import Protocol


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
