"""One HTTP connection: uvicorn's, with bounds on what a caller may send before it is served.

uvicorn lacks these bounds: it collects a request head of any length, waits for a request without a
time limit, leaves the task of an unanswered request hanging when an upgrade follows, and drops
bytes that come directly after an upgrade.
"""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate
from functools import lru_cache
from typing import cast

from httptools import HttpParserUpgrade
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from actors.limits import LimitName
from hub.net.exchange import EXCHANGE, Exchange
from hub.net.raw_response import Headers, error_response, retry_after
from hub.net.unsent import UnsentBudget

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a request without its body: the head, chunk sizes and trailers."""

REQUEST_TIMEOUT = 75.0
"""Seconds for a whole request to arrive, from its first byte or from the connection's start."""

OVERLOAD_PAUSE = 5.0
"""Seconds in the `Retry-After` for a connection beyond the limit."""

REFUSAL_TIMEOUT = 5.0
"""Seconds that a connection beyond the limit has to send a request that can be answered."""


class HttpProtocol(HttpToolsProtocol):
    """Parses requests for the application, and hands upgrades to the gateway.

    With `overload` it answers 503 to the first request, and closes.
    """

    def __init__(
        self, config: Config, server_state: ServerState, unsent: UnsentBudget, *, overload: bool
    ) -> None:
        super().__init__(config, server_state, {}, asyncio.get_running_loop())
        self._overload = overload
        self._unsent = unsent
        self._written = 0
        """Bytes in the transport at the last look."""
        self._progress_at = 0.0
        """When they were last seen to become fewer, or to be none."""
        self._refused = False
        self._unparsed = 0
        """Bytes of the current request so far, without its body."""
        self._request_timer: asyncio.TimerHandle | None = None
        self._handshake_end: int | None = None
        """Where the websocket handshake ended in the data being received."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_request(REFUSAL_TIMEOUT if self._overload else REQUEST_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; uvicorn tells a handler that still runs."""
        self._request_arrived()
        self._unsent.count(self, 0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take part of a request, or several requests."""
        if self._refused:
            return
        # uvicorn's own server updates the date on a timer, which wakes an idle process.
        self.server_state.default_headers = _date(int(time.time()))
        if self._overload:
            self._refuse(503, "too many connections; try again", retry_after(OVERLOAD_PAUSE))
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._handshake_end is not None:
            self._pass_on(data[self._handshake_end :])
        elif self._unparsed > MAX_HEAD_BYTES:
            self._refuse(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")
        elif self._unparsed and self._request_timer is None:
            self._expect_request(REQUEST_TIMEOUT)

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

    def on_headers_complete(self) -> None:
        """Start the application; it may answer from now on."""
        super().on_headers_complete()
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and cycle.scope is self.scope:  # otherwise it is an upgrade
            cast(Scope, self.scope)["extensions"] = {EXCHANGE: Exchange(cycle)}

    def on_body(self, body: bytes) -> None:
        """Take part of a body; the application bounds its size."""
        self._unparsed = max(0, self._unparsed - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived completely."""
        self._request_arrived()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Give the transport to the gateway, unless earlier responses still need it."""
        if self._unanswered() is not None or self.transport.get_write_buffer_size():
            self._refuse(400, "a websocket upgrade must wait until earlier answers are read")
        else:
            super().handle_websocket_upgrade()
            # The parser refers back to this object, and with thousands of connections the hub
            # excludes such objects from garbage collection: the cycle would not be freed.
            self.parser = None  # type: ignore[assignment]
            # uvicorn calls this method while it handles the parser's exception.
            self._handshake_end = cast(HttpParserUpgrade, sys.exception()).args[0]

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed."""
        self._refuse(400, "not a valid HTTP request")

    def _refuse(self, status: int, message: str, headers: Headers = ()) -> None:
        self._request_arrived()
        self._refused = True
        if self.transport.is_closing():
            return
        older = self._unanswered()
        if older is None:
            headers = [*self.server_state.default_headers, *headers]
            self.transport.write(error_response(status, message, headers))
            self.transport.close()
        elif older.more_body:
            self.transport.close()  # its handler may wait for a body that will never arrive
        else:
            older.keep_alive = False  # a second response would garble it; it closes at its end

    def _pass_on(self, early: bytes) -> None:
        """Give the websocket the bytes directly after the handshake, which uvicorn drops."""
        if early:
            cast(asyncio.Protocol, self.transport.get_protocol()).data_received(early)

    def _unanswered(self) -> RequestResponseCycle | None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return None if cycle is None or cycle.response_complete else cycle

    def _expect_request(self, timeout: float) -> None:
        self._request_timer = self.loop.call_later(timeout, self._too_late)

    def _request_arrived(self) -> None:
        self._unparsed = 0
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _too_late(self) -> None:
        if self._unparsed:
            self._refuse(408, "the request did not arrive in time")
        else:
            self.transport.close()


@lru_cache(maxsize=1)
def _date(second: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(second, usegmt=True).encode())]
