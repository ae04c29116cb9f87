"""A handshake that breaks is told apart from one that is refused."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agent_client import CannotConnect
from agent_client.transport.dialer import Dialer

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """A server that reads the request's head and then does `answer`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            answer(reader, writer)
        except (OSError, EOFError):
            pass

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def dialled(url: str) -> CannotConnect:
    dialer = Dialer(url, namespace=None, token=None)
    with pytest.raises(CannotConnect) as caught:
        await dialer.dial(dialer.endpoints.in_turn()[0], seconds=20.0)
    return caught.value


def eof(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def half_an_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgra")
    writer.close()


@pytest.mark.parametrize("answer", [eof, reset, half_an_answer])
async def test_a_connection_that_ends_within_the_handshake_broke(answer: Answer) -> None:
    async with server(answer) as url:
        assert (await dialled(url)).broken


def bad_gateway(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    writer.close()


def no_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("answer", [bad_gateway, no_http])
async def test_whoever_answers_something_else_refuses(answer: Answer) -> None:
    async with server(answer) as url:
        assert not (await dialled(url)).broken


async def test_a_port_where_nothing_listens_refuses() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not (await dialled(f"http://127.0.0.1:{taken.getsockname()[1]}")).broken
