"""New epochs: above every one that is known, and at least the milliseconds of the store's clock."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs
from redis.asyncio import Redis

from actors.ports.store import Applied
from tests.hub.store.asking import ENTRY, LEGACY, Asked, change, head, put

YEAR_2020 = 1_577_836_800_000


async def clock(client: Redis) -> int:
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def entry(epoch: int) -> bytes:
    return head() + b',"epoch":%d,"hub":"hub-9","revision":5}' % epoch


async def given(store: Asked, operation: str, epoch: int = 0, revision: int = 0) -> int:
    """The epoch that the store gives; the agent's own is `epoch`."""
    asked = change(operation, revision=revision)  # type: ignore[arg-type]
    (result,) = await store.commit(structs.replace(asked, epoch=epoch))
    assert isinstance(result, Applied), result
    return result.epoch


async def test_the_first_epoch_is_the_clock_s(store: Asked, client: Redis) -> None:
    before = await clock(client)
    assert before > YEAR_2020
    assert before <= await given(store, "register") <= await clock(client)


@pytest.mark.parametrize("operation", ["register", "resume"])
@pytest.mark.parametrize("known", [1, 5, YEAR_2020])
async def test_an_epoch_of_an_earlier_time_is_left_behind(
    store: Asked, client: Redis, operation: str, known: int
) -> None:
    await put(client, entry(known))
    before = await clock(client)
    assert before <= await given(store, operation, known, 5) <= await clock(client)


async def test_a_legacy_record_s_first_epoch_is_the_clock_s(store: Asked, client: Redis) -> None:
    await put(client, LEGACY)
    before = await clock(client)
    assert before <= await given(store, "resume") <= await clock(client)


@pytest.mark.parametrize("operation", ["register", "resume"])
async def test_a_clock_that_went_back_lowers_none(
    store: Asked, client: Redis, operation: str
) -> None:
    ahead = await clock(client) + 3_600_000
    await put(client, entry(ahead))
    assert await given(store, operation, ahead, 5) == ahead + 1
    await put(client, entry(5))
    assert await given(store, operation, ahead, 5) == ahead + 1, "as the hub knows"


async def test_many_of_one_agent_in_one_batch_are_all_different(store: Asked) -> None:
    results = await store.commit(*(change("register") for _ in range(50)))
    epochs = [each.epoch for each in results if isinstance(each, Applied)]
    assert len(epochs) == 50
    assert epochs == sorted(set(epochs))


async def test_no_epoch_is_given_again_by_a_store_that_forgot_it(
    store: Asked, client: Redis
) -> None:
    first = await given(store, "register")
    await client.delete(ENTRY)
    await asyncio.sleep(0.002)
    assert await given(store, "register") > first
