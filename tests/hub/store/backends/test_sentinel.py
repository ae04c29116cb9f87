"""Redis Sentinel: the primary is looked up for every connection, and found again elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from actors.ports.store import Applied, Fenced
from hub.store import StoreUnavailableError
from tests.hub.store.asking import change
from tests.hub.store.reaching import open_at_last, problem_at, store_at, until_refused
from tests.support.ports import free_port
from tests.support.redis_servers import RedisServer, running
from tests.support.topologies import SentinelServer, SentinelSetup


@pytest.fixture(scope="module")
def shared_setup() -> Iterator[SentinelSetup]:
    with running(SentinelSetup()) as setup:
        yield setup


@pytest.fixture
def setup() -> Iterator[SentinelSetup]:
    """Servers for this test alone, which it may kill or stop."""
    with running(SentinelSetup()) as setup:
        yield setup


# --- failover ------------------------------------------------------------------------------------


async def test_a_store_goes_on_at_the_new_primary_when_the_old_one_was_killed(
    setup: SentinelSetup,
) -> None:
    async with store_at(setup.url) as store:
        opened = await store.open()
        assert await store.commit(change("register", 1, key="hub-1:x:1")) == [Applied(1, 1)]
        assert setup.primary.ask("WAIT", 1, 5000) == 1
        old = setup.primary
        old.kill()
        again, reasons = await open_at_last(store, opened.log, 1, "hub-1:x:1")
        assert (again.log, again.revision, again.fresh) == (opened.log, 1, False)
        assert reasons[0].startswith("Redis cannot be reached")
        assert await store.commit(change("register", 2)) == [Applied(2, 1)]
        new = await asyncio.to_thread(setup.await_failover, old)
        assert new.ask("XLEN", "agents:log") == 2


async def test_a_demoted_primary_is_left_and_takes_no_more_writes(setup: SentinelSetup) -> None:
    old = setup.primary
    async with store_at(setup.url) as store:
        opened = await store.open()
        await store.commit(change("register", 1, key="hub-1:x:1"))
        setup.sentinels[0].ask("SENTINEL", "FAILOVER", setup.name)
        await until_refused(store)
        new = await asyncio.to_thread(setup.await_failover, old)
        again, _ = await open_at_last(store, opened.log, 1, "hub-1:x:1")
        assert again.fresh is False
        await store.commit(change("register", 3))
        assert new.ask("XREVRANGE", "agents:log", "+", "-", "COUNT", 1)
        assert new.ask("ROLE")[0] == "master"


async def test_a_connection_is_looked_up_anew_and_not_believed_to_be_the_one_before(
    shared_setup: SentinelSetup,
) -> None:
    async with store_at(shared_setup.url) as store:
        await store.open()
        for each in shared_setup.servers:
            each.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until_refused(store)
        assert await store.try_commit(change("register", 1)) == Fenced()


async def test_two_primaries_at_once_the_newer_one_is_used_whatever_a_sentinel_says() -> None:
    servers = [RedisServer(port=port) for port in (free_port(), free_port())]
    sentinels = [SentinelServer(number) for number in (5, 6)]
    try:
        for epoch, (server, sentinel) in enumerate(zip(servers, sentinels, strict=True)):
            server.start()
            sentinel.configure(
                f"sentinel monitor mymaster 127.0.0.1 {server.port} 9",
                f"sentinel config-epoch mymaster {epoch}",
            )
            sentinel.start()
        behind, knows = sentinels
        url = f"redis+sentinel://127.0.0.1:{behind.port},127.0.0.1:{knows.port}/mymaster"
        async with store_at(url) as store:
            opened = await store.open()
            assert await until_refused(store) == Fenced()  # within a second or so
            again = await store.open(opened.log, 1)
            assert again.fresh is True
            assert (await store.load()).records == []
    finally:
        for each in [*sentinels, *servers]:
            each.end()


async def test_a_user_of_few_rights_will_do(shared_setup: SentinelSetup) -> None:
    rights = ["+hello", "+client|setname", "+client|setinfo", "+info", "+role", "~*"]
    rights += ["+@read", "+@write", "+@scripting", "+time"]
    shared_setup.primary.ask("ACL", "SETUSER", "hub", "reset", "on", ">pw", *rights)
    rights = ["+hello", "+client|setname", "+client|setinfo", "+sentinel|master"]
    for each in shared_setup.sentinels:
        each.ask("ACL", "SETUSER", "hub", "reset", "on", ">spw", *rights)
    url = shared_setup.url.replace("://", "://hub:pw@")
    async with store_at(f"{url}?sentinel_username=hub&sentinel_password=spw") as store:
        assert await store.store.check_server() == []
        await store.open()


# --- sentinels -----------------------------------------------------------------------------------


async def test_sentinels_that_are_gone_are_passed_over(shared_setup: SentinelSetup) -> None:
    gone = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    url = shared_setup.url.replace("://", f"://{gone},")
    async with store_at(url) as store:
        await store.open()
        assert await store.store.check_server() == []


async def test_no_sentinel_at_all_is_said_so() -> None:
    problem = await problem_at(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:1/mymaster")
    assert isinstance(problem, StoreUnavailableError)  # and is waited for
    assert str(problem) == "Redis Sentinel cannot be reached: connection refused"


async def test_a_primary_that_no_sentinel_knows_is_said_so_by_name(
    shared_setup: SentinelSetup,
) -> None:
    url = shared_setup.url.replace("/mymaster", "/other")
    problem = await problem_at(url)
    assert not isinstance(problem, StoreUnavailableError)  # waiting would not help
    assert str(problem) == (
        "Redis Sentinel knows no primary named other: check what follows the addresses in the "
        "Redis URL"
    )
    # While one is silent it may know better.
    url = url.replace("://", f"://127.0.0.1:{free_port()},")
    assert isinstance(await problem_at(url), StoreUnavailableError)


async def test_a_server_that_is_no_sentinel_is_said_so(shared_setup: SentinelSetup) -> None:
    port = shared_setup.primary.port
    problem = await problem_at(f"redis+sentinel://127.0.0.1:{port}/mymaster")
    assert not isinstance(problem, StoreUnavailableError)
    assert "is no Redis Sentinel" in str(problem)


async def test_the_url_of_a_sentinel_is_not_that_of_a_server(shared_setup: SentinelSetup) -> None:
    problem = await problem_at(f"redis://127.0.0.1:{shared_setup.sentinels[0].port}")
    assert not isinstance(problem, StoreUnavailableError)
    assert "redis+sentinel://HOST:PORT/PRIMARY" in str(problem)


async def test_a_sentinel_that_names_a_replica_is_not_believed() -> None:
    stale = SentinelServer(7)
    replica = RedisServer("--replicaof", "127.0.0.1", "1", port=(port := free_port()))
    stale.configure(f"sentinel monitor mymaster 127.0.0.1 {port} 9")
    with running(replica), running(stale):
        problem = await problem_at(f"redis+sentinel://127.0.0.1:{stale.port}/mymaster")
        assert str(problem) == "Redis Sentinel still names a primary that is none any more"


async def test_sentinels_have_a_password_of_their_own(shared_setup: SentinelSetup) -> None:
    guarded = SentinelServer(8)
    primary = shared_setup.primary
    guarded.configure(f"sentinel monitor mymaster 127.0.0.1 {primary.port} 9", "requirepass s3cret")
    with running(guarded):
        url = f"redis+sentinel://127.0.0.1:{guarded.port}/mymaster"
        assert str(await problem_at(url)) == (
            "Redis Sentinel asks for a password: give it as ?sentinel_password=… in the Redis URL"
        )
        assert str(await problem_at(f"{url}?sentinel_password=wrong")) == (
            "Redis Sentinel does not accept the user name or password: give it as "
            "?sentinel_password=… in the Redis URL"
        )
        async with store_at(f"{url}?sentinel_password=s3cret") as store:
            await store.open()
