"""The load of HTTP requests, on servers that are slower than a measurement is long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bench.load.http_load import Aim, _measure

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def answering_after(seconds: float) -> AsyncIterator[Aim]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(seconds)
                writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        get = b"GET /agents HTTP/1.1\r\nHost: peer\r\n\r\n"
        yield Aim(name="peer list", host="127.0.0.1", port=port, requests=[get], status=200)


async def test_a_server_slower_than_the_measurement_has_a_rate() -> None:
    async with answering_after(0.8) as aim:
        seen = await _measure(aim, connections=4, seconds=0.1)
    assert 0 < seen.rate <= 4 / 0.6  # 4 answers, within 0.8 s less the warm-up
    assert len(seen.latencies) >= 4
    assert not seen.wrong
