"""Redis killed, stopped, read-only, full or otherwise unwilling: Away in words, and back again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Away, Committed, Fenced
from hub.store import StoreError, connect
from tests.hub.store.asking import Asked, change, until
from tests.hub.store.deaf_server import DeafServer
from tests.hub.store.reaching import open_at_last, store_at
from tests.support.redis_servers import RedisServer, running

TIMEOUT = 0.3


@pytest.fixture
async def direct(server: RedisServer) -> AsyncIterator[Redis]:
    """A client beside the store's own connections."""
    backend = await connect(server.url, hub_id="test", command_timeout=10.0)
    yield backend.client
    await backend.aclose()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[Asked]:
    async with store_at(server.url, command_timeout=10.0) as store:
        await store.open()
        yield store


@pytest.fixture
async def hasty(server: RedisServer) -> AsyncIterator[Asked]:
    """A store that has little patience."""
    async with store_at(server.url, command_timeout=TIMEOUT) as store:
        yield store


async def refused(store: Asked, reason: str) -> None:
    """Committing and opening both fail for `reason`."""
    assert await store.try_commit(change("register", 7)) == Away(reason)
    assert await store.try_open() == Away(reason)


# --- gone ----------------------------------------------------------------------------------------


async def test_a_killed_server_is_away_and_found_again_when_it_returns(
    server: RedisServer, store: Asked
) -> None:
    opened = await store.open()
    await store.commit(change("register"))
    server.kill()
    gone = await store.try_commit(change("register", 2))
    assert isinstance(gone, Away)
    assert gone.reason.startswith("Redis cannot be reached")
    refused = Away("Redis cannot be reached: connection refused")
    assert await store.try_open(opened.log, 1) == refused
    server.start()
    again, _ = await open_at_last(store, opened.log, 1)
    assert (again.fresh, again.revision, again.secret) == (True, 1, opened.secret)
    assert await store.commit(change("restore", epoch=1)) == [Applied(2, 1)]
    assert (await store.load()).ghosts == []


async def test_reads_on_an_old_connection_work_once_a_restarted_server_was_opened(
    server: RedisServer, store: Asked
) -> None:
    opened = await store.open()
    await store.load()
    server.kill()
    server.start()
    await open_at_last(store, opened.log, 0)
    assert await store.read_log() == []
    assert (await store.load()).records == []


async def test_a_server_that_never_was_there_is_away(tmp_path: Path) -> None:
    async with store_at(f"unix://{tmp_path}/none") as store:
        assert await store.try_open() == Away("Redis cannot be reached: no such socket")


# --- stopped -------------------------------------------------------------------------------------


async def test_a_stopped_server_is_away_in_time_and_nothing_is_applied_twice(
    server: RedisServer, hasty: Asked
) -> None:
    opened, _ = await open_at_last(hasty)
    server.suspend()
    late = change("register", key="hub-1:x:1")
    assert await hasty.try_commit(late) == Away("Redis does not answer in time")
    assert await hasty.try_open(opened.log, 0) == Away("Redis does not answer in time")
    server.wake()
    again, _ = await open_at_last(hasty, opened.log, 0)
    # It was applied before the opening, and the log tells; or it never will be.
    found = [entry.key for entry in await hasty.read_log(0, again.revision)]
    assert found in ([], ["hub-1:x:1"])
    if not found:
        answer = await hasty.try_commit(late)
        while isinstance(answer, Fenced):  # an opening that was given up came last
            await open_at_last(hasty, again.log, 0)
            answer = await hasty.try_commit(late)
        assert isinstance(answer, Committed)
    assert [entry.key for entry in await hasty.read_log()] == ["hub-1:x:1"]
    assert len((await hasty.load()).records) == 1


async def test_a_late_answer_is_never_taken_for_that_of_a_later_command(
    server: RedisServer, hasty: Asked, direct: Redis
) -> None:
    await open_at_last(hasty)
    await direct.xadd("agents:log", {"kind": "updated", "agent": "{}"}, id="1-0")
    assert len(await hasty.read_log()) == 1
    server.suspend()
    asked = asyncio.create_task(hasty.store.namespaces())
    with pytest.raises(Exception, match="does not answer in time"):
        await asked
    server.wake()
    await open_at_last(hasty)
    assert [entry.revision for entry in await hasty.read_log()] == [1]
    assert await hasty.store.namespaces() == ["default"]


async def test_a_server_that_says_nothing_is_away_in_time() -> None:
    deaf = DeafServer()
    await deaf.start()
    async with store_at(deaf.url, command_timeout=TIMEOUT) as store:
        assert await store.try_open() == Away("Redis does not answer in time")
    await deaf.stop()


# --- unwilling -----------------------------------------------------------------------------------


async def test_a_replica_is_read_only_until_it_is_a_primary(store: Asked, direct: Redis) -> None:
    await store.commit(change("register"))
    await direct.replicaof("127.0.0.1", 1)
    await refused(
        store,
        "Redis is read-only: it is a replica, writes go to the primary, whose address (or that of "
        "its Sentinels) --redis should have",
    )
    assert len((await store.load()).records) == 1
    await direct.replicaof("NO", "ONE")
    await store.open()
    assert await store.commit(change("write", epoch=1, revision=1)) == [Applied(2, 1)]


async def test_a_full_server_refuses_whole_batches_until_it_has_room(
    store: Asked, direct: Redis
) -> None:
    opened = await store.open()
    await store.commit(change("register"))
    await direct.config_set("maxmemory-policy", "noeviction")
    await direct.config_set("maxmemory", "1")
    reason = "Redis is full: its maxmemory is reached; raise it, or remove other data"
    answer = await store.try_commit(change("register", 2), change("register", 3))
    assert answer == Away(reason)
    assert await store.try_open(opened.log, 1) == Away(reason)
    assert len((await store.load()).entries) == 1
    await direct.config_set("maxmemory", "0")
    assert (await store.open(opened.log, 1)).fresh is False
    assert await store.commit(change("register", 2)) == [Applied(2, 1)]
    assert len((await store.load()).records) == 2


async def test_a_renewal_is_refused_by_a_full_server_too(store: Asked, direct: Redis) -> None:
    await store.commit(change("register"))
    await direct.config_set("maxmemory", "1")
    answer = await store.try_commit(change("renew", epoch=1, revision=1), announce=True)
    assert answer == Away("Redis is full: its maxmemory is reached; raise it, or remove other data")
    assert await direct.exists("agents:seen") == 0


async def test_a_hub_keeps_its_lease_while_redis_is_full(store: Asked, direct: Redis) -> None:
    await direct.config_set("maxmemory", "1")
    await direct.pexpire("hub:hub-1", 2_000)
    roster = await store.roster(agents=7)
    assert [hub.agents for hub in roster.hubs] == [7]
    assert await direct.pttl("hub:hub-1") > 5_000


async def test_too_few_replicas_is_said_so(store: Asked, direct: Redis) -> None:
    await direct.config_set("min-replicas-to-write", "1")
    await refused(
        store,
        "Redis refuses writes because it has too few replicas: start them, or lower its "
        "min-replicas-to-write",
    )
    await direct.config_set("min-replicas-to-write", "0")
    await store.open()
    assert await store.commit(change("register")) == [Applied(1, 1)]


@pytest.fixture
def homeless() -> Iterator[RedisServer]:
    """A server that cannot save, because its directory is gone."""
    server = RedisServer()
    home = server.directory / "home"
    home.mkdir()
    server.settings += ["--dir", str(home)]
    with running(server):
        home.rmdir()
        yield server


async def test_a_server_that_cannot_save_is_said_so(homeless: RedisServer) -> None:
    backend = await connect(homeless.url, hub_id="test", command_timeout=10.0)
    async with store_at(homeless.url, command_timeout=10.0) as store:
        await store.open()
        await backend.client.config_set("save", "3600 1")
        await backend.client.bgsave()

        async def failed() -> bool:
            info = await backend.client.info("persistence")
            return bool(info["rdb_last_bgsave_status"] == "err")

        await until(failed)
        await refused(
            store,
            "Redis refuses writes because it cannot save to its disk: free space there; its log "
            "file says more",
        )
        await backend.client.config_set("stop-writes-on-bgsave-error", "no")
        await store.open()
        assert await store.commit(change("register")) == [Applied(1, 1)]
    await backend.aclose()


async def test_a_busy_server_is_said_so(store: Asked, direct: Redis, server: RedisServer) -> None:
    await direct.config_set("lua-time-limit", "1")
    looping = (await connect(server.url, hub_id="loop", command_timeout=20.0)).client
    task = asyncio.create_task(looping.eval("while true do end", 0))
    answers: list[Any] = []

    async def refused_by_now() -> bool:
        answers.append(await store.try_commit(change("renew", 9)))
        return isinstance(answers[-1], Away)

    await until(refused_by_now)
    assert answers[-1] == Away(
        "Redis is busy with a script of someone else: wait, or end it with SCRIPT KILL"
    )
    await direct.script_kill()
    with pytest.raises(Exception, match="killed"):
        await task
    await looping.aclose()
    await store.open()
    assert await store.commit(change("register")) == [Applied(1, 1)]


# --- strangers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("userinfo", "reason"),
    [
        (
            "",
            "Redis asks for a password: give it in --redis, as redis://USER:PASSWORD@HOST:PORT",
        ),
        (
            ":hunter2@",
            "Redis does not accept the user name or password: check those in --redis",
        ),
        (
            "nobody:hunter2@",
            "Redis does not accept the user name or password: check those in --redis",
        ),
    ],
)
async def test_a_wrong_password_is_said_so_and_never_repeated(
    server: RedisServer, direct: Redis, userinfo: str, reason: str
) -> None:
    await direct.config_set("requirepass", "s3cret")
    async with store_at(f"unix://{userinfo}{server.path}") as store:
        assert await store.try_open() == Away(reason)


async def test_a_user_without_permission_is_said_so(server: RedisServer, direct: Redis) -> None:
    await direct.acl_setuser("poor", enabled=True, passwords=["+pw"], categories=["+@connection"])
    async with store_at(f"unix://poor:pw@{server.path}") as store:
        assert await store.try_open() == Away(
            "the Redis user may not run SADD: allow it with ACL SETUSER poor +sadd"
        )
        # It stays with what is missing first, until that is there.
        assert await store.try_open() == Away(
            "the Redis user may not run EVALSHA: allow it with ACL SETUSER poor +evalsha"
        )
        with pytest.raises(StoreError, match="may not run EVALSHA"):
            await store.store.check_server()


async def test_a_server_that_speaks_no_tls_is_said_so() -> None:
    async def answer_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR what?\r\n")
        writer.close()

    plain = await asyncio.start_server(answer_plainly, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with store_at(f"rediss://127.0.0.1:{port}") as store:
        words = "what answers there does not speak TLS: write redis instead of rediss in --redis"
        assert await store.try_open() == Away(words)
    plain.close()
