"""Opening: when a log goes on, when a new one begins, and that revisions never go back."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Away, Fenced
from tests.hub.store.asking import Asked, change
from tests.hub.store.conftest import MakeStore


async def fill(store: Asked, count: int) -> str:
    """Open, and commit `count` changes; returns the log's name."""
    opened = await store.open()
    await store.commit(*(change("register", number) for number in range(count)))
    return opened.log


# --- the log goes on -----------------------------------------------------------------------------


async def test_the_first_opening_begins_a_log_at_0(make_store: MakeStore, client: Redis) -> None:
    opened = await make_store().open()
    assert (opened.revision, opened.fresh) == (0, True)
    assert await client.get("agents:log:name") == opened.log.encode()
    assert len(opened.log) >= 16
    assert await client.exists("agents:log") == 1
    assert await client.xlen("agents:log") == 0


async def test_a_new_log_is_empty_to_its_readers(store: Asked) -> None:
    assert await store.read_log() == []
    assert (await store.load()).entries == []


async def test_a_starting_hub_goes_on_with_the_log_it_finds(make_store: MakeStore) -> None:
    log = await fill(make_store(), 3)
    opened = await make_store("hub-2").open()
    assert (opened.log, opened.revision, opened.fresh) == (log, 3, False)


async def test_a_returning_hub_goes_on_with_the_log_it_knows(make_store: MakeStore) -> None:
    store = make_store()
    log = await fill(store, 3)
    opened = await store.open(log, 3)
    assert (opened.log, opened.revision, opened.fresh) == (log, 3, False)


async def test_a_returning_hub_hears_how_far_others_have_come(make_store: MakeStore) -> None:
    log = await fill(make_store(), 3)
    opened = await make_store("hub-2").open(log, 1)
    assert (opened.revision, opened.fresh) == (3, False)


async def test_an_empty_log_goes_on_at_the_revision_it_began_from(make_store: MakeStore) -> None:
    store = make_store()
    first = await store.open("gone", 41)
    again = await store.open(first.log, 41)
    assert (again.log, again.revision, again.fresh) == (first.log, 41, False)
    assert (await store.commit(change("register"))) == [Applied(42, 1)]


async def test_a_log_whose_entries_were_deleted_keeps_its_revision(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    log = await fill(store, 3)
    await client.xdel("agents:log", "2-0", "3-0")
    opened = await store.open(log, 3)
    assert (opened.log, opened.revision, opened.fresh) == (log, 3, False)
    assert await store.commit(change("register", 9)) == [Applied(4, 1)]


# --- a new log -----------------------------------------------------------------------------------


async def test_a_lost_name_begins_a_new_log_above_the_old_one(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    log = await fill(store, 3)
    await client.delete("agents:log:name")
    opened = await store.open(log, 3)
    assert opened.log != log
    assert (opened.revision, opened.fresh) == (3, True)
    assert opened.why == "empty"
    assert await store.read_log() == []
    assert await store.commit(change("register", 9)) == [Applied(4, 1)]


@pytest.mark.parametrize("known", [3, 0])
async def test_a_lost_stream_begins_a_new_log(
    make_store: MakeStore, client: Redis, known: int
) -> None:
    store = make_store()
    log = await fill(store, 3)
    await client.delete("agents:log")
    opened = await store.open(log if known else "", known)
    assert opened.log != log
    assert (opened.revision, opened.fresh) == (known, True)
    assert opened.why == "empty"


async def test_a_log_that_fell_behind_what_the_hub_knows_is_replaced(
    make_store: MakeStore,
) -> None:
    store = make_store()
    log = await fill(store, 3)
    opened = await store.open(log, 10)
    assert opened.log != log
    assert (opened.revision, opened.fresh) == (10, True)
    assert opened.why == "older"
    assert await store.commit(change("register", 9)) == [Applied(11, 1)]


async def test_a_log_that_another_hub_began_too_low_is_replaced_as_well(
    make_store: MakeStore,
) -> None:
    other = await make_store("hub-2").open("lost", 5)
    opened = await make_store().open("lost", 8)
    assert opened.log not in ("lost", other.log)
    assert (opened.revision, opened.fresh) == (8, True)
    assert opened.why == "older"


async def test_a_new_log_is_begun_when_asked_for(make_store: MakeStore) -> None:
    store = make_store()
    log = await fill(store, 3)
    opened = await store.open(log, 2, new_log=True)
    assert opened.log != log
    assert (opened.revision, opened.fresh) == (3, True)
    assert opened.why == "asked"
    assert await store.commit(change("register", 9)) == [Applied(4, 1)]


async def test_a_log_that_another_hub_began_meanwhile_is_fresh_to_this_one(
    make_store: MakeStore,
) -> None:
    store, other = make_store(), make_store("hub-2")
    log = await fill(store, 3)
    begun = await other.open(log, 3, new_log=True)
    opened = await store.open(log, 3)
    assert (opened.log, opened.revision, opened.fresh) == (begun.log, 3, True)
    assert opened.why == "elsewhere"


async def test_emptied_redis_gets_a_new_log_and_the_same_secret(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    before = await store.open()
    await store.commit(change("register"))
    await client.flushall()
    after = await store.open(before.log, 1)
    assert after.log != before.log
    assert (after.revision, after.fresh, after.why) == (1, True, "empty")
    assert after.secret == before.secret
    assert await client.get("agents:secret") == before.secret
    assert await store.commit(change("restore", epoch=1)) == [Applied(2, 1)]


async def test_revisions_beyond_any_exponent_are_written_as_digits(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    high = 2**52
    opened = await store.open("gone", high)
    assert opened.revision == high
    assert await store.commit(change("register", epoch=high)) == [Applied(high + 1, high + 1)]
    ((entry, _),) = await client.xrange("agents:log")
    assert entry == b"%d-0" % (high + 1)


# --- log matching --------------------------------------------------------------------------------


async def test_a_log_with_the_entry_that_the_hub_knows_goes_on(make_store: MakeStore) -> None:
    store = make_store()
    log = (await store.open()).log
    await store.commit(change("register", 1, key="a"), change("register", 2, key="b"))
    for revision, key in ((1, "a"), (2, "b"), (2, ""), (0, "")):
        opened = await store.open(log, revision, key)
        assert (opened.log, opened.revision, opened.fresh) == (log, 2, False)


async def test_a_log_with_another_entry_in_its_place_is_replaced(make_store: MakeStore) -> None:
    store = make_store()
    log = (await store.open()).log
    await store.commit(change("register", 1, key="a"), change("register", 2, key="b"))
    opened = await store.open(log, 1, "lost")
    assert opened.log != log
    assert (opened.revision, opened.fresh, opened.why) == (2, True, "diverged")
    assert await store.read_log() == []
    assert await store.commit(change("register", 3)) == [Applied(3, 1)]


async def test_an_entry_without_a_key_and_one_that_was_trimmed_prove_nothing(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    log = (await store.open()).log
    await store.commit(change("register", 1), change("register", 2, key="b"))
    await client.xadd("agents:log", {"kind": "updated", "agent": "{}"}, id="3-0")
    for revision in (1, 3):
        assert (await store.open(log, revision, "mine")).log == log
    await client.xdel("agents:log", "2-0")
    assert (await store.open(log, 2, "mine")).log == log


async def test_the_history_of_another_log_is_not_compared(make_store: MakeStore) -> None:
    store = make_store()
    log = (await store.open()).log
    await store.commit(change("register", 1, key="a"))
    opened = await store.open("another", 1, "mine")
    assert (opened.log, opened.revision, opened.fresh) == (log, 1, True)


# --- secret and lease ----------------------------------------------------------------------------


async def test_all_hubs_share_one_secret_of_256_bits(make_store: MakeStore, client: Redis) -> None:
    first = await make_store().open()
    second = await make_store("hub-2").open()
    assert first.secret == second.secret == await client.get("agents:secret")
    assert len(bytes.fromhex(first.secret.decode())) == 32


async def test_a_secret_that_is_too_short_to_be_one_is_replaced(
    make_store: MakeStore, client: Redis
) -> None:
    await client.set("agents:secret", "short")
    opened = await make_store().open()
    assert len(opened.secret) >= 32
    assert await client.get("agents:secret") == opened.secret


async def test_the_lease_describes_the_hub_and_lasts_ten_seconds(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store(
        "east-1",
        url="http://a:8080",
        version="0.1",
        started="2026-11-23T10:00:00Z",
        times=b'{"lease_ttl":60.0}',
    )
    await store.open()
    lease = await client.hgetall("hub:east-1")
    assert len(lease.pop(b"generation")) == 32
    assert lease == {
        b"url": b"http://a:8080",
        b"version": b"0.1",
        b"started": b"2026-11-23T10:00:00Z",
        b"agents": b"0",
        b"sessions": b"0",
        b"revision": b"0",
        b"times": b'{"lease_ttl":60.0}',
    }
    assert 5_000 < await client.pttl("hub:east-1") <= 10_000


async def test_a_hub_that_opens_again_says_how_far_it_is(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    opened = await store.open()
    await store.commit(change("register", 1), change("register", 2))
    await store.roster(agents=2, sessions=1, revision=2)
    await store.open(opened.log, 2)
    lease = await client.hgetall("hub:hub-1")
    assert (lease[b"agents"], lease[b"sessions"], lease[b"revision"]) == (b"2", b"1", b"2")


async def test_an_opening_is_counted_among_the_hubs(make_store: MakeStore, client: Redis) -> None:
    await make_store("east").open()
    await make_store("west").open()
    assert await client.smembers("agents:hubs") == {b"east", b"west"}


# --- two hubs with one id ------------------------------------------------------------------------


class Rivals:
    """A hub that notes which others it hears of that use its id."""

    def __init__(self, make_store: MakeStore, url: str, started: str) -> None:
        self.heard: list[tuple[str, bool]] = []
        self.store = make_store(
            url=url, started=started, rival_found=lambda *said: self.heard.append(said)
        )


async def test_of_two_hubs_with_one_id_the_later_one_goes_on_and_both_hear_of_it(
    make_store: MakeStore, client: Redis
) -> None:
    older = Rivals(make_store, "http://a", "2026-11-23T10:00:00.000000Z")
    newer = Rivals(make_store, "http://b", "2026-11-23T10:00:01.000000Z")
    await older.store.open()
    await newer.store.open()
    lease = await client.hgetall("hub:hub-1")
    assert await older.store.try_commit(change("register")) == Fenced()
    answer = await older.store.try_open()
    assert answer == Away("another hub that started later uses this hub's id")
    assert older.heard == [("http://b", True)]
    assert newer.heard == []
    assert await older.store.try_commit(change("register")) == Fenced()
    await older.store.store.close()
    assert await client.hgetall("hub:hub-1") == lease
    assert await newer.store.commit(change("register")) == [Applied(1, 1)]


async def test_a_later_hub_takes_its_place_back_from_an_older_one(make_store: MakeStore) -> None:
    newer = Rivals(make_store, "http://b", "2026-11-23T10:00:01.000000Z")
    older = Rivals(make_store, "http://a", "2026-11-23T10:00:00.000000Z")
    await newer.store.open()
    await older.store.open()
    await newer.store.open()
    assert newer.heard == [("http://a", False)]
    assert isinstance(await older.store.try_open(), Away)
    assert older.heard == [("http://b", True)]
    assert await newer.store.commit(change("register")) == [Applied(1, 1)]


async def test_a_hub_that_opens_first_or_again_or_after_the_other_has_lapsed_fights_nobody(
    make_store: MakeStore, client: Redis
) -> None:
    killed = Rivals(make_store, "http://a", "2026-11-23T10:00:01.000000Z")
    restarted = Rivals(make_store, "http://a", "2026-11-23T10:00:00.000000Z")
    await killed.store.open()
    await killed.store.open()
    await restarted.store.open()  # as a clock that was put back would have it
    await client.delete("hub:hub-1")
    await killed.store.open()
    assert killed.heard == restarted.heard == []


# --- keys that hold something else ---------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["agents:log", "agents:log:name", "agents:secret", "agents:active", "agents:hubs"]
)
async def test_a_key_of_another_type_is_named_and_nothing_is_changed(
    make_store: MakeStore, client: Redis, key: str
) -> None:
    await client.hset(key, "a", "b")
    answer = await make_store().try_open()
    assert isinstance(answer, Away)
    assert answer.reason.startswith(f"the Redis key {key} holds a hash where a ")
    assert answer.reason.endswith(": `homeport repair` sets it aside")
    assert await client.exists("hub:hub-1") == 0


async def test_a_lease_key_of_another_type_is_taken_over(
    make_store: MakeStore, client: Redis
) -> None:
    await client.set("hub:hub-1", "x")
    store = make_store()
    await store.open()
    assert await store.commit(change("register")) == [Applied(1, 1)]


@pytest.mark.parametrize("key", ["agents:log", "agents:active"])
async def test_a_key_that_changes_its_type_later_is_named_and_nothing_is_changed(
    store: Asked, client: Redis, key: str
) -> None:
    await client.delete(key)
    await client.set(key, "x")
    answer = await store.try_commit(change("register"))
    assert isinstance(answer, Away)
    assert f"the Redis key {key} holds a string" in answer.reason
    assert await client.keys("agent:*") == []
