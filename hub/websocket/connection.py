"""One websocket connection: the asyncio protocol between its transport and its session.

    HANDSHAKE -> OPEN -> CLOSING -> ENDED -> LOST

A connection may skip phases but never goes back. It calls the session's `closed` when it enters
ENDED or LOST, whichever comes first.

Input and our control frames go through `Websocket`, the library's part, so that its state is right.
Only whole text messages between other frames bypass it, which halves the cost of reading a
heartbeat. Text messages to the peer bypass it too: without compression and masks they only need a
frame header. Frames of both kinds go through one queue, the `Outbox`, which keeps their order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from enum import IntEnum
from functools import partial
from typing import assert_never, cast

from uvicorn.server import ServerState
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode

from actors.limits import LimitName
from actors.ports.audit import REFUSALS, Audited
from actors.rules.permissions import Principal
from homeport_protocol.errors import CloseCode, ProtocolError
from hub.net.caller import authenticate, caller_of
from hub.net.intake import Backlog, Intake
from hub.net.peer import socket_address
from hub.net.raw_response import Refused, error_response
from hub.telemetry import logs
from hub.websocket.close_timer import CloseTimer
from hub.websocket.frames import text_frame, whole_messages
from hub.websocket.handshake import Opening, crowded, going_away, read_handshake, refusal_of
from hub.websocket.outbox import Flusher, Outbox
from hub.websocket.ports import WebsocketHub, WebsocketSession
from hub.websocket.protocol import PONG_HEAD, Websocket

logger = logs.get("hub.connection")
_level_logger = logging.getLogger("hub.connection")


class Phase(IntEnum):
    """Where a connection is in its life."""

    HANDSHAKE = 0
    """The upgrade request has not been answered."""
    OPEN = 1
    """The session and the peer exchange messages."""
    CLOSING = 2
    """Our close frame is queued or sent; input is read only to find the peer's."""
    ENDED = 3
    """Everything is in the transport, the end of the stream included; input is dropped."""
    LOST = 4
    """The transport is gone."""


class Connection(asyncio.Protocol):
    """A websocket, from the upgrade request to its end; implements `actors.ports.link.Link`."""

    __slots__ = (
        "_address",
        "_backlog",
        "_between_frames",
        "_closing",
        "_early",
        "_frames_due",
        "_hub",
        "_intake",
        "_looking_up",
        "_namespace",
        "_outbox",
        "_phase",
        "_reading_paused",
        "_server_state",
        "_session",
        "_ws",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self, hub: WebsocketHub, server_state: ServerState, flusher: Flusher, intake: Intake
    ) -> None:
        self._hub = hub
        self._intake = intake
        self._backlog: Backlog | None = None
        self._server_state = server_state
        self._ws = Websocket(hub.max_frame_bytes)
        self._outbox = Outbox(flusher, self, hub.unsent)
        self._phase = Phase.HANDSHAKE
        self._namespace = ""
        self._address: str | None = None
        """Whom it is from, as long as it is counted for that."""
        self._session: WebsocketSession | None = None
        self._looking_up: asyncio.Task[None] | None = None
        self._early = b""
        """What came while the store is asked who the caller is: reading is paused, so one read."""
        self._between_frames = False
        self._reading_paused = False
        self._frames_due = 0.0
        self._closing: CloseTimer | None = None

    # --- the link, as the session sees it ----------------------------------------------------

    @property
    def address(self) -> str:
        """Where the peer is, for the audit log."""
        return self._address or socket_address(self.transport)

    @property
    def unsent(self) -> int:
        """Bytes accepted by `send` that have not yet been handed to the kernel."""
        return self._outbox.unsent

    @property
    def delivered(self) -> int:
        """Bytes handed to the kernel since the websocket opened."""
        return self._outbox.delivered

    def send(self, payload: bytes) -> None:
        """Queue one text message; all messages of one loop turn are sent in one write."""
        if self._phase is not Phase.OPEN:
            return
        outbox = self._outbox
        if outbox.queued > self._hub.unsent.max_bytes:  # watches and queries wait long before that
            self._hub.unsent.applied("max_unsent_bytes")
            self.cut_off("max_unsent_bytes")
            return
        outbox.push(text_frame(payload))

    def ping(self) -> None:
        """Send a ping; the session's `pong` is called when its pong arrives."""
        if self._phase is Phase.OPEN and self._ws.ping():
            self._collect()

    def end(self, code: CloseCode, reason: str) -> None:
        """End the session, which closes the websocket; called by the hub."""
        if self._session is not None:
            self._session.end(code, reason)

    def close(self, code: CloseCode, reason: str, *, discard: bool = False) -> None:
        """Close once the queue is sent, or with `discard` drop the queue and close now."""
        if self._phase is not Phase.OPEN:
            return
        if discard:
            self._outbox.discard()
        if self._ws.close(code, reason):
            self._collect()
        self._phase = Phase.CLOSING
        self._start_timer()
        self.resume_reading()
        if discard:
            # Directly after what the transport already holds, paused or not.
            self._outbox.write_all()

    def cut_off(self, setting: LimitName) -> None:
        """Close because of a limit on what is unsent, or abort if it is closing already."""
        if self._phase is Phase.OPEN:
            reason = f"reads too slowly: beyond {setting}"
            self.close(CloseCode.READS_TOO_SLOWLY, reason, discard=True)
        else:
            self.transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from the peer for now; messages that were already read may still arrive."""
        if self._phase is Phase.OPEN and not self._reading_paused:
            self._reading_paused = True
            if self._backlog is None:
                self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._reading_paused:
            self._reading_paused = False
            self._read_again()

    # --- what the transport and uvicorn call -------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport; the upgrade request follows as the first data."""
        # Both asyncio and uvloop set TCP_NODELAY on every TCP connection.
        self.transport = cast(asyncio.Transport, transport)
        self._outbox.attach(self.transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # has its shutdown()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        try:
            if self._phase is Phase.HANDSHAKE:
                if self._looking_up is None:
                    self._open(data)
                else:
                    self._early += data
            elif self._backlog is not None:  # a transport that had more, although it is paused
                self._intake.drop(self._backlog)
                self._hold(self._backlog.rest() + data)
            elif (taken := self._feed(data)) < len(data):
                taken += self._feed(data[taken:])  # mostly a frame that is not all there
                if taken < len(data):
                    self._wait(data[taken:])
        except Exception as error:
            self.crashed(error)

    def eof_received(self) -> None:
        """The peer has finished sending; the transport closes itself once everything is sent."""
        if self._backlog is not None:
            self._backlog.after = self.eof_received
            return
        try:
            self._end()
        except Exception as error:
            self.crashed(error)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._outbox.paused = True
        try:
            if self._phase is Phase.OPEN and self._session is not None:
                self._session.blocked()
        except Exception as error:
            self.crashed(error)

    def resume_writing(self) -> None:
        """The transport has sent most of its buffer."""
        outbox = self._outbox
        outbox.paused = False
        if self._phase >= Phase.ENDED:
            return
        try:
            if self._phase is Phase.OPEN:  # nothing may follow our close frame
                outbox.push_waiting_pong()
            outbox.resumed()
            self.drained()
        except Exception as error:
            self.crashed(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone; what has been read from it is taken first."""
        if self._backlog is not None:
            self._backlog.after = partial(self.connection_lost, exc)
            self._outbox.detach()
            return
        self._phase = Phase.LOST
        if self._address is not None:
            self._hub.admission.leave(self._address)
            self._address = None
        if self._looking_up is not None:
            self._looking_up.cancel()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        self._outbox.detach()
        self._server_state.connections.discard(self)
        self._end_session()
        self._debug("websocket gone", error=str(exc) if exc else None)

    def shutdown(self) -> None:
        """The listener stops; the hub has already closed its websockets, with a reason."""
        if self._phase is Phase.HANDSHAKE:
            self.transport.close()
        else:
            self.close(CloseCode.GOING_AWAY, "hub going away")

    # --- the opening handshake ---------------------------------------------------------------

    def _open(self, request: bytes) -> None:
        try:
            opening = read_handshake(request, self._hub, self.transport)
            if not self._hub.admission.enter(opening.shown.peer):
                raise crowded()
            self._address = opening.shown.peer
            principal = self._hub.authenticator.recognise(opening.shown)
            if principal is None:
                self._looking_up = asyncio.create_task(self._look_up(opening))
                self._reading_paused = True
                self.transport.pause_reading()
            else:
                self._enter(opening, principal)
        except Refused as refused:
            self._refuse(refused)
        except ProtocolError as error:
            self._refuse(refusal_of(error))

    async def _look_up(self, opening: Opening) -> None:
        """Ask the store who the caller is, and then go on; what it sends meanwhile is held."""
        try:
            principal = await authenticate(self._hub.authenticator, opening.shown)
            self._looking_up = None
            if self.transport.is_closing():
                return
            if not self._hub.accepting:
                self._refuse(going_away())
                return
            self._enter(opening, principal)
            self.resume_reading()
            early, self._early = self._early, b""
            if early:
                self.data_received(early)
        except ProtocolError as error:
            self._refuse(refusal_of(error))
        except Exception as error:
            self.crashed(error)

    def _enter(self, opening: Opening, principal: Principal) -> None:
        try:
            caller = caller_of(principal, opening.shown)
            self._session = self._hub.session(caller, self)
        except ProtocolError as error:
            if error.code in REFUSALS:
                act = Audited(
                    what="connect",
                    outcome=error.code,
                    principal=principal.id,
                    address=self.address,
                )
                self._hub.audit.refused(act)
            raise
        self._namespace = caller.namespace
        self._outbox.push(opening.response)
        self._outbox.write_all()
        self._phase = Phase.OPEN
        self._between_frames = True
        self._hub.opened(self, principal)
        self._debug("websocket open")

    def _refuse(self, refused: Refused) -> None:
        self._debug("websocket refused", status=refused.status, why=refused.message)
        headers = [*self._server_state.default_headers, *refused.headers]
        self._phase = Phase.ENDED
        self._start_timer()
        self.transport.write(error_response(refused.status, refused.message, headers))
        self.transport.close()

    # --- input -------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> int:
        """Take the first messages or frames; returns how many of the bytes they are, not 0."""
        if self._phase >= Phase.ENDED:
            return len(data)
        if self._phase is Phase.OPEN and self._between_frames:
            messages, taken = whole_messages(data, self._hub.max_frame_bytes)
            if messages:
                self._take_messages(messages)
                return taken
        return self._feed_library(data)

    def _take_messages(self, messages: list[bytes]) -> None:
        if not self._within_rate(len(messages)):
            return
        for message in messages:
            if self._phase is Phase.OPEN and self._session is not None:
                self._session.received(message)

    def _feed_library(self, data: bytes) -> int:
        frames, taken = self._ws.read(data)
        self._between_frames = self._ws.between_messages
        if self._within_rate(len(frames)):
            for frame in frames:
                if self._phase is Phase.OPEN and self._session is not None:
                    self._take(frame, self._session)
            # Last, so that a close frame of the library follows the session's answers.
            self._collect()
        return taken

    def _wait(self, rest: bytes) -> None:
        """Read no more until the rest of what was read has had its turn."""
        if self._phase >= Phase.ENDED:
            return
        if not self._hold(rest):
            return
        if not self._reading_paused and not self.transport.is_closing():
            self.transport.pause_reading()
        self._intake.add(self)
        if self._session is not None:
            self._session.hold()

    def _hold(self, rest: bytes) -> bool:
        self._backlog = self._intake.hold(rest)
        if self._backlog is None:
            self._fail(CloseCode.RATE_LIMITED, "too much at once: beyond max_unparsed_bytes")
        return self._backlog is not None

    def read_on(self) -> bool:
        """Parse a piece of the backlog; called by the intake."""
        backlog = self._backlog
        if backlog is None:
            return False
        try:
            if backlog.took(self._feed(backlog.piece())):
                if self._session is not None:
                    self._session.hold()
            else:
                self._backlog_done()
        except Exception as error:
            self._backlog_done()
            self.crashed(error)
        return self._backlog is backlog

    def _backlog_done(self) -> None:
        backlog, self._backlog = self._backlog, None
        if backlog is None:
            return
        self._intake.drop(backlog)
        if not self._reading_paused:
            self._read_again()
        if backlog.after is not None:
            backlog.after()

    def _read_again(self) -> None:
        if self._backlog is None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _within_rate(self, frames: int) -> bool:
        """Count frames; closes with 4429 and returns False when there are too many.

        A token bucket that keeps one number: when all frames so far would be paid for at the steady
        rate (the generic cell rate algorithm).
        """
        now, hub = time.monotonic(), self._hub
        self._frames_due = max(self._frames_due, now) + frames / hub.max_rate
        # The half is for the rounding of many small additions.
        if (self._frames_due - now) * hub.max_rate <= hub.burst + 0.5:
            return True
        hub.limits.applied("max_rate", address=self._peer(), namespace=self._namespace)
        self._fail(CloseCode.RATE_LIMITED, "too many frames: beyond max_rate")
        return False

    def _take(self, frame: Frame, session: WebsocketSession) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                message = self._ws.message(frame)
                if message is not None:
                    session.received(message)
            case Opcode.BINARY:
                session.received_binary()
            case Opcode.PONG:
                if self._ws.answered(frame):
                    session.pong()
            case Opcode.PING | Opcode.CLOSE:
                pass  # the library has answered them
            case _:
                assert_never(frame.opcode)

    # --- output ------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Queue the library's output, and end the connection when it asks for that."""
        ended = False
        for chunk in self._ws.data_to_send():
            if not chunk:
                ended = True
            elif chunk[0] != PONG_HEAD:
                self._outbox.push(chunk)
            elif self._phase is Phase.OPEN:
                self._outbox.push_pong(chunk)
        if ended:
            if self._ws.parser_exc is not None:
                if isinstance(self._ws.parser_exc, PayloadTooBig):
                    self._hub.limits.applied("max_frame_bytes", address=self._peer())
                self._debug("protocol broken", why=str(self._ws.parser_exc))
            self._end()

    def drained(self) -> None:
        """The outbox has passed much of its queue to the transport."""
        if self._phase is Phase.OPEN and self._session is not None:
            self._session.drained()

    # --- the end -----------------------------------------------------------------------------

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close because of an error of the peer or a bug; nothing more is read."""
        self._ws.fail(code, reason)
        self._collect()

    def _end(self) -> None:
        """Write everything that is left and the end of the stream, then wait for the peer's end.

        Only our half of the connection is closed: closing both halves with unread input would
        reset the connection, and the peer might never see our close frame.
        """
        if self._phase >= Phase.ENDED:
            return
        self._phase = Phase.ENDED
        self._start_timer()
        self._backlog_done()
        self.resume_reading()
        self._outbox.write_all()
        if not self.transport.can_write_eof():
            self.transport.close()  # TLS tells the peer of the end, and reads on until it answers
        elif not self.transport.is_closing():
            with suppress(OSError):  # the peer is gone; `connection_lost` comes next
                self.transport.write_eof()
        self._end_session()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                self._hub.closed(self, self._ws.ended_with)
                session.closed()
            except Exception:
                logger.exception("session failed to close", namespace=self._namespace)

    def crashed(self, error: Exception) -> None:
        """A bug hit this connection: log it and close with 1011; no other one is affected."""
        # Payloads are left out on purpose: they may contain session tokens.
        logger.error(
            "connection failed",
            peer=self._peer(),
            namespace=self._namespace,
            phase=self._phase.name,
            unsent=self._outbox.unsent,
            exc_info=error,
        )
        if self._phase is Phase.HANDSHAKE:
            self._refuse(Refused(500, "internal error"))
            return
        try:
            if self._phase >= Phase.ENDED:
                self.transport.abort()
                return
            self._fail(CloseCode.INTERNAL, "internal error")
        except Exception:
            logger.exception("connection could not be closed", namespace=self._namespace)
            self.transport.abort()

    def _start_timer(self) -> None:
        if self._closing is None:
            self._closing = CloseTimer(self.transport, self._outbox)

    def _debug(self, event: str, **context: object) -> None:
        # structlog checks the level only after it has built the event, which is expensive.
        if _level_logger.isEnabledFor(logging.DEBUG):
            logger.debug(event, peer=self._peer(), namespace=self._namespace, **context)

    def _peer(self) -> str:
        return self._address or str(self.transport.get_extra_info("peername"))
