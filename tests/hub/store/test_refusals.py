"""When a change is refused: what is stored is newer, older, or not what was judged."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Operation
from homeport_protocol.codec import decode_record
from tests.hub.store.asking import (
    ENTRY,
    FAR,
    LEGACY,
    NOW,
    Asked,
    agent_id,
    change,
    head,
    put,
    stored,
)

OPERATIONS: list[Operation] = [
    *("register", "claim", "resume", "write", "renew", "remove", "restore"),
]
LATER = "2026-11-23T10:00:30.000000Z"


async def nothing_changed(store: Asked, client: Redis, value: bytes) -> bool:
    """Whether the entry, the active set, the log, the tombstone and renewals are as before."""
    return (
        await client.get(ENTRY) == value
        and await client.smembers("agents:active") == {agent_id().encode()}
        and await store.read_log() == []
        and await client.exists(f"epoch:{agent_id()}", "agents:seen") == 0
    )


# --- fenced: a newer epoch -----------------------------------------------------------------------


@pytest.mark.parametrize("revision", [0, 5, 9])
@pytest.mark.parametrize("operation", ["write", "renew", "remove", "restore"])
async def test_an_older_session_changes_nothing(
    store: Asked, client: Redis, operation: Operation, revision: int
) -> None:
    await put(client, stored(4, 5))
    late = change(operation, epoch=3, revision=revision)
    assert await store.commit(late, announce=True) == ["fenced"]
    assert await nothing_changed(store, client, stored(4, 5))


async def test_a_resumption_does_not_claim_the_stored_epoch(store: Asked, client: Redis) -> None:
    await put(client, stored(4, 5))
    assert await store.commit(change("resume", epoch=3, revision=5)) == [Applied(1, 5)]


# --- stale: a newer revision ---------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["resume", "write", "renew", "remove", "restore"])
async def test_a_change_of_an_older_revision_is_stale(
    store: Asked, client: Redis, operation: Operation
) -> None:
    await put(client, stored(4, 6))
    late = change(operation, epoch=4, revision=5)
    assert await store.commit(late, announce=True) == ["stale"]
    assert await nothing_changed(store, client, stored(4, 6))


@pytest.mark.parametrize("operation", ["remove", "restore"])
async def test_a_newer_revision_of_an_older_epoch_is_stale_too(
    store: Asked, client: Redis, operation: Operation
) -> None:
    await put(client, stored(3, 6))
    assert await store.commit(change(operation, epoch=4, revision=5)) == ["stale"]
    assert await nothing_changed(store, client, stored(3, 6))


@pytest.mark.parametrize(("epoch", "revision"), [(3, 6), (4, 5), (3, 5), (0, 0), (3, 9), (9, 5)])
async def test_a_claim_is_stale_when_anything_newer_is_stored(
    store: Asked, client: Redis, epoch: int, revision: int
) -> None:
    await put(client, stored(4, 6))
    late = change("claim", epoch=epoch, revision=revision)
    assert await store.commit(late, announce=True) == ["stale"]
    assert await nothing_changed(store, client, stored(4, 6))


@pytest.mark.parametrize(("epoch", "revision"), [(4, 6), (5, 9)])
async def test_a_claim_of_what_is_stored_or_older_gets_a_new_epoch(
    store: Asked, client: Redis, epoch: int, revision: int
) -> None:
    await put(client, stored(4, 6))
    late = change("claim", epoch=epoch, revision=revision)
    assert await store.commit(late) == [Applied(1, epoch + 1)]


async def test_of_two_claims_made_from_the_same_one_wins(store: Asked) -> None:
    (first,) = await store.commit(change("claim", key="a"))
    assert isinstance(first, Applied)
    assert await store.commit(change("claim", key="b")) == ["stale"]
    gone = change("remove", epoch=first.epoch - FAR, revision=first.revision)
    assert isinstance((await store.commit(gone))[0], Applied)
    (again,) = await store.commit(change("claim", key="b"))
    assert isinstance(again, Applied)
    assert again.epoch > first.epoch, "above the epoch of what was removed"


async def test_a_registration_asks_for_no_revision(store: Asked, client: Redis) -> None:
    await put(client, stored(4, 6))
    assert await store.commit(change("register", epoch=1, revision=2)) == [Applied(1, 5)]


async def test_of_two_changes_from_one_revision_the_first_is_applied(store: Asked) -> None:
    await store.commit(change("register"))
    first, second = (change("write", epoch=1, revision=1, load=load) for load in (0.1, 0.2))
    assert await store.commit(first, second) == [Applied(2, 1), "stale"]


async def test_revisions_are_compared_as_numbers_however_large(store: Asked, client: Redis) -> None:
    high = 2**52
    await put(client, stored(1, high))
    assert await store.commit(change("renew", epoch=1, revision=99)) == ["stale"]
    assert await store.commit(change("renew", epoch=1, revision=high)) == [Applied(high, 1)]
    assert decode_record(await client.get(ENTRY)).revision == high


# --- missing: nothing, or what is older ----------------------------------------------------------


@pytest.mark.parametrize("operation", ["resume", "write", "renew"])
async def test_a_change_of_the_unknown_is_missing(
    store: Asked, client: Redis, operation: Operation
) -> None:
    assert await store.commit(change(operation, epoch=1)) == ["missing"]
    assert await client.exists(ENTRY, "agents:active") == 0


@pytest.mark.parametrize(
    ("active", "operation", "hub", "refusal"),
    [
        (False, "write", "", "deleted"),
        (True, "write", "", "missing"),
        (False, "write", "hub-1", "missing"),
        (False, "renew", "", "missing"),
    ],
)
async def test_an_agent_over_http_that_is_not_active_either_was_deleted(
    store: Asked, client: Redis, *, active: bool, operation: Operation, hub: str, refusal: str
) -> None:
    if active:
        await client.sadd("agents:active", agent_id())
    assert await store.commit(change(operation, epoch=1, hub=hub)) == [refusal]
    assert await client.exists(ENTRY) == 0


@pytest.mark.parametrize("operation", ["write", "renew"])
@pytest.mark.parametrize("older", [stored(2, 5), stored(3, 4), stored(2, 4)])
async def test_what_is_older_than_the_writers_record_is_not_it(
    store: Asked, client: Redis, operation: Operation, older: bytes
) -> None:
    await put(client, older)
    late = change(operation, epoch=3, revision=5)
    assert await store.commit(late, announce=True) == ["missing"]
    assert await nothing_changed(store, client, older)


async def test_an_older_revision_cannot_be_resumed(store: Asked, client: Redis) -> None:
    await put(client, stored(3, 4))
    assert await store.commit(change("resume", epoch=3, revision=5)) == ["missing"]
    assert await nothing_changed(store, client, stored(3, 4))


@pytest.mark.parametrize("older", [stored(2, 5), stored(3, 4), stored(2, 4)])
@pytest.mark.parametrize("operation", ["remove", "restore"])
async def test_what_is_older_is_removed_and_replaced(
    store: Asked, client: Redis, operation: Operation, older: bytes
) -> None:
    await put(client, older)
    assert await store.commit(change(operation, epoch=3, revision=5)) == [Applied(1, 3)]


# --- a verdict on silence ------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["write", "remove", "restore", "resume"])
async def test_a_verdict_on_silence_is_stale_when_the_agent_was_heard_meanwhile(
    store: Asked, client: Redis, operation: Operation
) -> None:
    await store.commit(change("register"))
    await store.commit(change("renew", epoch=1, revision=1, last_seen=LATER))
    before = await client.get(ENTRY)
    assert await store.commit(change(operation, epoch=1, revision=1, seen=NOW)) == ["stale"]
    assert await client.get(ENTRY) == before
    assert len(await store.read_log()) == 1


@pytest.mark.parametrize("operation", ["write", "remove", "restore"])
async def test_a_verdict_on_the_silence_that_is_stored_is_applied(
    store: Asked, operation: Operation
) -> None:
    await store.commit(change("register"))
    verdict = change(operation, epoch=1, revision=1, seen=NOW)
    assert await store.commit(verdict) == [Applied(2, 1)]


async def test_a_verdict_on_an_agent_that_ran_out_is_applied(store: Asked) -> None:
    assert await store.commit(change("remove", epoch=2, revision=7, seen=NOW)) == [Applied(1, 2)]


async def test_no_text_of_the_agents_is_taken_for_its_last_seen(
    store: Asked, client: Redis
) -> None:
    trap = f'"last_seen":"{LATER}"'
    fields = {"name": trap, "capabilities": [trap], "metadata": {trap: {"last_seen": LATER}}}
    await store.commit(change("register", **fields))
    write = change("write", epoch=1, revision=1, seen=LATER, **fields)
    assert await store.commit(write) == ["stale"]
    write = change("write", epoch=1, revision=1, seen=NOW, **fields)
    assert await store.commit(write) == [Applied(2, 1)]
    await store.commit(change("renew", epoch=1, revision=2, **fields), announce=True)
    ((_, announced),) = await client.xrange("agents:seen")
    assert announced == {b"hub-1": f"{agent_id()} {NOW}".encode()}


async def test_a_record_that_was_formatted_anew_is_judged_by_its_own_last_seen(
    store: Asked, client: Redis
) -> None:
    value = b'{"metadata": {"last_seen":"x"}, "last_seen": "y", "epoch": %d, "revision": 5, '
    await put(client, value % (FAR + 2) + b'"id": "%s", "name": "a"}' % agent_id().encode())
    assert await store.commit(change("write", epoch=2, revision=5, seen="x")) == ["stale"]
    assert await store.commit(change("write", epoch=2, revision=5, seen="y")) == [Applied(1, 2)]


# --- the legacy registry's records ---------------------------------------------------------------


@pytest.mark.parametrize("seen", ["", NOW])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_legacy_record_counts_as_any(
    store: Asked, client: Redis, operation: Operation, seen: str
) -> None:
    await put(client, LEGACY)
    (result,) = await store.commit(change(operation, epoch=3, revision=9, seen=seen))
    epoch = 4 if operation in ("register", "claim", "resume") else 3
    assert result == Applied(9 if operation == "renew" else 1, epoch)


# --- no record ------------------------------------------------------------------------------------


NO_RECORDS = [
    b"",
    b"hello",
    b"\xff\xfe",
    b"[1,2]",
    b"{broken",
    b'"{}"',
    b"null",
    b"{}",
    b'{"id":"another","name":"a","last_seen":"x"}',
    head() + b',"epoch":%s,"hub":"h","revision":1}' % (b"9" * 100),
    head() + b',"epoch":1,"hub":"h","revision":%d}' % 2**53,
    head() + b',"epoch":%d,"hub":"h","revision":1 }' % 2**62,
]


async def aside(client: Redis, number: int = 1) -> bytes:
    """The one key that what was under an agent's key has now; it does not expire."""
    (name,) = await client.keys(f"set-aside:agent:{agent_id(number)}:*")
    assert await client.ttl(name) == -1
    return bytes(name)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("value", NO_RECORDS)
async def test_what_is_no_record_is_set_aside_and_blocks_no_agent(
    store: Asked, client: Redis, operation: Operation, value: bytes
) -> None:
    await client.set(ENTRY, value, ex=100)
    there = operation in ("register", "claim", "remove", "restore")
    epoch = {"register": 4, "claim": 4}.get(operation, 3)
    results = await store.commit(change(operation, epoch=3))
    assert results == ([Applied(1, epoch)] if there else ["missing"])
    assert await client.get(await aside(client)) == value
    assert await client.exists(ENTRY) == (operation in ("register", "claim", "restore"))
    (told,) = store.store.findings.sentences()
    assert ENTRY in told
    assert (await aside(client)).decode() in told


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_key_of_another_type_is_set_aside_and_concerns_no_other_agent(
    store: Asked, client: Redis, operation: Operation
) -> None:
    await client.lpush(f"agent:{agent_id(2)}", "x")
    first, _, third = await store.commit(
        change("register", 1), change(operation, 2, epoch=1), change("register", 3)
    )
    assert isinstance(first, Applied)
    assert isinstance(third, Applied)
    assert await client.lrange(await aside(client, 2), 0, -1) == [b"x"]


async def test_what_was_set_aside_is_told_until_it_is_gone(store: Asked, client: Redis) -> None:
    for value in (b"one", b"two"):
        await client.set(ENTRY, value)
        await client.sadd("agents:active", agent_id())
        await store.load()
        assert len(store.store.findings.sentences()) == 1  # left alone for now
        await store.commit(change("register"))
        assert len(store.store.findings.sentences()) == 1
        await store.store.look_again()
        assert len(store.store.findings.sentences()) == 1
        await client.delete(await aside(client))
        await store.store.look_again()
        assert store.store.findings.sentences() == []


async def test_a_list_that_was_repaired_before_anybody_looked_again_is_told_no_more(
    store: Asked, client: Redis
) -> None:
    await client.set("homeport:namespaces", "x")
    assert await store.store.namespaces() == ["default"]
    assert len(store.store.findings.sentences()) == 1
    await client.delete("homeport:namespaces")
    await client.sadd("homeport:namespaces", "default")
    await store.store.look_again()
    assert store.store.findings.sentences() == []


async def test_a_refused_change_takes_no_revision(store: Asked) -> None:
    results = await store.commit(
        change("register", 1), change("write", 2, epoch=1), change("register", 3)
    )
    assert results == [Applied(1, 1), "missing", Applied(2, 1)]
    assert [entry.revision for entry in await store.read_log()] == [1, 2]
