"""What agents were told is stored beside their records; what is usual is stored once."""

from __future__ import annotations

from redis.asyncio import Redis

from hub.store.reads import _LONGEST_TIMES
from tests.hub.store.asking import Asked, agent_id, change

USUAL, OTHER, THIRD = "30.0 45.0 60.0", "2.0 10.0 30.0", "1.0 5.0 9.0"
KEY = "agents:times"


async def told(store: Asked) -> tuple[dict[str, str], str]:
    loaded = await store.load()
    return loaded.times, loaded.usual_times


async def test_what_most_were_told_is_kept_once(store: Asked, client: Redis) -> None:
    await store.open()
    for number in range(1, 6):
        await store.commit(change("register", number, times=USUAL))
    assert await told(store) == ({}, USUAL)
    assert await client.hgetall(KEY) == {b"": USUAL.encode()}


async def test_what_others_were_told_is_kept_by_their_ids(store: Asked, client: Redis) -> None:
    await store.open()
    await store.commit(change("register", 1, times=USUAL), change("register", 2, times=OTHER))
    loaded = await store.load()
    known = {each: loaded.times.get(each, loaded.usual_times) for each in map(agent_id, (1, 2))}
    assert known == {agent_id(1): USUAL, agent_id(2): OTHER}
    assert await client.hlen(KEY) == 2


async def test_a_newer_registration_tells_anew_and_nothing_else_does(store: Asked) -> None:
    await store.open()
    await store.commit(change("register", 1, times=USUAL))
    await store.commit(change("register", 2, times=OTHER))
    await store.commit(change("renew", 2, epoch=1, revision=2))
    await store.commit(change("write", 2, epoch=1, revision=2))
    assert await told(store) == ({agent_id(2): OTHER}, USUAL)
    await store.commit(change("resume", 2, epoch=1, revision=3, times=THIRD))
    assert await told(store) == ({agent_id(2): THIRD}, USUAL)
    await store.commit(change("restore", 2, epoch=2, revision=4, times=USUAL))
    assert await told(store) == ({}, USUAL)


async def test_a_removal_forgets_it(store: Asked, client: Redis) -> None:
    await store.open()
    await store.commit(change("register", 1, times=USUAL), change("register", 2, times=OTHER))
    for number, revision in ((1, 1), (2, 2)):
        await store.commit(change("remove", number, epoch=1, revision=revision))
    assert await client.hlen(KEY) == 1


async def test_what_a_refused_change_would_have_told_is_not_kept(store: Asked) -> None:
    await store.open()
    await store.commit(change("register", 1, times=USUAL))
    await store.commit(change("register", 1, times=USUAL))
    assert await store.commit(change("restore", 1, epoch=1, revision=1, times=OTHER)) == ["fenced"]
    assert await told(store) == ({}, USUAL)


async def test_agents_that_ran_out_are_forgotten_with_their_ids(
    store: Asked, client: Redis
) -> None:
    await store.open()
    await store.commit(change("register", 1, times=USUAL), change("register", 2, times=OTHER))
    await client.delete(f"agent:{agent_id(2)}")
    assert (await store.load()).ghosts == [agent_id(2)]
    assert await client.hgetall(KEY) == {b"": USUAL.encode()}


async def test_the_log_tells_it_to_other_hubs(store: Asked) -> None:
    await store.open()
    await store.commit(change("register", 1, times=OTHER))
    await store.commit(change("write", 1, epoch=1, revision=1))
    assert [entry.times for entry in await store.read_log()] == [OTHER, ""]
    assert [entry.times for entry in (await store.load()).entries] == [OTHER, ""]


async def test_the_stored_record_is_the_public_one(store: Asked, client: Redis) -> None:
    await store.open()
    await store.commit(change("register", 1, times=OTHER))
    entry = await client.get(f"agent:{agent_id(1)}")
    assert entry.endswith(b'"hub":"hub-1","revision":1}')
    assert b"times" not in entry


async def test_what_no_hub_wrote_does_no_harm(store: Asked, client: Redis) -> None:
    await store.open()
    await store.commit(change("register", 1, times=USUAL))
    await client.hset(KEY, agent_id(1), b"\xff" * 5000)
    times, _ = await told(store)
    assert len(times[agent_id(1)]) == _LONGEST_TIMES


async def test_a_key_of_another_type_loses_no_registration_and_is_told_when_a_hub_opens(
    store: Asked, client: Redis
) -> None:
    await store.open()
    await client.set(KEY, "something else")
    assert len(await store.commit(change("register", 1, times=USUAL))) == 1
    assert await client.get(KEY) == b"something else"
    away = await store.try_open()
    assert "agents:times" in str(away)
    assert "homeport repair" in str(away)
