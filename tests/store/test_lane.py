"""A lane: commands in order on one connection, which no failure leaves half used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from hub.store import connect
from hub.store.lane import Lane, pack
from hub.store.scripts import RENEW
from tests.store.servers import DeafServer, RealServer


@pytest.fixture
async def client(shared_server: RealServer) -> AsyncIterator[Redis]:
    client = await connect(shared_server.url, hub_id="h", command_timeout=10.0)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def lane(client: Redis) -> AsyncIterator[Lane]:
    lane = Lane(client, 10.0)
    yield lane
    await lane.drop()


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 100_000])
def test_a_command_is_packed_as_resp(size: int) -> None:
    assert pack([b"SET", b"k", b"x" * size]) == (
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (size, b"x" * size)
    )


async def test_commands_that_are_asked_for_together_are_answered_in_order(lane: Lane) -> None:
    answers = await asyncio.gather(*(lane.ask(b"ECHO", b"%d" % n) for n in range(50)))
    assert answers == [b"%d" % n for n in range(50)]


async def test_all_commands_share_one_connection(lane: Lane) -> None:
    assert await lane.ask(b"CLIENT", b"ID") == await lane.ask(b"CLIENT", b"ID")


async def test_a_script_that_the_server_does_not_know_yet_keeps_the_connection(
    lane: Lane, client: Redis
) -> None:
    await client.script_flush()
    before = await lane.ask(b"CLIENT", b"ID")
    assert await lane.run(RENEW, [b"hub:x"], [b"generation", b"1000"]) == 0
    assert await lane.ask(b"CLIENT", b"ID") == before


async def test_a_refused_command_ends_the_connection(lane: Lane) -> None:
    # It may be that of a primary which has become a replica: the next one is looked up anew.
    before = await lane.ask(b"CLIENT", b"ID")
    with pytest.raises(ResponseError):
        await lane.ask(b"NO-SUCH-COMMAND")
    assert await lane.ask(b"CLIENT", b"ID") != before


async def test_an_idle_connection_is_closed_and_a_recent_one_is_not(lane: Lane) -> None:
    before = await lane.ask(b"CLIENT", b"ID")
    await lane.drop_if_idle(60)
    assert await lane.ask(b"CLIENT", b"ID") == before
    await lane.drop_if_idle(-1)
    assert await lane.ask(b"CLIENT", b"ID") != before


async def test_a_connection_in_use_is_not_idle(lane: Lane) -> None:
    asked = asyncio.create_task(lane.ask(b"BLPOP", b"none", b"0.05"))
    await asyncio.sleep(0)
    await lane.drop_if_idle(-1)
    assert await asked is None


async def test_a_cancelled_command_leaves_no_connection_behind() -> None:
    deaf = DeafServer()
    await deaf.start()
    client = await connect(deaf.url, hub_id="h", command_timeout=60.0)
    lane = Lane(client, 60.0)
    asked = asyncio.create_task(lane.ask(b"PING"))
    await deaf.heard.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert lane._connection is None
    await client.aclose()
    await deaf.stop()
