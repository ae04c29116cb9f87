"""The roster: which hubs live, what they say of themselves, and what all must know."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Away, Fenced, HubLease, Roster
from hub.store import Keys
from tests.hub.store.asking import Asked, change, until
from tests.hub.store.conftest import MakeStore


def ids(roster: Roster) -> list[str]:
    return [hub.hub_id for hub in roster.hubs]


async def test_hubs_hear_of_each_other_with_what_they_say_of_themselves(
    make_store: MakeStore,
) -> None:
    west = make_store("west", url="http://w:1", version="0.2", started="2026-11-23T10:00:00Z")
    east = make_store("east", url="http://e:1", version="0.3", started="2026-11-23T11:00:00Z")
    await west.open()
    await east.open()
    await west.commit(change("register"))
    await west.roster(agents=4, sessions=3, revision=1)
    roster = await east.roster(agents=2, sessions=1, revision=0)
    assert roster == Roster(
        hubs=[
            HubLease(
                hub_id="east",
                url="http://e:1",
                version="0.3",
                started="2026-11-23T11:00:00Z",
                agents=2,
                sessions=1,
                revision=0,
            ),
            HubLease(
                hub_id="west",
                url="http://w:1",
                version="0.2",
                started="2026-11-23T10:00:00Z",
                agents=4,
                sessions=3,
                revision=1,
            ),
        ],
        revision=1,
        acknowledged=0,
    )
    assert (await west.load()).roster == roster


async def test_the_roster_is_in_the_order_of_ids(make_store: MakeStore) -> None:
    stores = [make_store(hub_id) for hub_id in ("c", "a", "b10", "b9", "B")]
    for store in stores:
        await store.open()
    assert ids(await stores[0].roster()) == ["B", "a", "b10", "b9", "c"]


async def test_an_idle_hub_that_renews_keeps_its_lease(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    await store.open()
    await client.pexpire("hub:hub-1", 2_000)
    assert ids(await store.roster()) == ["hub-1"]
    assert 5_000 < await client.pttl("hub:hub-1") <= 10_000


async def test_a_hub_that_does_not_renew_lapses_and_is_taken_off(
    make_store: MakeStore, client: Redis
) -> None:
    store, silent = make_store(), make_store("silent", hub_lease=0.2)
    await store.open()
    await silent.open()
    assert ids(await store.roster()) == ["hub-1", "silent"]

    async def lapsed() -> bool:
        return ids(await store.roster()) == ["hub-1"]

    await until(lapsed)
    assert await client.smembers("agents:hubs") == {b"hub-1"}
    assert await silent.renew_lease() == Fenced()
    assert await client.smembers("agents:hubs") == {b"hub-1"}
    await silent.open()
    assert ids(await store.roster()) == ["hub-1", "silent"]


async def test_a_hub_that_closes_is_gone_at_once(make_store: MakeStore, client: Redis) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open()
    await other.open()
    await other.store.close()
    assert await client.smembers("agents:hubs") == {b"hub-1"}
    assert ids(await store.roster()) == ["hub-1"]


async def test_a_hub_that_was_taken_off_while_it_lived_puts_itself_back(
    store: Asked, client: Redis
) -> None:
    await client.delete("agents:hubs")
    assert ids(await store.roster()) == ["hub-1"]
    assert await client.smembers("agents:hubs") == {b"hub-1"}


async def test_a_load_before_the_first_opening_tells_who_lives(make_store: MakeStore) -> None:
    await make_store("hub-2").open()
    loaded = await make_store("hub-1").load()
    assert ids(loaded.roster) == ["hub-2"]


async def test_namespaces_have_rosters_of_their_own(make_store: MakeStore) -> None:
    store, apart = make_store(), make_store("hub-2", keys=Keys("", "team-a"))
    await store.open()
    await apart.open()
    assert ids(await store.roster()) == ["hub-1"]
    assert ids(await apart.roster()) == ["hub-2"]


async def test_what_is_no_lease_is_no_hub(store: Asked, client: Redis) -> None:
    await client.sadd("agents:hubs", "text", "odd", "for-ever", "bare", b"\xff", "not an id")
    await client.set("hub:text", "x")
    for name in ("odd", "for-ever", "not an id"):
        await client.hset(f"hub:{name}", mapping={"generation": "g", "agents": "many"})
    await client.hset("hub:bare", "agents", "1")
    for name in ("odd", "bare", "not an id"):
        await client.expire(f"hub:{name}", 10)
    roster = await store.roster()
    assert [(hub.hub_id, hub.agents, hub.url) for hub in roster.hubs] == [
        ("hub-1", 0, ""),
        ("odd", 0, ""),
    ]
    assert await client.smembers("agents:hubs") == {b"hub-1", b"odd", b"\xff", b"not an id"}


@pytest.mark.parametrize("junk", [b"9" * 5000, b"-1", b"1.5", b"nan", b"\xff", b"", b"9" * 16])
async def test_figures_that_no_hub_wrote_count_as_none(
    store: Asked, client: Redis, junk: bytes
) -> None:
    fields = dict.fromkeys((b"agents", b"sessions", b"revision"), junk)
    texts = dict.fromkeys((b"url", b"version", b"started"), junk)
    await client.hset("hub:odd", mapping={b"generation": b"g", **fields, **texts})
    await client.expire("hub:odd", 10)
    await client.sadd("agents:hubs", "odd")
    await client.hset("agents:loss", "acknowledged", junk)
    roster = await store.roster()
    odd = roster.hubs[1]
    assert (odd.agents, odd.sessions, odd.revision) == (0, 0, 0)
    assert len(odd.url) <= 256
    assert roster.acknowledged == 0
    await store.acknowledge_loss(0)
    assert await client.hget("agents:loss", "acknowledged") in (b"0", junk)


# --- fenced --------------------------------------------------------------------------------------


async def test_nothing_is_renewed_before_the_store_is_open(
    make_store: MakeStore, client: Redis
) -> None:
    assert await make_store().renew_lease() == Fenced()
    assert await client.keys("*") == []


async def test_the_lease_of_another_generation_is_not_renewed(
    make_store: MakeStore, client: Redis
) -> None:
    older, newer = make_store(), make_store()
    await older.open()
    await newer.open()
    await client.pexpire("hub:hub-1", 2_000)
    assert await older.renew_lease(agents=9) == Fenced()
    assert await client.pttl("hub:hub-1") <= 2_000
    assert await client.hget("hub:hub-1", "agents") == b"0"
    assert await older.try_commit(change("register")) == Fenced()
    assert ids(await newer.roster()) == ["hub-1"]


async def test_an_idle_hub_hears_that_another_began_a_new_log(make_store: MakeStore) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open()
    await other.open(new_log=True)
    assert await store.renew_lease() == Fenced()


@pytest.mark.parametrize("key", ["hub:hub-1", "agents:log", "agents:log:name"])
async def test_an_idle_hub_hears_that_redis_lost_what_it_had(
    store: Asked, client: Redis, key: str
) -> None:
    await client.delete(key)
    assert await store.renew_lease() == Fenced()


@pytest.mark.parametrize("key", ["agents:log", "agents:loss"])
async def test_a_key_of_another_type_is_named(store: Asked, client: Redis, key: str) -> None:
    await client.delete(key)
    await client.set(key, "x")
    answer = await store.renew_lease()
    assert isinstance(answer, Away)
    assert f"the Redis key {key} holds a string" in answer.reason


# --- the acknowledgement of a loss ---------------------------------------------------------------


async def test_all_hubs_hear_that_a_loss_was_acknowledged(make_store: MakeStore) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open(revision=7)
    await other.open()
    assert (await store.roster()).acknowledged == 0
    await store.acknowledge_loss(7)
    assert (await other.roster()).acknowledged == 7
    assert (await other.load()).roster.acknowledged == 7


async def test_an_acknowledgement_never_goes_back(store: Asked, client: Redis) -> None:
    high = 2**52
    await store.open(revision=high)
    for revision in (9, 10, 3, high, 11):
        await store.acknowledge_loss(revision)
    assert (await store.roster()).acknowledged == high
    assert await client.hgetall("agents:loss") == {b"acknowledged": b"%d" % high}


async def test_what_no_log_has_reached_was_not_acknowledged(store: Asked, client: Redis) -> None:
    await client.hset("agents:loss", "acknowledged", 10**9)
    assert (await store.roster()).acknowledged == 0
    await store.commit(change("register"))
    await store.acknowledge_loss(1)
    assert (await store.roster()).acknowledged == 1
