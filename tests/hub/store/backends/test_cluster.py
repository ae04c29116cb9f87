"""Redis Cluster: each namespace at the node that owns its slot, wherever that is by now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from actors.ports.store import Applied, Away, Fenced
from hub.store import StoreUnavailableError
from tests.hub.store.asking import agent_id, answer_of, change, until
from tests.hub.store.reaching import open_at_last, problem_at, store_at, until_refused
from tests.support.ports import free_port
from tests.support.redis_servers import running
from tests.support.topologies import ClusterSetup, TcpServer

NAMES = ["default", "a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def shared_setup() -> Iterator[ClusterSetup]:
    with running(ClusterSetup()) as setup:
        yield setup


@pytest.fixture
def setup(shared_setup: ClusterSetup) -> ClusterSetup:
    """Empty, and whole."""
    for each in shared_setup.nodes:
        each.ask("FLUSHALL")
    return shared_setup


def log_of(name: str) -> bytes:
    return f"{{{name}}}:agents:log".encode()


def other_node(setup: ClusterSetup, name: str) -> TcpServer:
    """A node that does not own this namespace."""
    return next(each for each in setup.nodes if each is not setup.owner(log_of(name)))


# --- where namespaces lie ------------------------------------------------------------------------


async def test_every_namespace_lies_at_the_node_that_owns_its_slot(setup: ClusterSetup) -> None:
    assert {setup.owner(log_of(name)) for name in NAMES} == set(setup.nodes)
    for name in NAMES:
        async with store_at(setup.url, name) as store:
            await store.open()
            assert await store.commit(change("register", 1)) == [Applied(1, 1)]
            assert await store.commit(change("write", 1, epoch=1, revision=1)) == [Applied(2, 1)]
            assert [entry.revision for entry in await store.read_log()] == [1, 2]
            assert len((await store.load()).records) == 1
            owner = setup.owner(log_of(name))
            assert owner.ask("EXISTS", f"{{{name}}}:agent:{agent_id(1)}") == 1
            assert sorted(await store.store.namespaces()) == sorted(NAMES[: NAMES.index(name) + 1])


async def test_ghosts_are_dropped_on_a_cluster_too(setup: ClusterSetup) -> None:
    async with store_at(setup.url) as store:
        await store.open()
        await store.commit(change("register", 1))
        setup.owner(log_of("default")).ask("DEL", f"{{default}}:agent:{agent_id(1)}")
        assert (await store.load()).ghosts == [agent_id(1)]


async def test_a_namespace_can_be_forgotten_at_whatever_node_the_list_is(
    setup: ClusterSetup,
) -> None:
    async with store_at(setup.url, "a") as store:
        await store.open()
        await store.store.forget()
        assert await store.store.namespaces() == ["default"]


async def test_all_primaries_are_checked(setup: ClusterSetup) -> None:
    async with store_at(setup.url) as store:
        assert await store.store.check_server() == []
        strange = setup.nodes[2]
        strange.ask("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
        (warning,) = await store.store.check_server()
        assert "allkeys-lru" in warning
        strange.ask("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")


# --- slots that move -----------------------------------------------------------------------------


async def test_a_slot_that_was_moved_to_another_node_is_followed(setup: ClusterSetup) -> None:
    async with store_at(setup.url, "a") as store:
        opened = await store.open()
        await store.commit(change("register", 1, key="hub-1:x:1"))
        target = other_node(setup, "a")
        setup.move_slot(log_of("a"), target)
        answer = await until_refused(store)
        assert answer == Away("another node of the Redis Cluster owns these keys")
        again = await store.open(opened.log, 1, "hub-1:x:1")
        assert (again.log, again.revision, again.fresh) == (opened.log, 1, False)
        assert await store.commit(change("register", 2)) == [Applied(2, 1)]
        assert target.ask("XLEN", log_of("a")) == 2


async def test_while_keys_are_on_the_move_it_is_said_so(setup: ClusterSetup) -> None:
    async with store_at(setup.url, "b") as store:
        opened = await store.open()
        await store.commit(change("register", 1, key="hub-1:x:1"))
        target = other_node(setup, "b")
        source = setup.begin_to_move(log_of("b"), target)
        source.ask("MIGRATE", *target.address, "{b}:agents:log:name", 0, 5000)
        moving = Away("the Redis Cluster is moving these keys to another node")
        assert await store.try_commit(change("register", 2)) == moving
        assert await store.try_open(opened.log, 1) == moving
        setup.finish_move(log_of("b"), source, target)
        again, _ = await open_at_last(store, opened.log, 1, "hub-1:x:1")
        assert again.fresh is False
        assert await store.commit(change("register", 2)) == [Applied(2, 1)]


async def test_whoever_waits_for_changes_is_told_that_the_slot_has_moved(
    setup: ClusterSetup,
) -> None:
    async with store_at(setup.url, "c") as store:
        opened = await store.open()
        waiting = asyncio.create_task(answer_of(partial(store.store.await_change, 0)))
        owner = setup.owner(log_of("c"))

        async def waits_there() -> bool:
            return bool(owner.ask("INFO", "clients")["blocked_clients"] == 1)

        await until(waits_there)
        setup.move_slot(log_of("c"), other_node(setup, "c"))
        assert isinstance(await waiting, Away)
        await store.open(opened.log, 0)
        waiting = asyncio.create_task(answer_of(partial(store.store.await_change, 0)))
        await store.commit(change("register", 1))
        assert await waiting is True


# --- nodes that fail -----------------------------------------------------------------------------


async def test_the_replica_of_a_node_that_was_killed_is_found_when_it_has_taken_over() -> None:
    with running(ClusterSetup(replicas=1)) as setup:
        owner = setup.owner(log_of("default"))
        replica = setup.replica_of(owner)
        async with store_at(setup.url) as store:
            opened = await store.open()
            await store.commit(change("register", 1, key="hub-1:x:1"))
            assert owner.ask("WAIT", 1, 5000) == 1
            owner.kill()
            again, reasons = await open_at_last(store, opened.log, 1, "hub-1:x:1")
            assert (again.log, again.revision, again.fresh) == (opened.log, 1, False)
            away = "Redis cannot be reached"
            assert reasons[0].startswith(away)
            refused = f"{away}: connection refused"
            assert set(reasons) <= {away, refused, "the Redis Cluster is down"}
            assert await store.commit(change("register", 2)) == [Applied(2, 1)]
            assert replica.ask("XLEN", log_of("default")) == 2


async def test_a_new_connection_is_not_believed_to_lead_to_the_same_node(
    setup: ClusterSetup,
) -> None:
    async with store_at(setup.url) as store:
        await store.open()
        for each in setup.nodes:
            each.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until_refused(store)
        assert await store.try_commit(change("register", 1)) == Fenced()


async def test_a_user_of_few_rights_and_keys_will_do(setup: ClusterSetup) -> None:
    rights = ["+hello", "+client|setname", "+client|setinfo", "+info", "+cluster|slots"]
    rights += ["+@read", "+@write", "+@scripting", "+time", "~{default}:*", "~homeport:namespaces"]
    for each in setup.nodes:
        each.ask("ACL", "SETUSER", "hub", "reset", "on", ">pw", *rights)
    async with store_at(setup.url.replace("://", "://hub:pw@")) as store:
        assert await store.store.check_server() == []
        await store.open()


# --- URLs ----------------------------------------------------------------------------------------


async def test_one_node_that_lives_is_enough_to_find_the_others(setup: ClusterSetup) -> None:
    port = setup.owner(log_of("default")).port
    lives = next(each.port for each in setup.nodes if each.port != port)
    gone = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    async with store_at(f"redis+cluster://{gone},127.0.0.1:{lives}") as store:
        await store.open()


async def test_no_node_at_all_is_said_so() -> None:
    problem = await problem_at(f"redis+cluster://127.0.0.1:{free_port()}")
    assert isinstance(problem, StoreUnavailableError)  # and is waited for
    assert str(problem) == "Redis cannot be reached: connection refused"


async def test_the_plain_url_of_a_cluster_is_told_the_right_one(setup: ClusterSetup) -> None:
    problem = await problem_at(f"redis://127.0.0.1:{setup.nodes[0].port}")
    assert not isinstance(problem, StoreUnavailableError)
    assert str(problem) == (
        "the Redis server is part of a Redis Cluster: its URL begins with redis+cluster:// (or "
        "rediss+cluster:// for TLS) and names one or more of the nodes"
    )


async def test_a_server_that_is_in_no_cluster_is_said_so() -> None:
    with running(TcpServer()) as server:
        problem = await problem_at(f"redis+cluster://127.0.0.1:{server.port}")
        assert not isinstance(problem, StoreUnavailableError)
        assert "is not part of a Redis Cluster: use redis://HOST:PORT" in str(problem)


async def test_a_cluster_that_serves_no_slots_yet_is_waited_for() -> None:
    with running(TcpServer("--cluster-enabled", "yes")) as server:
        problem = await problem_at(f"redis+cluster://127.0.0.1:{server.port}")
        assert isinstance(problem, StoreUnavailableError)
        assert str(problem) == "the Redis Cluster has no node for these keys"
