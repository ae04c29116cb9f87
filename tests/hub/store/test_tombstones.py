"""Tombstones keep the last epoch of removed agents, so that epochs only rise."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Operation
from tests.hub.store.asking import FAR, Asked, agent_id, change
from tests.hub.store.conftest import MakeStore

TOMBSTONE = f"epoch:{agent_id()}"


def tombstone(epoch: int) -> bytes:
    """What lies there for an epoch as these tests count them."""
    return b"%d" % (FAR + epoch)


async def test_a_removal_leaves_the_last_epoch_for_an_hour(store: Asked, client: Redis) -> None:
    await store.commit(change("register", epoch=6))
    assert await client.exists(TOMBSTONE) == 0
    assert await store.commit(change("remove", epoch=7, revision=1)) == [Applied(2, 7)]
    assert await client.get(TOMBSTONE) == tombstone(7)
    assert 3_500_000 < await client.pttl(TOMBSTONE) <= 3_600_000


async def test_whoever_registers_anew_goes_on_above_the_epoch_of_the_last_life(
    make_store: MakeStore,
) -> None:
    first, second = make_store("hub-1"), make_store("hub-2")
    await first.open()
    await second.open()
    await first.commit(change("register", epoch=6))
    await first.commit(change("remove", epoch=7, revision=1))
    # The other hub never heard of the agent.
    assert await second.commit(change("register")) == [Applied(3, 8)]
    assert await first.commit(change("write", epoch=7, revision=1)) == ["fenced"]


async def test_a_removal_and_a_registration_in_one_batch_know_of_each_other(store: Asked) -> None:
    await store.commit(change("register", epoch=6))
    results = await store.commit(change("remove", epoch=7, revision=1), change("register"))
    assert results == [Applied(2, 7), Applied(3, 8)]


@pytest.mark.parametrize(("stored", "known", "expected"), [(4, 9, 10), (9, 4, 10), (0, 0, 1)])
async def test_the_highest_of_all_known_epochs_counts(
    store: Asked, client: Redis, stored: int, known: int, expected: int
) -> None:
    await client.set(TOMBSTONE, tombstone(stored))
    assert await store.commit(change("register", epoch=known)) == [Applied(1, expected)]


@pytest.mark.parametrize("operation", ["remove", "restore"])
@pytest.mark.parametrize("epoch", [3, 7])
async def test_what_was_removed_is_neither_put_back_nor_removed_again(
    store: Asked, client: Redis, operation: Operation, epoch: int
) -> None:
    await store.commit(change("register", epoch=6))
    await store.commit(change("remove", epoch=7, revision=1))
    assert await store.commit(change(operation, epoch=epoch, revision=1)) == ["fenced"]
    assert await client.get(TOMBSTONE) == tombstone(7)


async def test_a_later_life_than_the_removed_one_is_put_back(store: Asked, client: Redis) -> None:
    await client.set(TOMBSTONE, tombstone(7))
    assert await store.commit(change("restore", epoch=8, revision=1)) == [Applied(1, 8)]


async def test_a_refused_removal_leaves_none(store: Asked, client: Redis) -> None:
    await store.commit(change("register", epoch=6))
    assert await store.commit(change("remove", epoch=3, revision=1)) == ["fenced"]
    assert await client.exists(TOMBSTONE) == 0


@pytest.mark.parametrize("value", ["", "x", "1e9", "0x10", "-5", "inf"])
async def test_what_is_no_epoch_tells_nothing(store: Asked, client: Redis, value: str) -> None:
    await client.set(TOMBSTONE, value)
    assert await store.commit(change("register")) == [Applied(1, 1)]
    assert await store.commit(change("remove", epoch=1, revision=1)) == [Applied(2, 1)]
    assert await client.get(TOMBSTONE) == tombstone(1)


async def test_a_key_of_another_type_tells_nothing_and_is_replaced(
    store: Asked, client: Redis
) -> None:
    await client.lpush(TOMBSTONE, "5")
    assert await store.commit(change("register"), change("register", 2)) == [
        Applied(1, 1),
        Applied(2, 1),
    ]
    assert await store.commit(change("remove", epoch=1, revision=1)) == [Applied(3, 1)]
    assert await client.get(TOMBSTONE) == tombstone(1)


async def test_only_so_many_are_kept_and_the_oldest_go(store: Asked, client: Redis) -> None:
    """Whoever registers and unregisters again and again must not fill Redis."""
    count, batch = 11_000, 500
    for first in range(0, count, batch):
        ids = range(first, first + batch)
        await store.commit(*(change("register", number) for number in ids))
        await store.commit(*(change("remove", number, epoch=FAR, revision=FAR) for number in ids))
    assert await client.exists(f"epoch:{agent_id(0)}") == 0
    assert await client.exists(f"epoch:{agent_id(count - 1)}") == 1
    kept = [key async for key in client.scan_iter("epoch:*", count=1000)]
    assert 10_000 <= len(kept) <= 10_256
    assert await client.xlen("agents:ended") == len(kept)
    assert 0 < await client.pttl("agents:ended") <= 3_600_000


async def test_an_agent_that_was_removed_again_keeps_its_newest_tombstone(
    store: Asked, client: Redis
) -> None:
    await store.commit(change("register", epoch=6))
    await store.commit(change("remove", epoch=7, revision=1))
    assert await store.commit(change("register")) == [Applied(3, 8)]
    assert await store.commit(change("remove", epoch=8, revision=3)) == [Applied(4, 8)]
    newest = await client.get(TOMBSTONE)
    entries = await client.xrange("agents:ended")
    assert entries[0][1] != entries[1][1]
    assert list(entries[1][1].values()) == [newest]


async def test_a_stray_key_in_the_place_of_their_order_is_set_aside(
    store: Asked, client: Redis
) -> None:
    await client.set("agents:ended", "stray")
    await store.commit(change("register", epoch=6))
    await store.commit(change("remove", epoch=7, revision=1))
    assert await client.xlen("agents:ended") == 1
    (aside,) = await client.keys("set-aside:*")
    assert await client.get(aside) == b"stray"
