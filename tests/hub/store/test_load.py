"""Loading: all records, the newest of the log, and ghosts dropped; and reading the log."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from actors.limits import Limits
from actors.ports.store import Fenced, Position
from homeport_protocol.codec import decode_record
from hub.store.reads import PIECE
from tests.hub.store.asking import LEGACY, Asked, agent_id, change
from tests.hub.store.conftest import MakeStore


@pytest.mark.parametrize("opened", [True, False])
async def test_an_empty_store_loads_as_nothing_opened_or_not(
    make_store: MakeStore, opened: bool
) -> None:
    store = make_store()
    if opened:
        await store.open()
    loaded = await store.load()
    assert (loaded.records, loaded.entries, loaded.ghosts) == ([], [], [])


async def test_records_and_entries_are_loaded_as_they_were_committed(
    store: Asked, client: Redis
) -> None:
    await store.commit(change("register", 1, key="a"), change("register", 2, key="b"))
    await store.commit(change("renew", 1, epoch=1, revision=1))
    loaded = await store.load()
    expected = {await client.get(f"agent:{agent_id(n)}") for n in (1, 2)}
    assert set(loaded.records) == expected
    assert [(e.revision, e.kind, e.key) for e in loaded.entries] == [
        (1, "registered", "a"),
        (2, "registered", "b"),
    ]
    assert [decode_record(e.record).id for e in loaded.entries] == [agent_id(1), agent_id(2)]


async def test_legacy_records_are_loaded_as_they_are(store: Asked, client: Redis) -> None:
    await client.set(f"agent:{agent_id()}", LEGACY)
    await client.sadd("agents:active", agent_id())
    assert (await store.load()).records == [LEGACY]


async def test_ids_without_an_entry_are_ghosts_and_are_dropped(store: Asked, client: Redis) -> None:
    await store.commit(change("register", 1))
    await client.sadd("agents:active", agent_id(2), b"\xff-not-text")
    loaded = await store.load()
    assert len(loaded.records) == 1
    assert sorted(loaded.ghosts) == [agent_id(2), "\\xff-not-text"]
    assert await client.smembers("agents:active") == {agent_id(1).encode()}
    assert (await store.load()).ghosts == []


async def test_a_key_of_another_type_is_no_ghost_and_is_left_alone(
    store: Asked, client: Redis
) -> None:
    await client.lpush(f"agent:{agent_id(2)}", "x")
    await client.sadd("agents:active", agent_id(1), agent_id(2))
    with capture_logs() as logs:
        loaded = await store.load()
    assert (loaded.records, loaded.ghosts) == ([], [agent_id(1)])
    assert await client.smembers("agents:active") == {agent_id(2).encode()}
    (told,) = logs
    assert told["log_level"] == "warning"
    assert told["event"].startswith(f"the Redis key agent:{agent_id(2)} holds no record")
    assert store.store.findings.sentences() == [told["event"]]


async def test_a_record_that_appears_while_ghosts_are_looked_for_is_loaded(
    store: Asked, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.sadd("agents:active", agent_id(1))
    lane = store.store._reads
    ask = lane.ask

    async def ask_and_be_late(*arguments: bytes) -> Any:
        answer = await ask(*arguments)
        if arguments[0] == b"MGET":
            await client.set(f"agent:{agent_id(1)}", LEGACY)
        return answer

    monkeypatch.setattr(lane, "ask", ask_and_be_late)
    loaded = await store.load()
    assert (loaded.records, loaded.ghosts) == ([LEGACY], [])
    assert await client.smembers("agents:active") == {agent_id(1).encode()}


async def test_more_agents_than_one_piece_are_all_loaded(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    await store.open()
    total = 2 * PIECE + 10
    for number in range(0, total, 505):
        few = range(number, min(total, number + 505))
        await store.commit(*(change("register", each) for each in few))
    ghosts = [agent_id(10_000 + number) for number in range(PIECE + 5)]
    await client.sadd("agents:active", *ghosts)
    loaded = await store.load()
    assert sorted(decode_record(each).id for each in loaded.records) == [
        agent_id(number) for number in range(total)
    ]
    assert [entry.revision for entry in loaded.entries] == list(range(1, total + 1))
    assert sorted(loaded.ghosts) == ghosts


async def test_records_are_never_older_than_the_log_that_was_loaded(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open()
    await other.open()
    await other.commit(change("register", 1))
    lane = store.store._reads
    ask = lane.ask

    async def ask_while_another_writes(*arguments: bytes) -> Any:
        await other.commit(change("register", 1))
        return await ask(*arguments)

    monkeypatch.setattr(lane, "ask", ask_while_another_writes)
    loaded = await store.load()
    (record,) = loaded.records
    assert decode_record(record).revision >= loaded.entries[-1].revision > 1


async def test_an_agent_that_redis_names_twice_is_loaded_once(
    store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit(change("register", 1), change("register", 2))
    lane = store.store._reads
    ask = lane.ask

    async def name_twice(*arguments: bytes) -> Any:
        # As SSCAN may do while the set grows.
        answer = await ask(*arguments)
        if arguments[0] == b"SSCAN" and arguments[2] == b"0":
            return [b"7", answer[1] * 2]
        return [b"0", answer[1]] if arguments[0] == b"SSCAN" else answer

    monkeypatch.setattr(lane, "ask", name_twice)
    ids = [decode_record(record).id for record in (await store.load()).records]
    assert sorted(ids) == [agent_id(1), agent_id(2)]


async def test_no_more_of_the_log_is_loaded_than_is_kept(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(limits=Limits(log_length=3))
    await store.open()
    await store.commit(*(change("register", number) for number in range(5)))
    lane = store.store._reads
    ask = lane.ask

    async def ask_while_the_log_grows(*arguments: bytes) -> Any:
        answer = await ask(*arguments)
        if arguments[0] == b"XREVRANGE":
            await store.commit(change("register", 8), change("register", 9))
        return answer

    monkeypatch.setattr(lane, "ask", ask_while_the_log_grows)
    assert [entry.revision for entry in (await store.load()).entries] == [5, 6, 7]


async def test_entries_that_are_not_a_hubs_are_passed_over(store: Asked, client: Redis) -> None:
    await store.commit(change("register", 1))
    await client.xadd("agents:log", {"note": "by hand"}, id="2-0")
    await store.commit(change("register", 2))
    with capture_logs() as logs:
        assert [entry.revision for entry in await store.read_log()] == [1, 3]
    assert [log["revision"] for log in logs] == [2]


# --- reading the log -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "upto", "expected"),
    [(0, 5, [1, 2, 3, 4, 5]), (2, 4, [3, 4]), (4, 4, []), (5, 9, []), (3, 99, [4, 5]), (3, 2, [])],
)
async def test_the_log_is_read_after_one_revision_up_to_another(
    store: Asked, after: int, upto: int, expected: list[int]
) -> None:
    await store.commit(*(change("register", number) for number in range(5)))
    assert [entry.revision for entry in await store.read_log(after, upto)] == expected


@pytest.mark.parametrize("count", [PIECE, PIECE + 1, 2 * PIECE])
async def test_a_long_log_is_read_piece_by_piece(store: Asked, count: int) -> None:
    for start in range(0, count, 250):
        few = range(start, min(count, start + 250))
        await store.commit(*(change("register", number) for number in few))
    assert [e.revision for e in await store.read_log()] == list(range(1, count + 1))
    assert [e.revision for e in await store.read_log(0, count)] == list(range(1, count + 1))


# --- which log -----------------------------------------------------------------------------------


async def test_the_log_is_read_on_after_an_entry_that_is_known(store: Asked) -> None:
    await store.commit(*(change("register", n, key=f"k{n}") for n in range(1, 4)))
    for position in (Position(store.log, 1, "k1"), Position(store.log, 1)):
        answer = await store.try_read_log(position)
        assert isinstance(answer, list)
        assert [(entry.revision, entry.key) for entry in answer] == [(2, "k2"), (3, "k3")]


async def test_another_log_is_not_read(store: Asked) -> None:
    await store.commit(change("register"))
    assert await store.try_read_log(Position("another", 0)) == Fenced()
    assert await store.try_read_log(Position("", 0)) == Fenced()


async def test_another_history_is_not_read(store: Asked) -> None:
    await store.commit(change("register", 1, key="a"), change("register", 2, key="b"))
    assert await store.try_read_log(Position(store.log, 1, "lost")) == Fenced()
    assert await store.try_read_log(Position(store.log, 2, "lost"), 2) == Fenced()


async def test_a_log_that_never_came_so_far_has_another_history(store: Asked) -> None:
    await store.commit(change("register"))
    assert await store.try_read_log(Position(store.log, 1)) == []
    assert await store.try_read_log(Position(store.log, 2)) == Fenced()
    assert await store.try_read_log(Position(store.log, 2), 1) == Fenced()


async def test_a_lost_log_is_not_read(store: Asked, client: Redis) -> None:
    await client.delete("agents:log")
    assert await store.try_read_log(Position(store.log, 0)) == Fenced()


async def test_a_log_that_was_trimmed_past_the_position_is_read_from_where_it_begins(
    store: Asked, client: Redis
) -> None:
    await store.commit(*(change("register", n, key=f"k{n}") for n in range(1, 6)))
    await client.xtrim("agents:log", maxlen=2, approximate=False)
    assert [entry.revision for entry in await store.read_log(1, key="k1")] == [4, 5]


async def test_a_log_that_is_replaced_while_it_is_read_is_not_read_to_its_end(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open()
    for start in (0, PIECE):
        await store.commit(*(change("register", start + n, metadata={}) for n in range(PIECE)))
    lane = store.store._reads
    run = lane.run

    async def run_while_another_opens(*arguments: Any) -> Any:
        answer = await run(*arguments)
        await other.open(new_log=True)
        return answer

    monkeypatch.setattr(lane, "run", run_while_another_opens)
    assert await store.try_read_log(Position(store.log, 0)) == Fenced()


async def test_an_entry_that_is_not_a_hubs_may_end_a_piece(store: Asked, client: Redis) -> None:
    await store.commit(*(change("register", n, key=f"k{n}", metadata={}) for n in range(PIECE - 1)))
    await client.xadd("agents:log", {"note": "by hand", "key": "x"}, id=f"{PIECE}-0")
    await store.commit(change("register", PIECE))
    assert len(await store.read_log()) == PIECE
