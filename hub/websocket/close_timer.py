"""The time limits of a closing connection."""

from __future__ import annotations

import asyncio

from hub.websocket.outbox import Outbox

CLOSE_TIMEOUT = 5.0
"""Seconds that a peer has to answer our close frame, or to disconnect after its own."""

LINGER = 30.0
"""Seconds that a closing connection has to send what it still holds."""


class CloseTimer:
    """Aborts the transport when the peer does not complete the close in time.

    A peer that reads has CLOSE_TIMEOUT. A peer that does not read leaves bytes in our buffers; it
    has LINGER to read them, and then CLOSE_TIMEOUT to answer.
    """

    __slots__ = ("_handle", "_loop", "_outbox", "_stuck", "_transport", "_until")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._outbox = outbox
        self._stuck = False
        self._until = self._loop.time() + LINGER
        self._handle = self._loop.call_later(CLOSE_TIMEOUT, self._fire)

    def cancel(self) -> None:
        """Stop the timer: the connection is gone."""
        self._handle.cancel()

    def _fire(self) -> None:
        was_stuck, self._stuck = self._stuck, self._outbox.unsent > 0
        rest = self._until - self._loop.time()
        if rest <= 0 if self._stuck else not was_stuck:
            self._transport.abort()
            return
        wait = min(CLOSE_TIMEOUT, rest) if self._stuck else CLOSE_TIMEOUT
        self._handle = self._loop.call_later(wait, self._fire)
