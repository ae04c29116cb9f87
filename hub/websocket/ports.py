"""What a websocket tells its session, and what it needs from the hub."""

from __future__ import annotations

from typing import Protocol

from actors.ports.link import Link


class WebsocketSession(Protocol):
    """What a connection tells its session; `actors.session.session.Session` is the real one."""

    def received(self, data: bytes) -> None:
        """One complete text message; whether it is UTF-8 has not been checked."""
        ...

    def received_binary(self) -> None:
        """A binary message has begun; its content is dropped."""
        ...

    def pong(self) -> None:
        """The peer answered a ping of ours; pongs that nobody asked for are not passed on."""
        ...

    def blocked(self) -> None:
        """The peer does not read as fast as it is sent to; bytes begin to pile up here."""
        ...

    def drained(self) -> None:
        """What was queued has been handed on, and the transport has room again.

        `link.unsent` is then at most about 64 KiB (`hub.websocket.outbox.HIGH_WATER`). Called after
        every hand-over of more than that, so a session that holds back meanwhile is always called.
        """
        ...

    def closed(self) -> None:
        """The connection is of no more use: nothing more is received, and sends are dropped.

        Called exactly once, and last: when the peer closes or vanishes, breaks the protocol or
        floods; after the session's own `link.close`, when that has come to its end.
        """
        ...


class WebsocketHub(Protocol):
    """What a websocket needs from the hub."""

    @property
    def accepting(self) -> bool:
        """False while the hub drains: new websockets are refused with 503."""
        ...

    @property
    def max_frame_bytes(self) -> int:
        """Largest message taken from a peer; beyond it the connection is closed with 1009."""
        ...

    @property
    def max_rate(self) -> int:
        """Frames a peer may send within one second, control frames and fragments included.

        Beyond it the connection is closed with 4429.
        """
        ...

    def opened(self, connection: Link) -> None:
        """A websocket is open."""
        ...

    def closed(self, connection: Link, code: int) -> None:
        """It is of no more use; `code` is 1006 where no close frame told. Called once for each."""
        ...

    def session(self, namespace: str, link: Link) -> WebsocketSession:
        """A session for a connection that is about to open, such as `Session(supervisor, link)`.

        Returns at once; the link can be used from the next call of the session on. Raises
        ProtocolError to refuse (too many namespaces, say): the peer gets that code's HTTP status.
        """
        ...
