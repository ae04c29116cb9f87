"""Each row of the table in `actors.ports.store.Change`: what is applied, refused and left."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from actors.limits import Limits
from actors.ports.store import Applied, Away, Committed, Fenced, Operation, Renewal
from homeport_protocol.codec import decode_record
from homeport_protocol.record import AgentRecord
from tests.hub.store.asking import (
    ENTRY,
    FAR,
    LEGACY,
    Asked,
    agent_id,
    change,
    epoch_in,
    head,
    put,
    stored,
    until,
)


async def log_of(client: Redis) -> list[tuple[bytes, list[Any]]]:
    """The stream as it lies in Redis: ids, and fields in their order."""
    return [(entry, list(fields.items())) for entry, fields in await client.xrange("agents:log")]


# --- register ------------------------------------------------------------------------------------


async def test_register_raises_the_epoch_and_adds_the_id(store: Asked, client: Redis) -> None:
    assert await store.commit(change("register")) == [Applied(1, 1)]
    assert await client.smembers("agents:active") == {agent_id().encode()}


@pytest.mark.parametrize(("stored_epoch", "epoch", "expected"), [(4, 0, 5), (4, 9, 10), (4, 4, 5)])
async def test_register_raises_the_higher_of_the_stored_and_the_known_epoch(
    store: Asked, client: Redis, stored_epoch: int, epoch: int, expected: int
) -> None:
    await put(client, stored(stored_epoch))
    assert await store.commit(change("register", epoch=epoch)) == [Applied(1, expected)]


async def test_register_of_the_unknown_goes_on_from_the_known_epoch(store: Asked) -> None:
    assert await store.commit(change("register", epoch=7)) == [Applied(1, 8)]


# --- resume --------------------------------------------------------------------------------------


async def test_resume_raises_the_epoch(store: Asked, client: Redis) -> None:
    await put(client, stored(3))
    assert await store.commit(change("resume", epoch=3, revision=5)) == [Applied(1, 4)]
    (entry,) = await store.read_log()
    assert (entry.kind, epoch_in(entry.record)) == ("resumed", 4)


# --- write ---------------------------------------------------------------------------------------


async def test_write_keeps_the_epoch_and_raises_the_revision(store: Asked, client: Redis) -> None:
    await store.commit(change("register"))
    assert await store.commit(change("write", epoch=1, revision=1, load=0.5)) == [Applied(2, 1)]
    now = decode_record(await client.get(ENTRY))
    assert (now.load, now.revision, now.hub) == (0.5, 2, "hub-1")
    assert epoch_in(await client.get(ENTRY)) == 1


async def test_write_of_a_legacy_record_puts_the_epoch_in(store: Asked, client: Redis) -> None:
    await put(client, LEGACY)
    assert await store.commit(change("write", epoch=1)) == [Applied(1, 1)]
    assert epoch_in(await client.get(ENTRY)) == 1


async def test_write_without_a_kind_leaves_the_log_alone(store: Asked, client: Redis) -> None:
    await put(client, stored(2))
    assert await store.commit(change("write", epoch=2, kind="", revision=5)) == [Applied(5, 2)]
    assert decode_record(await client.get(ENTRY)).revision == 5
    assert await log_of(client) == []


# --- renew ---------------------------------------------------------------------------------------


async def test_renew_writes_the_entry_and_no_log(store: Asked, client: Redis) -> None:
    await store.commit(change("register"))
    later = "2026-11-23T10:00:30.000000Z"
    assert await store.commit(change("renew", epoch=1, revision=1, last_seen=later)) == [
        Applied(1, 1)
    ]
    now = decode_record(await client.get(ENTRY))
    assert (now.last_seen, now.revision) == (later, 1)
    assert len(await log_of(client)) == 1


async def test_a_renewal_has_no_log_entry(store: Asked, client: Redis) -> None:
    await put(client, stored(2))
    assert await store.commit(change("renew", epoch=2, revision=5)) == [Applied(5, 2)]
    assert await log_of(client) == []


async def test_renew_of_a_legacy_record_is_applied(store: Asked, client: Redis) -> None:
    await put(client, LEGACY)
    assert await store.commit(change("renew", epoch=1)) == [Applied(0, 1)]


async def test_renew_puts_a_lost_id_back_into_the_active_set(store: Asked, client: Redis) -> None:
    await store.commit(change("register"))
    await client.srem("agents:active", agent_id())
    await store.commit(change("renew", epoch=1, revision=1))
    assert await client.smembers("agents:active") == {agent_id().encode()}


# --- remove --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored_epoch", [1, 2, 3])
async def test_remove_deletes_the_entry_and_the_id(
    store: Asked, client: Redis, stored_epoch: int
) -> None:
    await put(client, stored(stored_epoch))
    assert await store.commit(change("remove", epoch=3, revision=5)) == [Applied(1, 3)]
    assert await client.exists(ENTRY, "agents:active") == 0
    (entry,) = await store.read_log()
    assert (entry.kind, epoch_in(entry.record)) == ("unregistered", 3)


async def test_remove_of_what_has_run_out_is_told_in_the_log(store: Asked, client: Redis) -> None:
    await client.sadd("agents:active", agent_id())
    assert await store.commit(change("remove", epoch=3, kind="expired")) == [Applied(1, 3)]
    assert [entry.kind for entry in await store.read_log()] == ["expired"]
    assert await client.exists("agents:active") == 0


async def test_remove_of_a_legacy_record_is_applied(store: Asked, client: Redis) -> None:
    await put(client, LEGACY)
    assert await store.commit(change("remove", epoch=1)) == [Applied(1, 1)]
    assert await client.exists(ENTRY) == 0


# --- restore -------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, stored(1), stored(3), LEGACY])
async def test_restore_puts_a_record_back(
    store: Asked, client: Redis, before: bytes | None
) -> None:
    if before is not None:
        await put(client, before)
    assert await store.commit(change("restore", epoch=3, revision=5)) == [Applied(1, 3)]
    assert epoch_in(await client.get(ENTRY)) == 3
    assert [entry.kind for entry in await store.read_log()] == ["updated"]


async def test_restore_without_a_kind_leaves_the_log_alone(store: Asked, client: Redis) -> None:
    assert await store.commit(change("restore", epoch=3, kind="", revision=8)) == [Applied(8, 3)]
    assert decode_record(await client.get(ENTRY)).revision == 8
    assert await log_of(client) == []


# --- a batch -------------------------------------------------------------------------------------


async def test_the_changes_of_a_batch_are_applied_in_order(store: Asked, client: Redis) -> None:
    answer = await store.try_commit(
        change("register"),
        change("write", epoch=1, revision=1, load=0.5),
        change("renew", epoch=1, revision=2),
        change("write", epoch=1, revision=1),
        change("resume", epoch=1, revision=2),
        change("write", epoch=1, revision=3),
        change("remove", epoch=2, revision=3),
        change("register"),
    )
    assert isinstance(answer, Committed)
    assert answer.before == 0
    assert answer.results == [
        Applied(1, 1),
        Applied(2, 1),
        Applied(2, 1),
        "stale",
        Applied(3, 2),
        "fenced",
        Applied(4, 2),
        Applied(5, 3),
    ]
    assert [entry for entry, _ in await log_of(client)] == [b"%d-0" % n for n in range(1, 6)]


async def test_a_batch_tells_the_log_and_the_revision_before_it(store: Asked) -> None:
    opened = await store.open()
    await store.commit(change("register", 1), change("register", 2))
    answer = await store.try_commit(change("register", 3))
    assert answer == Committed(opened.log, 2, [Applied(3, 1)])


async def test_an_empty_batch_is_applied(store: Asked) -> None:
    answer = await store.try_commit()
    assert isinstance(answer, Committed)
    assert (answer.before, answer.results) == (0, [])


async def test_revisions_rise_by_one_over_many_batches(store: Asked, client: Redis) -> None:
    for number in range(0, 300, 50):
        await store.commit(*(change("register", number + each) for each in range(50)))
    revisions = [entry for entry, _ in await log_of(client)]
    assert revisions == [b"%d-0" % n for n in range(1, 301)]


async def test_a_batch_of_512_of_all_kinds_is_applied(store: Asked, client: Redis) -> None:
    await store.commit(*(change("register", n) for n in range(256)))
    operations = ["register", "remove", "renew", "write"]
    mixed = [
        change(operations[n % 4], n, epoch=1 if n < 256 else 0, revision=n + 1 if n < 256 else 0)
        for n in range(512)
    ]
    results = await store.commit(*mixed, announce=True)
    reached = 256
    for n, (each, result) in enumerate(zip(mixed, results, strict=True)):
        known = n < 256
        if isinstance(each, Renewal):
            assert result == (Applied(n + 1, 1) if known else "missing")
            continue
        if each.operation == "write" and not known:
            assert result == "missing"
            continue
        reached += 1
        epoch = {"register": 2 if known else 1, "remove": 1 if known else 0}
        assert result == Applied(reached, epoch.get(each.operation, 1))
    assert await client.scard("agents:active") == 256 - 64 + 64
    assert len(await client.keys("epoch:*")) == 128
    assert [entry.revision for entry in await store.read_log(256)] == list(range(257, reached + 1))


async def test_a_batch_of_512_with_large_records_is_applied(store: Asked, client: Redis) -> None:
    large = {"text": "x" * 2000}
    results = await store.commit(*(change("register", n, metadata=large) for n in range(512)))
    assert results == [Applied(n + 1, 1) for n in range(512)]
    assert await client.scard("agents:active") == 512


async def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(
    store: Asked, client: Redis
) -> None:
    await store.commit(change("register", 1))
    await client.script_flush()
    assert await store.commit(change("register", 2)) == [Applied(2, 1)]


async def test_more_ids_than_go_into_one_command_are_all_added_and_removed(
    store: Asked, client: Redis
) -> None:
    many = range(1, 1202)
    results = await store.commit(*(change("register", n, metadata={}) for n in many))
    assert results == [Applied(n, 1) for n in many]
    assert await client.scard("agents:active") == len(many)
    await store.commit(*(change("remove", n, epoch=1, revision=n, metadata={}) for n in many))
    assert await client.exists("agents:active") == 0


# --- bytes ---------------------------------------------------------------------------------------


async def test_the_stored_record_is_the_head_and_its_tail_byte_for_byte(
    store: Asked, client: Redis
) -> None:
    await store.commit(change("register", epoch=41, hub="hub-1", load=0.25))
    expected = head(load=0.25) + b',"epoch":%d,"hub":"hub-1","revision":1}' % (FAR + 42)
    assert await client.get(ENTRY) == expected
    assert list(decode_record(expected).metadata) == ["team", "quote", "deep"]  # type: ignore[call-overload]


async def test_a_log_entry_is_kind_agent_key_and_place_in_this_order(
    store: Asked, client: Redis
) -> None:
    await store.commit(change("register", key="hub-1:abc:17"))
    ((entry, fields),) = await log_of(client)
    assert entry == b"1-0"
    assert fields == [
        (b"kind", b"registered"),
        (b"agent", await client.get(ENTRY)),
        (b"key", b"hub-1:abc:17"),
        (b"at", b"0"),
    ]
    (read,) = await store.read_log()
    assert read.key == "hub-1:abc:17"
    assert decode_record(read.record).name == "agent 1"


async def test_the_record_has_the_contracts_order_of_fields(store: Asked, client: Redis) -> None:
    await store.commit(change("register", load=1.0))
    fields = list(msgspec.json.decode(await client.get(ENTRY)))
    assert fields == [field.name for field in msgspec.structs.fields(AgentRecord)]
    assert fields[-5:] == ["load", "health", "epoch", "hub", "revision"]


async def test_an_empty_hub_and_the_longest_hub_are_read_back(store: Asked, client: Redis) -> None:
    for hub in ("", "h" * 64):
        await store.commit(change("register", hub=hub, epoch=10**15))
        assert decode_record(await client.get(ENTRY)).hub == hub
        epoch = epoch_in(await client.get(ENTRY))
        assert await store.commit(change("write", hub=hub, epoch=epoch - 1)) == ["fenced"]


async def test_text_in_the_metadata_is_not_taken_for_the_epoch(store: Asked, client: Redis) -> None:
    trap = b',"metadata":{"a":",\\"epoch\\":9,\\"hub\\":\\"h\\",\\"revision\\":9}"}}'
    await put(client, b'{"id":"%s","name":"a","last_seen":"x"' % agent_id().encode() + trap)
    assert await store.commit(change("write", epoch=1)) == [Applied(1, 1)]


async def test_a_record_that_was_formatted_anew_keeps_its_epoch(
    store: Asked, client: Redis
) -> None:
    named = b'"id": "%s", "name": "a", "last_seen": "x"' % agent_id().encode()
    entry = b' {"epoch": %d, "hub": "h", "revision": 3, %s, "metadata": null} \n'
    await put(client, entry % (FAR + 5, named))
    assert await store.commit(change("write", epoch=4, revision=3)) == ["fenced"]
    assert await store.commit(change("write", epoch=5, revision=2)) == ["stale"]
    assert await store.commit(change("write", epoch=5, revision=3)) == [Applied(1, 5)]


# --- times to live -------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["register", "write", "renew", "resume", "restore"])
async def test_the_time_to_live_is_set_in_milliseconds(
    store: Asked, client: Redis, operation: Operation
) -> None:
    await put(client, stored(1))
    await store.commit(change(operation, epoch=1, revision=5, ttl=90.5))
    assert 80_000 < await client.pttl(ENTRY) <= 90_500


async def test_a_fraction_of_a_second_is_a_time_to_live(store: Asked, client: Redis) -> None:
    await store.commit(change("register", ttl=0.001))

    async def gone() -> bool:
        return not await client.exists(ENTRY)

    await until(gone)
    assert await store.commit(change("renew", epoch=1)) == ["missing"]


# --- the length of the log -----------------------------------------------------------------------


async def test_the_log_is_trimmed_by_count(make_store: Any, client: Redis) -> None:
    store = make_store(limits=Limits(log_length=100))
    await store.open()
    for number in range(0, 1000, 100):
        await store.commit(*(change("register", number + each) for each in range(100)))
    # Redis trims whole blocks, of 100 entries as it is configured by default.
    assert 100 <= await client.xlen("agents:log") <= 200
    entries = await store.read_log()
    assert entries[-1].revision == 1000
    assert [entry.revision for entry in entries] == list(range(entries[0].revision, 1001))
    loaded = await store.load()
    assert [entry.revision for entry in loaded.entries] == list(range(901, 1001))


async def test_the_log_is_trimmed_by_bytes(make_store: Any, client: Redis) -> None:
    store = make_store(limits=Limits(max_log_bytes=200_000))
    await store.open()
    for number in range(60):
        await store.commit(change("register", number, metadata={"pad": "x" * 9_500}))
        kept = [sum(map(len, fields.values())) for _, fields in await client.xrange("agents:log")]
        assert sum(kept) <= 200_100, "the place of each entry does not count"
    # An entry has some 9,970 bytes; a little less than fits is kept, to trim less often.
    assert sum(kept) >= 180_000
    entries = await store.read_log(after=60 - len(kept))
    assert [entry.revision for entry in entries] == list(range(61 - len(kept), 61))


async def test_a_batch_larger_than_the_log_leaves_its_newest_entries(
    make_store: Any, client: Redis
) -> None:
    store = make_store(limits=Limits(max_log_bytes=1_000))
    await store.open()
    await store.commit(*(change("register", number) for number in range(50)))
    await store.commit(change("register", 50))
    assert 1 <= await client.xlen("agents:log") <= 12  # the server trims whole blocks of 4 KB
    newest = await client.xrevrange("agents:log", count=1)
    assert newest[0][0] == b"51-0"


async def test_entries_of_an_earlier_version_are_the_first_to_be_trimmed(
    make_store: Any, client: Redis
) -> None:
    store = make_store(limits=Limits(max_log_bytes=200_000))
    await store.open()
    for number in range(1, 40):
        await client.xadd(
            "agents:log", {"kind": "registered", "agent": "x" * 10_000, "key": ""}, id=f"{number}-0"
        )
    for number in range(30):
        await store.commit(change("register", number, metadata={"pad": "x" * 9_500}))
    assert 18 <= await client.xlen("agents:log") <= 20
    newest = await client.xrevrange("agents:log", count=1)
    assert newest[0][0] == b"69-0"


async def test_a_batch_that_has_left_says_so_once_and_before_it_is_answered(store: Asked) -> None:
    events: list[str] = []
    answered = asyncio.Event()

    def answer(_: Committed | Fenced | Away) -> None:
        events.append("answered")
        answered.set()

    store.store.commit(
        [change("register")], answer, announce=False, sent=lambda: events.append("sent")
    )
    assert events == []
    await answered.wait()
    assert events == ["sent", "answered"]


async def test_a_batch_that_waits_for_the_server_does_not_hold_up_what_waits_for_sent(
    store: Asked,
) -> None:
    sent, answered = asyncio.Event(), asyncio.Event()
    async with store.store._writes._turn:  # another command is under way
        store.store.commit(
            [change("register")], lambda _: answered.set(), announce=False, sent=sent.set
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sent.is_set()
        assert not answered.is_set()
    await answered.wait()
