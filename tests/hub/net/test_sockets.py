"""Taking a port: alone, and kept for workers that share it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hub.net.sockets import ListenError, bind, release, reserve, url_of

LOCAL = "127.0.0.1"


def port_of(sockets: list[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


async def refused(port: int, *, shared: bool = False) -> str:
    with pytest.raises(ListenError) as caught:
        release(await bind(LOCAL, port, shared=shared))
    return str(caught.value)


async def test_workers_listen_on_a_reserved_port_and_nobody_else_does():
    held = await reserve(LOCAL, 0)
    port = port_of(held)
    sentence = f"cannot listen on {LOCAL}:{port}: address already in use"
    assert await refused(port) == sentence, "also before any worker listens"
    workers = [await bind(LOCAL, port, shared=True) for _ in range(3)]
    assert [port_of(each) for each in workers] == [port] * 3
    assert await refused(port) == sentence
    with pytest.raises(ListenError):
        await reserve(LOCAL, port)
    for each in workers:
        release(each)
    assert await refused(port) == sentence, "also when all workers are gone"
    release(held)
    again = await reserve(LOCAL, port)
    assert port_of(again) == port
    release(again)


async def test_only_one_reserves_a_port_even_of_those_that_ask_at_once():
    probe = await bind(LOCAL, 0)
    port = port_of(probe)
    release(probe)
    for _ in range(20):
        asked = await asyncio.gather(
            *(reserve(LOCAL, port) for _ in range(3)), return_exceptions=True
        )
        kept = [each for each in asked if isinstance(each, list)]
        assert len(kept) <= 1
        assert all(isinstance(each, list | ListenError) for each in asked)
        for each in kept:
            release(each)


async def test_a_reserved_port_accepts_nobody_by_itself():
    held = await reserve(LOCAL, 0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(LOCAL, port_of(held))
    release(held)


async def test_a_port_that_somebody_serves_cannot_be_reserved():
    served = await bind(LOCAL, 0)
    with pytest.raises(ListenError, match="address already in use"):
        await reserve(LOCAL, port_of(served))
    release(served)


async def test_a_port_is_reserved_on_all_addresses_of_a_host():
    held = await reserve("localhost", 0)
    port = port_of(held)
    assert {each.getsockname()[1] for each in held} == {port}
    for family in {each.family for each in held}:
        host = "::1" if family == socket.AF_INET6 else LOCAL
        with pytest.raises(ListenError):
            await bind(host, port)
    release(held)


async def test_a_shared_port_accepts_connections_only_once_its_worker_listens():
    held = await reserve(LOCAL, 0)
    (idle,) = await bind(LOCAL, port_of(held), listening=False, shared=True)
    (ready,) = await bind(LOCAL, port_of(held), shared=True)
    server = await asyncio.start_server(lambda _, writer: writer.close(), sock=ready)
    for _ in range(20):
        reader, writer = await asyncio.open_connection(LOCAL, port_of(held))
        assert await reader.read() == b""
        writer.close()
    server.close()
    idle.close()
    release(held)


def test_an_address_of_colons_stands_in_brackets():
    assert url_of("10.0.0.1", 80) == "http://10.0.0.1:80"
    assert url_of("::1", 80) == "http://[::1]:80"
