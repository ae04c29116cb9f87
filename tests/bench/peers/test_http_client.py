"""The caller of HTTP routes never takes one request's answer for another's."""

from __future__ import annotations

import asyncio

import pytest

from bench.peers.http_client import HttpCaller


async def echo_paths(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with its path; `/slow` after a while."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            if path == b"/slow":
                await asyncio.sleep(0.2)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


@pytest.mark.parametrize("given_up_by", ["timeout", "cancelling"])
async def test_who_gives_up_does_not_get_the_old_answer_next(given_up_by: str) -> None:
    server = await asyncio.start_server(echo_paths, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, HttpCaller(f"http://127.0.0.1:{port}") as caller:
        assert (await caller.call("GET", "/first")).body == b"/first"
        asking = asyncio.create_task(
            caller.call("GET", "/slow", seconds=0.05 if given_up_by == "timeout" else 30.0)
        )
        await asyncio.sleep(0.02)
        if given_up_by == "cancelling":
            asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await caller.call("GET", "/next")).body == b"/next"


async def test_an_answer_in_chunks_is_read_as_a_whole_and_the_connection_goes_on() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(chunked)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, HttpCaller(f"http://127.0.0.1:{port}") as caller:
        for _ in range(2):
            assert (await caller.call("GET", "/agents")).json() == [1, 2]
