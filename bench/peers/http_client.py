"""A raw HTTP/1.1 peer: one kept-alive connection, one request at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from bench.errors import BenchError
from homeport_protocol.codec import encode


class Response(Struct, frozen=True):
    """`sent` and `at` are `time.monotonic()` of the request's sending and of the answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent: float
    at: float

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class HttpCaller:
    """One connection to a hub, opened by the first call, and again after the hub closed it.

    `headers` go with every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._headers = "".join(f"{key}: {value}\r\n" for key, value in (headers or {}).items())
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def call(
        self, method: str, path: str, body: Any = None, seconds: float = 30.0
    ) -> Response:
        """Make one request; raises BenchError when no answer comes.

        `body` is sent as JSON, bytes as they are.
        """
        payload = body if isinstance(body, bytes) else b"" if body is None else encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Length: {len(payload)}\r\nContent-Type: application/json\r\n"
            f"{self._headers}\r\n"
        )
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    return await self._exchange(head.encode() + payload)
            except asyncio.CancelledError:
                self.close()  # the answer would be taken for that to the next request
                raise
            except (OSError, EOFError, TimeoutError) as error:
                self.close()
                words = str(error) or type(error).__name__
                url = f"http://{self._host}:{self._port}{path}"
                raise BenchError(f"{method} {url}: no answer: {words}") from None

    async def _exchange(self, request: bytes) -> Response:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        sent = time.monotonic()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        pairs = [line.split(":", 1) for line in lines if ":" in line]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _read_chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        at = time.monotonic()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Response(int(first.split(" ")[1]), headers, body, sent, at)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks: list[bytes] = []
    while size := int((await reader.readline()).strip() or b"0", 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readline()
    return b"".join(chunks)
