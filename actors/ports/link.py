"""The port to one websocket connection."""

from __future__ import annotations

from typing import Protocol

from homeport_protocol.errors import CloseCode


class Link(Protocol):
    """One websocket connection, as its session sees it. No method blocks or raises."""

    @property
    def address(self) -> str:
        """Where the peer is, for the audit log."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes accepted by `send` that have not yet been handed to the kernel."""
        ...

    @property
    def delivered(self) -> int:
        """Bytes handed to the kernel since the connection began; it grows while the peer reads."""
        ...

    def send(self, payload: bytes) -> None:
        """Queue one text message (UTF-8 JSON); all messages of one loop turn leave in one write."""
        ...

    def ping(self) -> None:
        """Send a ping; its pong comes back as `Session.pong`."""
        ...

    def close(self, code: CloseCode, reason: str, *, discard: bool = False) -> None:
        """Send what is queued, or drop it with `discard`, and close.

        Later sends are dropped. The transport is aborted when the peer does not complete the
        closing handshake in time.
        """
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
