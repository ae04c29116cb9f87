"""One websocket of the load: an asyncio protocol that walks over frame heads and counts.

It knows only what a hub sends: whole text frames, pings and a close frame. What it asks it writes
as prepared bytes, as many requests at once as were answered at once.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import cast
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.load.talk import Talk, masked_pong, masked_text

# The example of RFC 6455 section 1.3: any key does, and this one's answer is known.
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
TIMEOUT = 60.0


class Target:
    """Where a load goes, read once: `url` is ws://HOST:PORT/PATH?QUERY, as hubs know no TLS."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or 80
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        self.upgrade = (
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    def check(self, headers: bytes) -> None:
        """That these answer the upgrade as a websocket does; else BenchError."""
        first = headers.partition(b"\r\n")[0]
        if not first.startswith(b"HTTP/1.1 101 ") or _ACCEPT not in headers:
            words = first[:200].decode(errors="replace")
            raise BenchError(f"{self.host}:{self.port} opens no websocket, but answers: {words}")

    def unreachable(self, error: OSError) -> BenchError:
        """That this keeps from connecting, in words."""
        number = error.errno or 0  # below 0: of a name that is unknown
        words = os.strerror(number) if number > 0 else error.strerror or "no answer in time"
        return BenchError(f"cannot connect to {self.host}:{self.port}: {words}")


class Script:
    """A talk as bytes: `frames` are all requests twice over, so that a run of them is one slice."""

    def __init__(self, talk: Talk) -> None:
        frames = [masked_text(each.encode()) for each in talk.requests]
        assert len({len(frame) for frame in frames}) == 1, "requests differ in length"
        self.count = len(frames)
        self.size = len(frames[0])
        self.frames = b"".join(frames * 2)
        self.answers = [each.encode() for each in talk.answers]
        self.holds = talk.holds.encode()


class Connection(asyncio.Protocol):
    """A websocket that keeps requests outstanding: each answer is followed by the next request.

    `asked` and `answered` count; `wrong` of the answers were not what they must be, the first of
    which is `example`. `ended` says why the connection is gone. `running` False asks no more.
    With a `line` of connections that have nothing outstanding, an answer is followed by a request
    of the connection that has waited longest, and this one waits.
    """

    __slots__ = (
        "_heard",
        "_open",
        "_rest",
        "_script",
        "_sent",
        "_waiting",
        "answered",
        "asked",
        "ended",
        "example",
        "line",
        "running",
        "transport",
        "wrong",
    )

    transport: asyncio.Transport

    def __init__(self, script: Script) -> None:
        self._script = script
        self._sent = 0
        self._heard = 0
        self._rest = b""
        self._open = False
        self._waiting: asyncio.Future[bytes] | None = None
        self.asked = 0
        self.answered = 0
        self.wrong = 0
        self.example = b""
        self.ended = ""
        self.line: deque[Connection] | None = None
        self.running = False

    # --- before and after the load ---------------------------------------------------------------

    async def open(self, target: Target, source: str | None = None) -> None:
        """Connect, from the address `source` if given; raises BenchError when refused."""
        local = None if source is None else (source, 0)
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: self, target.host, target.port, local_addr=local
                )
                reply = await self._converse(target.upgrade)
        except OSError as error:
            raise target.unreachable(error) from None
        target.check(reply)

    async def ask(self, payload: bytes) -> bytes:
        """Send one message and wait for the next one that comes, while no load is on."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._converse(masked_text(payload))
        except TimeoutError:
            raise BenchError(f"no answer within {TIMEOUT:g} s to {payload[:100]!r}") from None

    # --- the load --------------------------------------------------------------------------------

    def send(self, count: int) -> None:
        """Send the next requests, in one write."""
        script, first = self._script, self._sent
        self._sent = (first + count) % script.count
        self.asked += count
        size = script.size
        self.transport.write(script.frames[first * size : (first + count) * size])

    def refill(self, count: int) -> None:
        """So many answers have come at once."""
        if self.line is None:
            if self.running:
                self.send(count)
            return
        self.line.append(self)
        if self.running:
            self.line.popleft().send(count)

    def data_received(self, data: bytes) -> None:
        """Bytes of the server."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self._open:
            self._opening(data)
            return
        start, size, count = 0, len(data), 0
        script, heard, waiting = self._script, self._heard, self._waiting
        answers, holds = script.answers, script.holds
        while start + 2 <= size:
            body, length = start + 2, data[start + 1]
            if length >= 126:
                body, length = _long(data, start)
            end = body + length
            if end > size:
                break
            if data[start] != _TEXT:
                self._control(data[start], data[body:end])
            elif waiting is not None:
                waiting.set_result(data[body:end])
                waiting = None
            else:
                if not data.startswith(answers[heard], body) or data.rfind(holds, body, end) < 0:
                    self._mistaken(data[body:end])
                heard = heard + 1 if heard + 1 < script.count else 0
                count += 1
            start = end
        if start < size:
            self._rest = data[start:]
        if count:
            self._heard = heard
            self.answered += count
            self.refill(count)

    # --- within ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake follows."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.ended = self.ended or f"the connection is gone{f': {exc}' if exc else ''}"
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BenchError(self.ended))

    async def _converse(self, message: bytes) -> bytes:
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(message)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def _opening(self, data: bytes) -> None:
        headers, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            self._rest = data
            return
        self._open = True
        if self._waiting is not None:
            self._waiting.set_result(headers)
        self._rest = rest

    def _control(self, head: int, payload: bytes) -> None:
        if head == _PING:
            self.transport.write(masked_pong(payload))
        elif head == _CLOSE:
            code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
            self.ended = f"the server closed with {code} {reason}".rstrip()
            self.transport.close()
        else:
            self.ended = f"the server sent a frame that begins with {head:#x}"
            self.transport.abort()

    def _mistaken(self, payload: bytes) -> None:
        self.wrong += 1
        self.example = self.example or payload


class Timed(Connection):
    """A connection that also notes how long each answer took, in seconds.

    From the write of a request until its answer was read by this process, which others of its
    connections may have kept busy meanwhile.
    """

    __slots__ = ("_asked_at", "latencies")

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._asked_at: deque[float] = deque()
        self.latencies: list[float] = []

    def send(self, count: int) -> None:
        """Send the next requests."""
        self._asked_at.extend([time.perf_counter()] * count)
        super().send(count)

    def refill(self, count: int) -> None:
        """So many answers have come at once."""
        now = time.perf_counter()
        self.latencies += [now - self._asked_at.popleft() for _ in range(count)]
        super().refill(count)


def _long(data: bytes, start: int) -> tuple[int, int]:
    """Where the payload begins and its length, from a head with 2 or 8 bytes of length.

    Of a head that is not all there yet, the payload begins behind the end of `data`.
    """
    body = start + (4 if data[start + 1] == 126 else 10)
    return body, int.from_bytes(data[start + 2 : body], "big")
