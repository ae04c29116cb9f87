"""One HTTP connection: uvicorn's, with bounds on what a caller may send before it is served.

uvicorn leaves these open: a request whose head never ends is collected without limit, one that
never arrives holds its connection for ever, an upgrade behind an unanswered request leaves that
request's task hanging, and what comes right behind an upgrade is lost.
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

from hub.net.exchange import EXCHANGE, Exchange
from hub.net.raw_response import Headers, error_response, retry_after

MAX_HEAD_BYTES = 64 * 1024
"""What a request may hold beside its body: the head, chunk sizes, trailers."""

REQUEST_TIMEOUT = 75.0
"""Seconds for a whole request to arrive, from its first byte or from the new connection on."""

OVERLOAD_PAUSE = 5.0
"""Seconds after which a connection beyond the limit is told to try again."""

REFUSAL_TIMEOUT = 5.0
"""Seconds that a connection beyond the limit has to send something that can be answered."""


class HttpProtocol(HttpToolsProtocol):
    """Parses requests for the application, and hands upgrades to the gateway.

    With `overload` it answers 503 to the first request, and closes.
    """

    def __init__(self, config: Config, server_state: ServerState, *, overload: bool) -> None:
        super().__init__(config, server_state, {}, asyncio.get_running_loop())
        self._overload = overload
        self._refused = False
        self._unparsed = 0
        """Bytes of the current request so far, its body's not counted."""
        self._request_timer: asyncio.TimerHandle | None = None
        self._handshake_end: int | None = None
        """Where in the bytes at hand a websocket's handshake ended."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_request(REFUSAL_TIMEOUT if self._overload else REQUEST_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a handler that still runs is told."""
        self._request_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A part of a request, or several requests."""
        if self._refused:
            return
        # uvicorn's own server does this by a timer, which wakes an idle process.
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

    def on_headers_complete(self) -> None:
        """The application may answer from now on."""
        super().on_headers_complete()
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and cycle.scope is self.scope:  # else it is an upgrade
            cast(Scope, self.scope)["extensions"] = {EXCHANGE: Exchange(cycle)}

    def on_body(self, body: bytes) -> None:
        """A part of a body; its size is the application's to bound."""
        self._unparsed = max(0, self._unparsed - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has arrived in full."""
        self._request_arrived()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Give the transport to the gateway, unless older answers still need it."""
        if self._unanswered() is not None or self.transport.get_write_buffer_size():
            self._refuse(400, "a websocket upgrade must wait until earlier answers are read")
        else:
            super().handle_websocket_upgrade()
            # It leads back to us, and collections leave out what came with thousands of others.
            self.parser = None  # type: ignore[assignment]
            # We are called where uvicorn has caught it.
            self._handshake_end = cast(HttpParserUpgrade, sys.exception()).args[0]

    def send_400_response(self, msg: str) -> None:
        """Called when a request cannot be parsed."""
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
            self.transport.close()  # its handler may wait for a body that will not come
        else:
            older.keep_alive = False  # a second answer would garble it; it closes when it is done

    def _pass_on(self, early: bytes) -> None:
        """Give what came right behind the handshake to the websocket; uvicorn drops it."""
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
