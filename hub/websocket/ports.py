"""The ports of a websocket: its session, and the hub."""

from __future__ import annotations

from typing import Protocol

from actors.ports.link import Link
from actors.rules.permissions import Principal
from homeport_protocol.errors import CloseCode
from hub.net.admission import Admission
from hub.net.caller import Authenticator, Caller
from hub.net.unsent import UnsentBudget
from hub.telemetry.audit import AuditLog
from hub.telemetry.limit_reports import LimitReports


class OpenWebsocket(Link, Protocol):
    """A websocket that is open, as the hub sees it."""

    def end(self, code: CloseCode, reason: str) -> None:
        """End its session: nothing that has come from the peer is done, nor more sent to it."""
        ...


class WebsocketSession(Protocol):
    """What a connection calls; `actors.session.session.Session` implements it."""

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection; nothing more is taken from the peer."""
        ...

    def received(self, data: bytes) -> None:
        """One complete text message; it may not be valid UTF-8."""
        ...

    def hold(self) -> None:
        """Much has come at once: what follows is taken when its turn comes."""
        ...

    def received_binary(self) -> None:
        """A binary message has begun; its content is dropped."""
        ...

    def pong(self) -> None:
        """The peer answered a ping of ours; unsolicited pongs are not passed on."""
        ...

    def blocked(self) -> None:
        """The peer reads more slowly than the hub sends; bytes begin to pile up."""
        ...

    def drained(self) -> None:
        """The queue has been written, and the transport has room again.

        `link.unsent` is then at most about 64 KiB (`hub.websocket.outbox.HIGH_WATER`). Called after
        every write of more than that, so a session that has paused is always called.
        """
        ...

    def closed(self) -> None:
        """The connection has ended: nothing more is received, and sends are dropped.

        Called exactly once, and last: when the peer closes, vanishes, breaks the protocol or sends
        too much, or when the close that the session asked for is complete.
        """
        ...


class WebsocketHub(Protocol):
    """What a websocket needs from the hub."""

    @property
    def accepting(self) -> bool:
        """False while the hub drains: new websockets are refused with 503."""
        ...

    @property
    def authenticator(self) -> Authenticator:
        """Who answers for whom a handshake acts."""
        ...

    @property
    def max_frame_bytes(self) -> int:
        """Largest message taken from a peer; beyond it the connection is closed with 1009."""
        ...

    @property
    def max_rate(self) -> int:
        """Frames a peer may send a second, control frames and fragments included.

        Beyond it the connection is closed with 4429.
        """
        ...

    @property
    def burst(self) -> int:
        """How many frames it may send at once, after a pause."""
        ...

    @property
    def admission(self) -> Admission:
        """How many connections one address may hold, and whose word for an address counts."""
        ...

    @property
    def limits(self) -> LimitReports:
        """Told of each limit that is applied."""
        ...

    @property
    def audit(self) -> AuditLog:
        """Told of handshakes that are refused because of who asks."""
        ...

    @property
    def unsent(self) -> UnsentBudget:
        """What peers may leave unread; beyond it they are closed with 4413."""
        ...

    def opened(self, connection: OpenWebsocket, principal: Principal) -> None:
        """A websocket is open, for that principal."""
        ...

    def closed(self, connection: OpenWebsocket, code: int) -> None:
        """A websocket has ended; `code` is 1006 without a close frame. Called once for each."""
        ...

    def session(self, caller: Caller, link: Link) -> WebsocketSession:
        """A session for a connection that is about to open, in the caller's namespace.

        Returns at once; the session may use the link once one of its own methods is called. Raises
        ProtocolError to refuse (too many namespaces, say); the peer gets the code's HTTP status.
        """
        ...
