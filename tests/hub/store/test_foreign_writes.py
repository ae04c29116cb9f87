"""What a program that is no hub wrote: found by a look, and not written over before it is read."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Fenced, Looked, Operation
from tests.hub.store.asking import (
    ENTRY,
    LEGACY,
    Asked,
    agent_id,
    answer_of,
    change,
    epoch_in,
    put,
    stored,
)

SEEN = "2025-01-01T00:00:00Z"


async def look(store: Asked, *agent_ids: str, cursor: str = "") -> Looked | Fenced:
    answer: Looked | Fenced = await answer_of(
        lambda reply: store.store.look(list(agent_ids), cursor, reply)
    )
    return answer


async def test_a_look_tells_written_and_deleted_entries_from_those_of_hubs(
    store: Asked, client: Redis
) -> None:
    for number in range(1, 6):
        await store.commit(change("register", number=number))
    ids = [agent_id(number) for number in range(1, 6)]
    await client.set(ENTRY, LEGACY)
    await client.srem("agents:active", ids[1])
    await client.delete(f"agent:{ids[1]}")
    await client.delete(f"agent:{ids[2]}")  # it ran out: it is still active
    await client.delete(f"agent:{ids[3]}")
    await client.hset(f"agent:{ids[3]}", "k", "v")
    await client.sadd("agents:active", "a stranger")
    looked = await look(store, *ids)
    assert isinstance(looked, Looked)
    assert looked.overwritten == [ids[0], ids[3]]
    assert looked.deleted == [ids[1]]
    assert set(looked.active) == {ids[0], *ids[2:], "a stranger"}
    assert looked.cursor == ""


async def test_a_look_at_many_goes_on_where_it_ended(store: Asked, client: Redis) -> None:
    ids = {agent_id(number) for number in range(1700)}
    await client.sadd("agents:active", *ids)
    found: set[str] = set()
    cursor, looks = "", 0
    while looks == 0 or cursor:
        looked = await look(store, *sorted(ids), cursor=cursor)
        assert isinstance(looked, Looked)
        assert (looked.overwritten, looked.deleted) == ([], [])
        found.update(looked.active)
        cursor, looks = looked.cursor, looks + 1
    assert found == ids
    assert looks > 1


async def test_a_look_is_fenced_in_another_log(store: Asked, client: Redis) -> None:
    await client.set("agents:log:name", "another")
    assert await look(store, agent_id()) == Fenced()


@pytest.mark.parametrize(
    ("operation", "seen", "result"),
    [
        ("write", "", "stale"),
        ("write", "2025-01-01T00:00:01Z", "stale"),
        ("write", SEEN, Applied(1, 3)),
        ("renew", "", "stale"),
        ("restore", "", Applied(1, 3)),
        ("restore", "2025-01-01T00:00:01Z", "stale"),
        ("restore", SEEN, Applied(1, 3)),
        ("remove", "", Applied(1, 3)),
        ("adopt", "", "stale"),
        ("adopt", "2025-01-01T00:00:01Z", "stale"),
    ],
)
async def test_what_an_agent_over_http_said_there_is_written_over_only_by_who_has_read_it(
    store: Asked, client: Redis, operation: Operation, seen: str, result: object
) -> None:
    await put(client, LEGACY)
    sent = change(operation, epoch=3, revision=9, hub="", seen=seen)
    assert await store.commit(sent) == [result]
    if result == "stale":
        assert await client.get(ENTRY) == LEGACY


async def test_an_agent_that_is_adopted_gets_an_epoch_and_keeps_its_time_to_live(
    store: Asked, client: Redis
) -> None:
    await put(client, LEGACY)
    await client.pexpire(ENTRY, 23_000)
    (applied,) = await store.commit(change("adopt", hub="", seen=SEEN))
    assert isinstance(applied, Applied)
    assert epoch_in(await client.get(ENTRY)) == applied.epoch >= 1
    assert 0 < await client.pttl(ENTRY) <= 23_000
    assert [entry.kind for entry in await store.read_log()] == ["registered"]
    assert await store.commit(change("adopt", hub="", seen=SEEN)) == ["stale"], "only once"


async def test_an_entry_without_a_time_to_live_gets_one_when_it_is_adopted(
    store: Asked, client: Redis
) -> None:
    await put(client, LEGACY)
    await store.commit(change("adopt", hub="", seen=SEEN))
    assert await client.pttl(ENTRY) > 0


@pytest.mark.parametrize("entry", [None, stored(3)])
async def test_what_no_other_program_wrote_is_not_adopted(
    store: Asked, client: Redis, entry: bytes | None
) -> None:
    if entry is not None:
        await put(client, entry)
    assert await store.commit(change("adopt", hub="", seen=SEEN)) == ["stale"]
