"""All namespaces of a hub on the same connections: none costs the others anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Away, Fenced
from hub.store import Keys, SharedLanes
from hub.store import shared_lanes as shared_lanes_module
from hub.store.backends.standalone import Standalone
from tests.hub.store.asking import Asked, change
from tests.hub.store.conftest import MakeStore
from tests.support.waiting import until

# The server in memory has one hub, which follows nobody; and its XREAD fails on other types.
pytestmark = pytest.mark.parametrize("backend", ["real"], indirect=True)

WAKE = Keys().wake("hub-1")


@pytest.fixture
async def shared(backend: Standalone) -> AsyncIterator[SharedLanes]:
    shared = SharedLanes(backend, WAKE, 10.0)
    yield shared
    await shared.close()


def keys(name: str) -> Keys:
    return Keys("", name)


async def opened(make_store: MakeStore, shared: SharedLanes, name: str) -> Asked:
    store = make_store(keys=keys(name), shared=shared)
    await store.open()
    return store


async def test_fifty_namespaces_take_no_more_connections_than_one(
    make_store: MakeStore, shared: SharedLanes, client: Redis
) -> None:
    await opened(make_store, shared, "n0")
    before = len(await client.client_list())
    stores = [await opened(make_store, shared, f"n{number}") for number in range(1, 50)]
    for store in stores:
        assert await store.commit(change("register")) == [Applied(1, 1)]
    assert len(await client.client_list()) == before


async def test_changes_are_told_to_those_that_wait_for_them(
    make_store: MakeStore, shared: SharedLanes, client: Redis
) -> None:
    a, b = [await opened(make_store, shared, name) for name in "ab"]
    both = [asyncio.create_task(shared.await_change(keys(name).log, 0)) for name in "ab"]
    await a.commit(change("register"))
    assert await asyncio.wait_for(both[0], 20) is True
    assert not both[1].done()
    await b.commit(change("register"))
    assert await asyncio.wait_for(both[1], 20) is True
    assert await shared.await_change(keys("a").log, 0) is True, "it has happened before"


async def test_who_comes_while_redis_waits_need_not_wait_for_that_to_end(
    make_store: MakeStore, shared: SharedLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_lanes_module, "BLOCK", 120.0)
    monkeypatch.setattr(shared, "_patience", 240.0)
    await opened(make_store, shared, "a")
    b = await opened(make_store, shared, "b")
    first = asyncio.create_task(shared.await_change(keys("a").log, 0))
    await until(lambda: bool(shared._asked))
    second = asyncio.create_task(shared.await_change(keys("b").log, 0))
    await until(lambda: any(wait.log == keys("b").log for wait in shared._asked))
    await b.commit(change("register"))
    assert await asyncio.wait_for(second, 20) is True
    first.cancel()
    await asyncio.wait([first])
    assert not shared._waiting


async def test_who_waits_long_is_told_that_nothing_has_changed(
    make_store: MakeStore, shared: SharedLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_lanes_module, "LONGEST", 0.05)
    await opened(make_store, shared, "a")
    assert await shared.await_change(keys("a").log, 0) is False
    assert not shared._waiting


async def test_a_key_of_another_type_costs_only_who_waits_for_it(
    make_store: MakeStore, shared: SharedLanes, client: Redis
) -> None:
    good = await opened(make_store, shared, "good")
    await client.set("{bad}:agents:log", "no stream")
    waiting = asyncio.create_task(shared.await_change(keys("good").log, 0))
    with pytest.raises(Exception, match="WRONGTYPE"):
        await asyncio.wait_for(shared.await_change(keys("bad").log, 0), 20)
    await good.commit(change("register"))
    assert await asyncio.wait_for(waiting, 20) is True


async def test_what_is_refused_in_one_namespace_ends_no_other_ones_connection(
    make_store: MakeStore, shared: SharedLanes, client: Redis
) -> None:
    good, bad = [await opened(make_store, shared, name) for name in ("good", "bad")]
    number = shared.writes.connection_number
    await client.delete("{bad}:agents:active")
    await client.set("{bad}:agents:active", "no set")
    answer = await bad.try_commit(change("register"))
    assert isinstance(answer, Away)
    assert "holds another type" in answer.reason or "agents:active" in answer.reason
    assert await bad.try_commit(change("register")) == Fenced(), "not before it is opened again"
    assert shared.writes.connection_number == number
    assert await good.commit(change("register")) == [Applied(1, 1)]


async def test_a_store_that_is_closed_leaves_the_connections_to_the_others(
    make_store: MakeStore, shared: SharedLanes
) -> None:
    first, second = [await opened(make_store, shared, name) for name in ("first", "second")]
    waiting = asyncio.create_task(shared.await_change(keys("second").log, 0))
    await first.store.close()
    assert await second.commit(change("register")) == [Applied(1, 1)]
    assert await asyncio.wait_for(waiting, 20) is True
