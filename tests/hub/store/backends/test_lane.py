"""A lane: commands in order on one connection, which no failure leaves half used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as GoneError
from redis.exceptions import ResponseError

from hub.store import connect
from hub.store.backends.dialer import open_connection
from hub.store.backends.lane import Lane, ReconnectedError, pack
from hub.store.backends.standalone import Standalone
from hub.store.scripts import ACKNOWLEDGE_LOSS
from tests.faults.network import Network
from tests.hub.store.deaf_server import DeafServer
from tests.support.ports import free_port
from tests.support.redis_servers import RedisServer, running


@pytest.fixture
async def backend(shared_server: RedisServer) -> AsyncIterator[Standalone]:
    backend = await connect(shared_server.url, hub_id="h", command_timeout=10.0)
    await backend.client.flushall()
    yield backend
    await backend.aclose()


@pytest.fixture
async def lane(backend: Standalone) -> AsyncIterator[Lane]:
    lane = backend.lane(b"k", 10.0)
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
    assert await lane.run(ACKNOWLEDGE_LOSS, [b"loss", b"log"], [b"1"]) == 1
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
    backend = await connect(deaf.url, hub_id="h", command_timeout=60.0)
    lane = backend.lane(b"k")
    asked = asyncio.create_task(lane.ask(b"PING"))
    await deaf.heard.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert lane._connection is None
    await backend.aclose()
    await deaf.stop()


# --- which connection ----------------------------------------------------------------------------


async def test_the_connection_has_a_new_number_as_soon_as_the_old_one_is_gone(lane: Lane) -> None:
    first = lane.connection_number
    await lane.ask(b"PING")
    await lane.ask(b"PING")
    assert lane.connection_number == first
    await lane.drop()
    await lane.drop()
    assert lane.connection_number == first + 1
    await lane.ask(b"PING")
    assert lane.connection_number == first + 1


async def test_a_script_for_a_connection_that_is_gone_is_never_sent(
    lane: Lane, client: Redis
) -> None:
    await lane.ask(b"PING")
    number = lane.connection_number
    with pytest.raises(ResponseError):
        await lane.ask(b"NO-SUCH-COMMAND")
    with pytest.raises(ReconnectedError):
        await lane.run(ACKNOWLEDGE_LOSS, [b"loss", b"log"], [b"1"], connection_number=number)
    assert await client.exists("loss") == 0
    again = lane.connection_number
    assert await lane.run(ACKNOWLEDGE_LOSS, [b"loss", b"log"], [b"1"], connection_number=again) == 1


async def test_a_retired_connection_answers_what_is_under_way_and_is_not_used_again(
    lane: Lane, client: Redis
) -> None:
    before = await lane.ask(b"CLIENT", b"ID")
    number = lane.connection_number
    waiting = asyncio.create_task(lane.ask(b"BLPOP", b"list", b"5"))
    await asyncio.sleep(0)
    lane.retire()
    late = asyncio.create_task(
        lane.run(ACKNOWLEDGE_LOSS, [b"loss", b"log"], [b"1"], connection_number=number)
    )
    await client.rpush("list", "x")
    assert await waiting == [b"list", b"x"]
    with pytest.raises(ReconnectedError):
        await late
    after = await lane.ask(b"CLIENT", b"ID")
    assert after != before
    assert await lane.ask(b"CLIENT", b"ID") == after


# --- several commands under way -------------------------------------------------------------------


async def test_commands_do_not_wait_for_each_other_and_are_answered_in_order(lane: Lane) -> None:
    await lane.ask(b"PING")
    answered: list[bytes] = []

    async def ask(word: bytes) -> None:
        answered.append(await lane.ask(b"ECHO", word))

    tasks = [asyncio.create_task(ask(b"%d" % number)) for number in range(20)]
    await asyncio.sleep(0)
    assert lane._connection is not None
    await asyncio.gather(*tasks)
    assert answered == [b"%d" % number for number in range(20)]


@asynccontextmanager
async def far_lane(seconds: float, *, command_timeout: float = 10.0) -> AsyncIterator[Lane]:
    """A lane to a server that is so many seconds away, each way."""
    network = Network()
    with running(RedisServer(port=free_port())) as server:
        way = network.proxy("127.0.0.1", server.port)
        way.slow(seconds)
        url = f"redis://127.0.0.1:{way.port}"
        backend = await connect(url, hub_id="h", command_timeout=command_timeout)
        lane = backend.lane(b"k")
        try:
            yield lane
        finally:
            await lane.drop()
            await backend.aclose()
            network.close()


async def test_over_a_long_way_many_commands_take_one_round_trip() -> None:
    async with far_lane(0.15) as lane:
        await lane.ask(b"PING")
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(lane.ask(b"ECHO", b"x") for _ in range(16)))
        assert 0.3 <= asyncio.get_running_loop().time() - began < 0.6


async def test_a_server_that_is_further_away_than_the_limit_is_reached_after_all() -> None:
    async with far_lane(0.1, command_timeout=0.19) as lane:
        assert await lane.ask(b"PING") == b"PONG"
        assert await lane.ask(b"PING") == b"PONG"


async def test_what_was_sent_behind_a_command_that_is_refused_is_answered(lane: Lane) -> None:
    await lane.ask(b"PING")
    number = lane.connection_number
    failing = asyncio.create_task(lane.ask(b"NO-SUCH-COMMAND"))
    behind = asyncio.create_task(lane.ask(b"ECHO", b"x"))
    with pytest.raises(ResponseError):
        await failing
    assert await behind == b"x"
    assert await lane.ask(b"ECHO", b"y") == b"y"
    assert lane.connection_number == number + 1, "the server is looked up again"


async def test_when_one_command_has_no_answer_all_behind_it_fail(lane: Lane, client: Redis) -> None:
    await lane.ask(b"PING")
    tasks = [
        asyncio.create_task(lane.ask(b"BLPOP", b"none", b"5", timeout=0.05)),
        asyncio.create_task(lane.ask(b"ECHO", b"x")),
        asyncio.create_task(lane.ask(b"ECHO", b"y")),
    ]
    late, *behind = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(late, TimeoutError)
    assert [type(each) for each in behind] == [GoneError, GoneError]
    assert await lane.ask(b"ECHO", b"z") == b"z"


async def test_a_command_that_is_cancelled_in_its_turn_takes_no_answer_from_those_before_it(
    lane: Lane, client: Redis
) -> None:
    await lane.ask(b"PING")
    first = asyncio.create_task(lane.ask(b"BLPOP", b"list", b"5"))
    second = asyncio.create_task(lane.ask(b"ECHO", b"x"))
    await asyncio.sleep(0.05)
    second.cancel()
    await client.rpush("list", "v")
    assert await first == [b"list", b"v"]
    assert await lane.ask(b"ECHO", b"y") == b"y"


async def test_a_script_that_the_server_forgot_is_not_sent_again_out_of_its_turn(
    lane: Lane, client: Redis
) -> None:
    await lane.run(ACKNOWLEDGE_LOSS, [b"loss", b"log"], [b"1"])
    await client.script_flush()
    number = lane.connection_number
    run = partial(lane.run, ACKNOWLEDGE_LOSS, [b"loss", b"log"], in_turn=True)
    outcomes = await asyncio.gather(run([b"2"]), run([b"3"]), return_exceptions=True)
    assert [type(each) for each in outcomes] == [ReconnectedError] * 2
    assert lane.connection_number == number
    await lane.run(ACKNOWLEDGE_LOSS, [b"loss", b"log"], [b"1"])
    assert await run([b"4"]) == 1


# --- waiting at the server -----------------------------------------------------------------------


async def test_a_command_that_waits_at_the_server_has_a_time_of_its_own(
    shared_server: RedisServer,
) -> None:
    backend = await connect(shared_server.url, hub_id="h", command_timeout=0.1)
    lane = backend.lane(b"k")
    assert await lane.ask(b"BLPOP", b"none", b"0.3", timeout=5.0) is None
    before = lane.connection_number
    with pytest.raises(TimeoutError):
        await lane.ask(b"BLPOP", b"none", b"5", timeout=0.05)
    assert lane.connection_number == before + 1
    await lane.drop()
    await backend.aclose()


def test_a_connection_that_was_reset_meanwhile_is_one_that_is_gone_and_no_fault(
    shared_server: RedisServer,
) -> None:
    # On uvloop, as in a hub: there, writing to it is a RuntimeError.
    async def reset_and_ask() -> bytes:
        backend = await connect(shared_server.url, hub_id="h", command_timeout=10.0)
        lane = backend.lane(b"k", 10.0)
        await lane.ask(b"PING")
        connection = lane._connection
        assert connection is not None
        connection._writer.transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        with pytest.raises(GoneError):
            await lane.ask(b"PING")
        answer: bytes = await lane.ask(b"PING")
        await lane.drop()
        await backend.aclose()
        return answer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(reset_and_ask()) == b"PONG"


class ResetConnection(UnixDomainSocketConnection):
    """It is reset between being made and introducing itself."""

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        assert self._writer is not None
        self._writer.transport.abort()
        await asyncio.sleep(0.05)


def test_a_connection_that_is_reset_while_it_is_made_is_gone_too(
    shared_server: RedisServer,
) -> None:
    connection = ResetConnection(path=str(shared_server.path), retry=Retry(NoBackoff(), 0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(GoneError):
        runner.run(open_connection(connection))
