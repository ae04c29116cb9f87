"""One HTTP connection: uvicorn's, with bounds on what a caller may send before it is served.

uvicorn lacks these bounds: it collects a request head of any length, waits for a request without a
time limit, leaves the task of an unanswered request hanging when an upgrade follows, and drops
bytes that come directly after an upgrade. It also takes the fields behind a chunked body for
headers, and logs a line for each request that it cannot parse.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from actors.limits import LimitName
from homeport_protocol.websocket import WEBSOCKET_PATH
from hub.net.admission import Admission
from hub.net.browsers import PLAIN, Permit
from hub.net.exchange import EXCHANGE, Exchange, answer_with
from hub.net.head import Head, read_head
from hub.net.peer import (
    FORWARDED,
    FORWARDED_PROTO,
    is_trusted,
    peer_address,
    plain,
    socket_address,
)
from hub.net.raw_response import Headers, Refused, error_response, retry_after
from hub.net.unsent import UnsentBudget
from hub.telemetry.peer_reports import PeerReports

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a request without its body: the head, chunk sizes and trailers."""

_WEBSOCKET = WEBSOCKET_PATH.encode()

OVERLOAD_PAUSE = 5.0
"""Seconds in the `Retry-After` for a connection beyond a limit."""

REFUSAL_TIMEOUT = 5.0
"""Seconds that a connection beyond a limit has to send a request that can be answered."""

HANDLER_GRACE = 1.0
"""Seconds that a handler has to answer 408 once its body is late."""

LINGER = 2.0
"""Seconds in which a caller that still sends may read why it is refused."""


class HttpProtocol(HttpToolsProtocol):
    """Parses requests for the application, and hands upgrades to the gateway.

    Beyond a limit of `admission` it answers 503 or 429 to the first request, and closes. `check` is
    asked of every head before anything else, and raises Refused.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        unsent: UnsentBudget,
        admission: Admission,
        *,
        check: Callable[[Head], Permit],
        reports: PeerReports,
    ) -> None:
        super().__init__(config, server_state, {}, asyncio.get_running_loop())
        self._check = check
        self._reports = reports
        self._in_head = False
        self._in_body = False
        self._stranger: Refused | None = None
        """Why the upgrade that has come is refused."""
        self._admission = admission
        self._overload: LimitName | None = None
        """The limit beyond which this connection is."""
        self._counted: str | None = None
        """The address that it is counted for."""
        self._began_at = 0.0
        """When the first byte of the current request came."""
        self._greeted = False
        """Whether its first request has said that it is no websocket's handshake."""
        self._unsent = unsent
        self._written = 0
        """Bytes in the transport at the last look."""
        self._progress_at = 0.0
        """When they were last seen to become fewer, or to be none."""
        self._refused = False
        self._refusing = False
        """Whether this connection is one of the few that are refused with an answer."""
        self._body_late = False
        self._unparsed = 0
        """Bytes of the current request so far, without its body."""
        self._request_timer: asyncio.TimerHandle | None = None
        self._handed_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        admission, address = self._admission, socket_address(transport)
        if admission.is_full(len(self.connections), address):
            self._overload = "max_connections"
        elif admission.enter(address):
            self._counted = address
            admission.began(self)
        else:
            self._overload = "max_connections_per_address"
        if self._overload is None:
            self._expect_request(admission.limits.handshake_timeout)
        elif admission.may_refuse():
            self._expect_request(REFUSAL_TIMEOUT)
            self._refusing = True
        else:
            self._refused = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; uvicorn tells a handler that still runs."""
        self._leave()
        self._request_arrived()
        self._unsent.count(self, 0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take part of a request, or several requests."""
        if self._refused:
            return
        # uvicorn's own server updates the date on a timer, which wakes an idle process.
        self.server_state.default_headers = _date(int(time.time()))
        if self._overload is not None:
            self._refuse_overload(self._overload)
            return
        self._unparsed += len(data)
        self._parse(data)
        if self._handed_over:
            return
        if self._unparsed > MAX_HEAD_BYTES:
            self._refuse(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")
        elif self._unparsed and self._request_timer is None:
            self._expect_request(self._admission.limits.request_timeout)

    def pause_writing(self) -> None:
        """The caller has not read what was written: what is left of it counts."""
        super().pause_writing()
        self._unsent.count(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The caller has read most of it."""
        self._unsent.count(self, 0)
        super().resume_writing()

    def cut_off(self, setting: LimitName) -> None:
        """Abort the connection: the caller does not read."""
        self.transport.abort()

    def check_reading(self, now: float) -> None:
        """Abort a connection whose caller has read nothing for `send_timeout`; called regularly.

        Also when it is closing, since a transport that closes waits for what it holds.
        """
        held = self.transport.get_write_buffer_size()
        if not held or held != self._written:
            self._written, self._progress_at = held, now
        elif now - self._progress_at >= self._unsent.send_timeout:
            self._unsent.applied("send_timeout")
            self.transport.abort()

    def on_message_begin(self) -> None:
        """The first byte of a request has come."""
        self._in_head = True
        self._began_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL: a first request for no websocket has `request_timeout`."""
        super().on_url(url)
        if not (
            self._greeted or self.url.startswith(_WEBSOCKET) or _WEBSOCKET.startswith(self.url)
        ):
            self._greeted = True
            if self._request_timer is not None:
                self._request_timer.cancel()
                self._request_timer = None  # `data_received` sets it again

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a field behind a chunked body is none, and is dropped."""
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the application; it may answer from now on. Raises Refused."""
        self._in_head, self._in_body = False, True
        self._greeted = True
        self._admission.greeted(self)
        secure = self.scheme == "https"
        if trusted := self._admission.limits.trusted_proxies:
            address = socket_address(self.transport)
            peer = peer_address(address, self._values(FORWARDED), trusted)
            cast(Scope, self.scope)["client"] = (peer, 0)
            if is_trusted(address, trusted):
                secure = secure or self._values(FORWARDED_PROTO)[-1:] == ["https"]
        method, version = self.parser.get_method().decode("ascii"), self.parser.get_http_version()
        head = read_head(method, version, self.url, self.headers, secure=secure)
        permit, self._stranger = PLAIN, None
        try:
            permit = self._check(head)
            if permit.preflight:
                self.app = answer_with(204, permit.headers)
        except Refused as refused:
            self._report(refused.status, refused.message)
            self._stranger = refused
            self.app = answer_with(refused.status, refused.headers, refused.message)
        if self.parser.should_upgrade() and head.has_body and self._should_upgrade():
            raise Refused(400, "a websocket's handshake has no body")
        super().on_headers_complete()
        self.app = self.config.loaded_app
        cycle = self.cycle
        if self._is_current(cycle):  # otherwise it is an upgrade
            deadline = self._began_at + self._admission.limits.request_timeout
            cast(Scope, self.scope)["extensions"] = {EXCHANGE: Exchange(cycle, deadline)}
            if permit.headers:
                cycle.default_headers = [*cycle.default_headers, *permit.headers]

    def on_body(self, body: bytes) -> None:
        """Take part of a body; the application bounds its size."""
        self._unparsed = max(0, self._unparsed - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived completely."""
        self._in_body = False
        self._request_arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or close."""
        super().on_response_complete()
        cycle = self.cycle
        if cycle.response_complete and not cycle.keep_alive and cycle.more_body:
            self._refused = True
            self._linger()

    def make_room(self) -> None:
        """Close the connection because of `max_handshakes`; it has sent no request yet."""
        self._refuse(
            503,
            "too many connections without a request (max_handshakes); try again",
            retry_after(1.0),
        )

    def _refuse_overload(self, limit: LimitName) -> None:
        if limit == "max_connections":
            status, words = 503, "too many connections"
        else:
            status, words = 429, "too many connections of this address"
        self._refuse(status, f"{words} ({limit}); try again", retry_after(OVERLOAD_PAUSE))

    def _leave(self) -> None:
        """Count no more; does nothing the second time."""
        self._admission.greeted(self)
        if self._counted is not None:
            self._admission.leave(self._counted)
            self._counted = None
        if self._refusing:
            self._admission.refused()
            self._refusing = False

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        why: BaseException | None = None
        try:
            while data:
                data = self._feed(data)
        except HttpParserCallbackError as error:
            why = error.__context__
        except HttpParserError as error:
            why = error
        else:
            return
        if not isinstance(why, Refused):
            why = Refused(400, "not a valid HTTP request")
        self._report(why.status, why.message)
        self._refuse(why.status, why.message)

    def _feed(self, data: bytes) -> bytes:
        """Parse; returns what comes behind a request that asked for a protocol unknown here."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if not self._should_upgrade():
                return rest
            self._hand_over(rest)
        return b""

    def _should_upgrade(self) -> bool:
        return self.parser.get_http_version() == "1.1" and bool(super()._should_upgrade())

    def _hand_over(self, early: bytes) -> None:
        """Give the transport to the gateway, and what came directly after the handshake.

        Unless earlier responses still need it.
        """
        if self._stranger is not None:
            self._refuse(self._stranger.status, self._stranger.message)
        elif self._unanswered() is not None or self.transport.get_write_buffer_size():
            self._refuse(400, "a websocket upgrade must wait until earlier answers are read")
        else:
            self._leave()  # the websocket counts from now on
            self._handed_over = True
            self.handle_websocket_upgrade()
            # The parser refers back to this object, and with thousands of connections the hub
            # excludes such objects from garbage collection: the cycle would not be freed.
            self.parser = None  # type: ignore[assignment]
            if early:
                cast(asyncio.Protocol, self.transport.get_protocol()).data_received(early)

    def _report(self, status: int, why: str) -> None:
        client = (self.scope or {}).get("client")
        self._reports.refused(plain(client[0]) if client else "", status, why)

    def _values(self, name: bytes) -> list[str]:
        return [str(value, "latin-1").strip(" \t") for each, value in self.headers if each == name]

    def _refuse(self, status: int, message: str, headers: Headers = ()) -> None:
        """Answer the request that is being read, and close; earlier ones are answered before."""
        self._request_arrived()
        self._refused = True
        if self.transport.is_closing():
            return
        cycle = self._unanswered()
        if cycle is None:
            if not self._in_body or not self._is_current(self.cycle):  # or it was answered already
                headers = [*self.server_state.default_headers, *headers]
                self.transport.write(error_response(status, message, headers))
            self._linger()
        elif not cycle.more_body:
            cycle.keep_alive = False  # a second response would garble it; it closes at its end
        elif cycle.response_started or self.pipeline:
            self.transport.close()  # its handler may wait for a body that will never arrive
        else:
            cycle.disconnected = True  # so does this one: it is told that the caller has gone
            cycle.message_event.set()
            headers = [*self.server_state.default_headers, *headers]
            self.transport.write(error_response(status, message, headers))
            self._linger()

    def _linger(self) -> None:
        """Close once the caller has had time to read: unread input would reset the connection."""
        self._request_arrived()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._request_timer = self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()  # TLS, which reads on until its own end

    def _unanswered(self) -> RequestResponseCycle | None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return None if cycle is None or cycle.response_complete else cycle

    def _is_current(self, cycle: RequestResponseCycle | None) -> bool:
        """Whether this is of the request that was begun last."""
        return cycle is not None and cycle.scope is self.scope

    def _expect_request(self, timeout: float) -> None:
        self._request_timer = self.loop.call_later(timeout, self._too_late)

    def _request_arrived(self) -> None:
        self._unparsed = 0
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _too_late(self) -> None:
        older = self._unanswered()
        if older is not None and older.more_body and not self._body_late:
            self._body_late = True  # its handler knows that as well, and answers
            self._expect_request(HANDLER_GRACE)
            return
        if self._overload is None:
            self._admission.applied(
                "request_timeout" if self._greeted else "handshake_timeout",
                address=socket_address(self.transport),
            )
        if self._unparsed:
            self._refuse(408, "the request did not arrive in time")
        else:
            self.transport.close()


@lru_cache(maxsize=1)
def _date(second: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(second, usegmt=True).encode())]
