"""ForeignRenewals: what heartbeats keep alive, announced to the other hubs beside the log."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import UNSET
from redis.asyncio import Redis

from actors.ports.store import Applied, Away, ForeignRenewals
from hub.store.reads import ANNOUNCEMENTS
from tests.hub.store.asking import NOW, Asked, agent_id, change
from tests.hub.store.conftest import MakeStore

LATER = "2026-11-23T10:00:30.000000Z"


@pytest.fixture
async def other(store: Asked, make_store: MakeStore) -> Asked:
    """Another hub, which listens."""
    other = make_store("hub-2")
    await other.open()
    return other


def seen(renewals: ForeignRenewals) -> list[tuple[str, str]]:
    return [(each.agent_id, each.last_seen) for each in renewals.renewals]


async def test_other_hubs_hear_which_entries_were_renewed(store: Asked, other: Asked) -> None:
    await store.commit(change("register", 1), change("register", 2))
    await store.commit(
        change("renew", 1, epoch=1, revision=1, last_seen=LATER),
        change("renew", 2, epoch=1, revision=2),
        announce=True,
    )
    renewals = await other.read_renewals()
    assert seen(renewals) == [(agent_id(1), LATER), (agent_id(2), NOW)]
    assert all(0 <= each.age < 10 for each in renewals.renewals)


async def test_a_batch_is_one_announcement(store: Asked, client: Redis) -> None:
    await store.commit(*(change("register", n) for n in range(50)))
    renewals = [change("renew", n, epoch=1, revision=n + 1) for n in range(50)]
    await store.commit(*renewals, announce=True)
    assert await client.xlen("agents:seen") == 1


async def test_only_what_was_applied_without_an_entry_is_announced(
    store: Asked, other: Asked
) -> None:
    await store.commit(*(change("register", n) for n in (1, 2, 3, 4, 7)))
    await store.commit(
        change("renew", 1, epoch=1, revision=9),
        change("write", 2, epoch=1, revision=2),
        change("write", 2, epoch=1, revision=6, kind=""),
        change("renew", 3, epoch=1, revision=3),
        change("remove", 4, epoch=1, revision=4),
        change("register", 5),
        change("renew", 6, epoch=1),
        change("restore", 7, epoch=1, revision=5, kind="", last_seen=LATER),
        change("remove", 7, epoch=1, revision=5, kind=""),
        announce=True,
    )
    assert seen(await other.read_renewals()) == [
        (agent_id(2), NOW),
        (agent_id(3), NOW),
        (agent_id(7), LATER),
    ]


async def test_loads_are_announced_with_what_they_belong_to(store: Asked, other: Asked) -> None:
    await store.commit(*(change("register", n) for n in (1, 2, 3)))
    await store.commit(
        change("renew", 1, epoch=1, revision=1, load=0.25),
        change("renew", 2, epoch=1, revision=2),
        change("renew", 3, epoch=1, revision=3, load=1e300),
        announce=True,
    )
    assert [(each.agent_id, each.load) for each in (await other.read_renewals()).renewals] == [
        (agent_id(1), 0.25),
        (agent_id(2), UNSET),
        (agent_id(3), 1e300),
    ]


async def test_a_batch_without_a_load_is_announced_as_by_earlier_versions(
    store: Asked, client: Redis
) -> None:
    await store.commit(change("register", 1))
    await store.commit(change("renew", 1, epoch=1, revision=1), announce=True)
    ((_, fields),) = await client.xrange("agents:seen")
    assert list(fields) == [b"hub-1"]


@pytest.mark.parametrize("loads", ["", "x", "nan", "-1", "inf", "1e999", "1\n2", "0.5x", "\ufffd"])
async def test_a_load_that_no_hub_wrote_is_none(other: Asked, client: Redis, loads: str) -> None:
    await client.xadd("agents:seen", {"hub-1": f"{agent_id()} {NOW}", "load": loads})
    (renewal,) = (await other.read_renewals()).renewals
    assert (renewal.last_seen, renewal.load) == (NOW, UNSET)


async def test_nothing_is_announced_unless_it_is_asked_for(store: Asked, client: Redis) -> None:
    await store.commit(change("register"))
    await store.commit(change("renew", epoch=1, revision=1))
    await store.commit(change("write", epoch=1, revision=1), announce=True)
    await store.commit(announce=True)
    assert await client.exists("agents:seen") == 0


async def test_a_hub_does_not_hear_itself(store: Asked, other: Asked) -> None:
    await store.commit(change("register", 1), change("register", 2))
    await store.commit(change("renew", 1, epoch=1, revision=1), announce=True)
    await other.commit(change("renew", 2, epoch=1, revision=2), announce=True)
    assert seen(await store.read_renewals()) == [(agent_id(2), NOW)]
    assert seen(await other.read_renewals()) == [(agent_id(1), NOW)]


async def test_reading_goes_on_where_it_ended(store: Asked, other: Asked) -> None:
    assert await other.read_renewals() == ForeignRenewals("", [])
    await store.commit(change("register"))
    position = ""
    for _ in range(3):
        await store.commit(change("renew", epoch=1, revision=1), announce=True)
        answer = await other.read_renewals(position)
        assert len(answer.renewals) == 1
        position = answer.position
    assert await other.read_renewals(position) == ForeignRenewals(position, [])
    assert len((await other.read_renewals()).renewals) == 3


async def test_what_a_hub_itself_announced_is_passed_over_once(store: Asked) -> None:
    await store.commit(change("register"))
    await store.commit(change("renew", epoch=1, revision=1), announce=True)
    first = await store.read_renewals()
    assert first.position
    assert first.renewals == []
    assert await store.read_renewals(first.position) == first


async def test_more_than_one_piece_is_read_to_the_end(
    store: Asked, other: Asked, client: Redis
) -> None:
    for number in range(2 * ANNOUNCEMENTS + 1):
        await client.xadd("agents:seen", {"hub-1": f"{agent_id(number)} {NOW}"})
    renewals = await other.read_renewals()
    assert [each.agent_id for each in renewals.renewals] == [
        agent_id(number) for number in range(2 * ANNOUNCEMENTS + 1)
    ]
    assert (await other.read_renewals(renewals.position)).renewals == []


# --- ages ----------------------------------------------------------------------------------------


async def now_of(client: Redis) -> int:
    seconds, micros = await client.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def test_the_age_is_told_by_the_clock_of_redis(other: Asked, client: Redis) -> None:
    now = await now_of(client)
    for age in (20_000, 5_000):
        await client.xadd("agents:seen", {"hub-1": f"{agent_id()} {NOW}"}, id=f"{now - age}-0")
    ages = [each.age for each in (await other.read_renewals()).renewals]
    assert 20.0 <= ages[0] < 25.0
    assert 5.0 <= ages[1] < 10.0


async def test_what_the_clock_of_redis_has_not_reached_yet_is_new(
    other: Asked, client: Redis
) -> None:
    # A server took the place of one whose clock was ahead.
    ahead = await now_of(client) + 60_000
    await client.xadd("agents:seen", {"hub-1": f"{agent_id()} {NOW}"}, id=f"{ahead}-0")
    (renewal,) = (await other.read_renewals()).renewals
    assert renewal.age == 0


async def test_what_is_older_than_half_a_minute_is_dropped(
    store: Asked, other: Asked, client: Redis
) -> None:
    # Redis trims whole blocks, of 100 entries as it is configured by default.
    old = await now_of(client) - 31_000
    for number in range(250):
        await client.xadd("agents:seen", {"hub-1": "old old"}, id=f"{old - 250 + number}-0")
    await store.commit(change("register"))
    await store.commit(change("renew", epoch=1, revision=1), announce=True)
    assert await client.xlen("agents:seen") <= 100
    assert (await other.read_renewals()).renewals[-1].last_seen == NOW


# --- what may become of the stream ---------------------------------------------------------------


async def test_a_lost_stream_is_read_from_its_beginning(
    store: Asked, other: Asked, client: Redis
) -> None:
    await store.commit(change("register"))
    await store.commit(change("renew", epoch=1, revision=1), announce=True)
    position = (await other.read_renewals()).position
    await client.delete("agents:seen")
    assert await other.read_renewals(position) == ForeignRenewals("", [])


async def test_a_stream_that_a_slower_clock_began_anew_is_read_from_its_beginning(
    other: Asked, client: Redis
) -> None:
    ahead = await now_of(client) + 60_000
    await client.xadd("agents:seen", {"hub-1": "a b"}, id=f"{ahead}-0")
    position = (await other.read_renewals()).position
    await client.delete("agents:seen")
    await client.xadd("agents:seen", {"hub-1": f"{agent_id()} {NOW}"})
    again = await other.read_renewals(position)
    assert seen(again) == [(agent_id(), NOW)]
    assert await other.read_renewals(again.position) == ForeignRenewals(again.position, [])


async def test_a_key_of_another_type_is_named_and_nothing_is_changed(
    store: Asked, client: Redis
) -> None:
    await client.set("agents:seen", "x")
    assert await store.commit(change("register")) == [Applied(1, 1)]
    answer = await store.try_commit(change("renew", epoch=1, revision=1, load=1.0), announce=True)
    assert isinstance(answer, Away)
    assert answer.reason.startswith("the Redis key agents:seen holds a string where a stream")
    assert b'"load"' not in await client.get(f"agent:{agent_id()}")


async def test_announcements_run_out_when_the_hubs_go_quiet(
    store: Asked, other: Asked, client: Redis
) -> None:
    await store.commit(change("register"))
    for _ in range(2):
        await store.commit(change("renew", epoch=1, revision=1), announce=True)
        assert 50_000 < await client.pttl("agents:seen") <= 60_000
        await client.persist("agents:seen")
    position = (await other.read_renewals()).position
    await client.delete("agents:seen")
    await asyncio.sleep(0.002)  # or its first id may be the last one of before
    await store.commit(change("renew", epoch=1, revision=1, last_seen=LATER), announce=True)
    assert seen(await other.read_renewals(position)) == [(agent_id(1), LATER)]
