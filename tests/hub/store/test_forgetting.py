"""Releasing a namespace: the last hub that does so lets its keys expire."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Fenced
from hub.store import Keys
from tests.hub.store.asking import Asked, change
from tests.hub.store.conftest import MakeStore

KEYS = Keys(namespace="made-up")
KEPT = (KEYS.log, KEYS.log_name, KEYS.secret)
HOUR = 3_600_000


@pytest.fixture
async def alone(make_store: MakeStore) -> Asked:
    """The only hub in a namespace that has been used, and is empty again."""
    store = make_store(keys=KEYS)
    await store.open()
    await store.commit(change("register", times="30 45 60"))
    await store.commit(change("remove", epoch=1, revision=1))
    await store.acknowledge_loss(1)
    return store


async def lasting(client: Redis) -> set[bytes]:
    """The keys of the namespace that never run out."""
    keys = await client.keys("{made-up}:*")
    return {key for key in keys if await client.pttl(key) < 0}


async def test_when_the_last_hub_lets_go_all_keys_run_out(alone: Asked, client: Redis) -> None:
    assert await lasting(client) == {*KEPT, KEYS.hubs, KEYS.loss, KEYS.times}
    await alone.store.forget()
    assert await lasting(client) == set()
    for key in (*KEPT, KEYS.loss, KEYS.times):
        assert HOUR - 60_000 < await client.pttl(key) <= HOUR
    assert await client.exists(KEYS.hubs, KEYS.hub("hub-1")) == 0
    assert await alone.try_commit(change("register")) == Fenced()


async def test_a_namespace_that_is_opened_again_goes_on_and_stays(
    alone: Asked, make_store: MakeStore, client: Redis
) -> None:
    await alone.store.forget()
    again = make_store(keys=KEYS)
    opened = await again.open(alone.log, 2)
    assert (opened.log, opened.revision, opened.fresh) == (alone.log, 2, False)
    assert await lasting(client) == {*KEPT, KEYS.hubs, KEYS.times}
    await again.acknowledge_loss(1)
    assert KEYS.loss in await lasting(client)


async def test_while_another_hub_is_left_nothing_runs_out(
    alone: Asked, make_store: MakeStore, client: Redis
) -> None:
    other = make_store("hub-2", keys=KEYS)
    await other.open()
    await alone.store.forget()
    assert {*KEPT, KEYS.hubs} <= await lasting(client)
    assert await client.smembers(KEYS.hubs) == {b"hub-2"}
    await other.store.forget()
    assert await lasting(client) == set()


async def test_a_namespace_with_agents_stays(alone: Asked, client: Redis) -> None:
    await alone.commit(change("register", 2))
    await alone.store.forget()
    assert {*KEPT} <= await lasting(client)


async def test_a_hub_that_has_opened_anew_meanwhile_loses_nothing(
    alone: Asked, make_store: MakeStore, client: Redis
) -> None:
    again = make_store(keys=KEYS)
    await again.open()
    await alone.store.forget()
    assert {*KEPT} <= await lasting(client)
    assert len(await again.commit(change("register", 2))) == 1
