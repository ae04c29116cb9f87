"""A request body and a response in one piece each, where ASGI uses several.

ASGI delivers a body in parts, so a handler has to await even a body that came with the head. It
sends a response in two parts, and uvicorn writes them separately: each write costs as much as a
whole handler. An application finds the exchange in `scope["extensions"]` under `EXCHANGE` and may
use it instead of `receive` and `send`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from hub.net.caller import certificate_of
from hub.net.raw_response import Headers

EXCHANGE = "homeport.exchange"

CLOSING = frozenset({408, 413})
"""Answers to a body that will not be read to its end."""


class Exchange:
    """One request of an HTTP connection; its body must have come at `deadline`, a loop time."""

    __slots__ = ("_cycle", "deadline")

    def __init__(self, cycle: RequestResponseCycle, deadline: float) -> None:
        self._cycle = cycle
        self.deadline = deadline

    def whole_body(self) -> bytes | None:
        """The body, if all of it has arrived and none of it was received before; else None."""
        cycle = self._cycle
        return None if cycle.more_body else bytes(cycle.body)

    @property
    def certificate(self) -> bytes | None:
        """The certificate that the caller proved to hold, in DER, if any."""
        return certificate_of(self._cycle.transport)

    @property
    def caller_gone(self) -> bool:
        """Whether the caller has closed the connection, so that it gets no response."""
        return self._cycle.disconnected or self._cycle.transport.is_closing()

    async def answer(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: Sequence[bytes]
    ) -> None:
        """Send a whole response; `headers` include its length, and `body` is written unchanged.

        Waits until the caller has read most of the earlier responses. Does nothing when the caller
        has gone.
        """
        if not await self._drained():
            return
        if status in CLOSING and self._cycle.more_body:
            self._cycle.keep_alive = False
        self._cycle.response_started = True
        self._end([self._head(status, headers), *body])

    def give_up(self) -> None:
        """End the connection without an answer, or in the middle of one."""
        self._cycle.disconnected = True
        self._cycle.transport.close()

    async def answer_in_slices(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], slices: AsyncIterator[bytes]
    ) -> None:
        """Send a response of any length, whose slices are made as the caller reads them.

        Other work gets its turn between two slices. Does nothing more when the caller has gone.
        """
        cycle = self._cycle
        chunked = cycle.scope["http_version"] == "1.1"
        if chunked:
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        else:
            cycle.keep_alive = False  # the end of the connection is the end of the body
        if not await self._drained():
            return
        cycle.response_started = True
        cycle.transport.write(self._head(status, headers))
        async for part in slices:
            cycle.transport.write(_chunk(part) if chunked else part)
            await asyncio.sleep(0)
            if not await self._drained():
                return
        self._end([b"0\r\n\r\n"] if chunked else [])

    async def _drained(self) -> bool:
        """Wait until the caller has read most of what was sent; False when it has gone."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if self.caller_gone:
            cycle.disconnected = True  # of several pipelined requests uvicorn marks only the last
            return False
        return True

    def _head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        cycle = self._cycle
        head = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        return b"".join(head)

    def _end(self, parts: list[bytes]) -> None:
        """Write the last of a response, and do what the cycle itself does then."""
        cycle = self._cycle
        cycle.response_complete = True
        # One `write`: asyncio's `writelines` of 3.12 and 3.13.0 never pauses (CVE-2024-12254), and
        # that of later versions fails on a connection which is lost (python/cpython#136234).
        cycle.transport.write(b"".join(parts))
        cycle.message_event.set()
        if not cycle.keep_alive and not cycle.more_body:
            cycle.transport.close()
        cycle.on_response()


def answer_with(status: int, headers: Headers, message: str | None = None) -> ASGIApp:
    """An application that answers its one request so, with an error's body if there is one."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope.pop("extensions")[EXCHANGE]  # it refers back to the scope
        body = b"" if message is None else json.dumps({"error": message}).encode()
        kind = () if message is None else ((b"content-type", b"application/json"),)
        length = () if status == 204 else ((b"content-length", b"%d" % len(body)),)
        shown = () if scope["method"] == "HEAD" else (body,)
        await exchange.answer(status, (*headers, *kind, *length), shown)

    return answer


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)
