"""A raw websocket: an asyncio protocol that walks over frame heads, as cheap as Python allows.

It knows only what a hub sends: whole text frames, pings and a close frame.
"""

from __future__ import annotations

import asyncio
import os
from typing import Self, cast
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.peers.frames import CLOSE, PING, TEXT, masked, masked_pong, payload_span

# The example of RFC 6455 section 1.3: any key does, and this one's answer is known.
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Target:
    """Where a peer connects to, read once: ws://USER:TOKEN@HOST:PORT/PATH?QUERY, without TLS."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or 80
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        token = f"Authorization: Bearer {parts.password}\r\n" if parts.password else ""
        self.upgrade = (
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n{token}"
            "Upgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    def check(self, headers: bytes) -> None:
        """Raise BenchError unless these headers accept the upgrade."""
        first = headers.partition(b"\r\n")[0]
        if not first.startswith(b"HTTP/1.1 101 ") or _ACCEPT not in headers:
            words = first[:200].decode(errors="replace")
            raise BenchError(f"{self.host}:{self.port} opens no websocket, but answers: {words}")

    def unreachable(self, error: OSError) -> BenchError:
        """The failure to connect, in words."""
        number = error.errno or 0  # below 0: of a name that is unknown
        words = os.strerror(number) if number > 0 else error.strerror or "no answer in time"
        return BenchError(f"cannot connect to {self.host}:{self.port}: {words}")


class RawWebsocket(asyncio.Protocol):
    """One websocket to a server; what it does with text is its subclass's.

    `end_reason` says why the connection is gone, `close_code` what a close frame said. With
    `pongs` False it never answers a ping: the peer looks dead while its socket lives.
    """

    __slots__ = ("_open", "_opening", "_rest", "close_code", "end_reason", "pongs", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.pongs = True
        self.close_code: int | None = None
        self.end_reason = ""
        self._rest = b""
        self._open = False
        self._opening: asyncio.Future[bytes] | None = None

    async def open(self, target: Target, source: str | None = None, seconds: float = 60.0) -> Self:
        """Connect, from the address `source` if given; raises BenchError when refused."""
        loop = asyncio.get_running_loop()
        self._opening = loop.create_future()
        local = None if source is None else (source, 0)
        try:
            async with asyncio.timeout(seconds):
                await loop.create_connection(
                    lambda: self, target.host, target.port, local_addr=local
                )
                self.transport.write(target.upgrade)
                headers = await self._opening
        except OSError as error:
            self.abort()
            raise target.unreachable(error) from None
        target.check(headers)
        return self

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return bool(self.end_reason)

    def abort(self) -> None:
        """Cut the connection, if there is one."""
        if hasattr(self, "transport"):
            self.transport.abort()

    def read(self, data: bytes) -> int:
        """Take in the whole frames at the beginning of `data`; returns where they end."""
        start, size = 0, len(data)
        while start < size:
            body, end = payload_span(data, start)
            if end > size:
                break
            if data[start] == TEXT:
                self.text_received(data[body:end])
            else:
                self.control(data[start], data[body:end])
            start = end
        return start

    def text_received(self, payload: bytes) -> None:
        """A message of the server."""

    def control(self, head: int, payload: bytes) -> None:
        """Any other frame of the server."""
        if head == PING:
            if self.pongs:
                self.transport.write(masked_pong(payload))
        elif head == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            reason = payload[2:].decode(errors="replace")
            self.end_reason = f"the server closed with {self.close_code} {reason}".rstrip()
            self.transport.write(masked(CLOSE, payload[:2]))
            self.transport.close()
        else:
            self.end_reason = f"the server sent a frame that begins with {head:#x}"
            self.transport.abort()

    # --- what the transport calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self._open:
            headers, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = headers
                return
            self._open = True
            if self._opening is not None and not self._opening.done():
                self._opening.set_result(headers)
        start = self.read(data)
        if start < len(data):
            self._rest = data[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.end_reason = self.end_reason or f"the connection is gone{f': {exc}' if exc else ''}"
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(BenchError(self.end_reason))
            self._opening.exception()  # nobody may be waiting for it any more
