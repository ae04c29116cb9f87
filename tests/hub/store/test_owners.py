"""The principals that agents belong to are stored beside their records, in the same step."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Away
from tests.hub.store.asking import Asked, agent_id, change

A, B = "token:aaaaaaaaaaaa", "jwt:bob@example.org"
KEY = "agents:owners"


async def owners(store: Asked) -> dict[str, str]:
    return (await store.load()).owners


@pytest.mark.parametrize("operation", ["register", "claim"])
async def test_an_agent_belongs_to_the_principal_that_registers_it(
    store: Asked, client: Redis, operation: str
) -> None:
    await store.open()
    await store.commit(change(operation, 1, owner=A, only_own=True), change("register", 2))
    assert await owners(store) == {agent_id(1): A}
    assert await client.hgetall(KEY) == {agent_id(1).encode(): A.encode()}


async def test_an_agent_of_nobody_costs_nothing(store: Asked, client: Redis) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=""), change("register", 2, owner=""))
    assert await client.exists(KEY) == 0


@pytest.mark.parametrize("operation", ["register", "claim"])
async def test_no_principal_takes_an_agent_of_another(
    store: Asked, client: Redis, operation: str
) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A))
    before = await client.get(f"agent:{agent_id(1)}")
    taking = change(operation, 1, epoch=1, revision=1, owner=B, only_own=True)
    assert await store.commit(taking) == ["owned"]
    assert await client.get(f"agent:{agent_id(1)}") == before
    assert await owners(store) == {agent_id(1): A}
    assert len(await store.read_log()) == 1


async def test_of_two_in_one_batch_the_first_has_it(store: Asked) -> None:
    await store.open()
    first, second = (change("register", 1, owner=each, only_own=True) for each in (A, B))
    assert await store.commit(first, second) == [Applied(1, 1), "owned"]
    assert await owners(store) == {agent_id(1): A}


async def test_its_own_principal_registers_it_again_and_may_take_one_of_nobody(
    store: Asked,
) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A), change("register", 2, owner=""))
    again = [change("register", number, owner=A, only_own=True) for number in (1, 2)]
    assert await store.commit(*again) == [Applied(3, 2), Applied(4, 2)]
    assert await owners(store) == {agent_id(1): A, agent_id(2): A}


async def test_who_may_take_any_agent_has_it_afterwards(store: Asked) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A), change("register", 2, owner=A))
    await store.commit(change("register", 1, owner=B), change("register", 2, owner=""))
    assert await owners(store) == {agent_id(1): B}


async def test_nothing_else_changes_whose_it_is_until_it_is_removed(store: Asked) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A), change("register", 2, owner=B))
    await store.commit(change("renew", 1, epoch=1, revision=1))
    await store.commit(change("write", 1, epoch=1, revision=1))
    await store.commit(change("resume", 1, epoch=1, revision=3))
    assert await owners(store) == {agent_id(1): A, agent_id(2): B}
    await store.commit(change("remove", 1, epoch=2, revision=4))
    assert await owners(store) == {agent_id(2): B}
    assert await store.commit(change("register", 1, owner=B, only_own=True)) != ["owned"], (
        "the id of an agent that is gone is free"
    )


async def test_an_agent_that_is_put_back_is_still_its_principals(store: Asked) -> None:
    await store.open()
    await store.commit(change("restore", 1, epoch=1, revision=1, owner=A))
    assert await owners(store) == {agent_id(1): A}


async def test_an_entry_that_ran_out_leaves_nothing_and_its_id_is_free(
    store: Asked, client: Redis
) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A), change("register", 2, owner=A))
    await client.delete(f"agent:{agent_id(1)}", f"agent:{agent_id(2)}")
    assert (await store.load()).ghosts
    assert await client.exists(KEY) == 0
    assert await store.commit(change("register", 1, owner=B, only_own=True)) == [Applied(3, 1)]


async def test_the_longest_principal_that_there_may_be_is_read_as_it_was_written(
    store: Asked,
) -> None:
    longest = "jwt:" + "\U0001f511" * 256
    await store.open()
    await store.commit(change("register", 1, owner=longest, only_own=True))
    loaded = await store.load()
    assert loaded.owners == {agent_id(1): longest}
    assert [entry.owner for entry in loaded.entries] == [longest]
    assert await store.commit(change("register", 1, owner=longest, only_own=True)) != ["owned"]


async def test_the_log_tells_it_to_other_hubs(store: Asked) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A), change("register", 2, owner=""))
    await store.commit(change("write", 1, epoch=1, revision=1))
    assert [entry.owner for entry in await store.read_log()] == [A, "", ""]
    assert [entry.owner for entry in (await store.load()).entries] == [A, "", ""]


async def test_a_key_of_another_type_lets_nobody_take_an_agent_and_is_told_plainly(
    store: Asked, client: Redis
) -> None:
    await store.open()
    await store.commit(change("register", 1, owner=A))
    await client.delete(KEY)
    await client.set(KEY, "poison")
    taking = change("register", 1, owner=B, only_own=True)
    assert await store.commit(taking) == ["owned"]
    assert await store.commit(change("register", 2, owner=B, only_own=True)) == [Applied(2, 1)]
    answer = await store.try_open()
    assert isinstance(answer, Away)
    assert "agents:owners holds a string where a hash belongs" in answer.reason
