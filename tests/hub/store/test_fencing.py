"""Writer generations: after an opening, every script of an older generation is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from actors.ports.store import Applied, Away, Committed, Fenced
from hub.store import Keys
from hub.store.backends.standalone import Standalone
from hub.store.commit_batch import arguments_of, keys_of
from hub.store.scripts import COMMIT
from tests.hub.store.asking import Asked, change
from tests.hub.store.conftest import MakeStore


async def test_nothing_is_committed_before_the_store_is_open(
    make_store: MakeStore, client: Redis
) -> None:
    assert await make_store().try_commit(change("register")) == Fenced()
    assert await client.keys("*") == []


async def test_nothing_is_committed_after_an_opening_whose_answer_was_lost(
    store: Asked, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = store.store._writes
    run = lane.run

    async def run_and_lose_the_answer(*arguments: Any, **options: Any) -> None:
        await run(*arguments, **options)
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(lane, "run", run_and_lose_the_answer)
        assert await store.try_open() == Away("Redis does not answer in time")
    # Redis would let this generation pass; but the hub does not know which log it would write.
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.keys("agent:*") == []
    await store.open()
    assert await store.commit(change("register")) == [Applied(1, 1)]


async def test_a_newer_generation_of_the_same_hub_fences_the_older_one(
    make_store: MakeStore, client: Redis
) -> None:
    older, newer = make_store(), make_store()
    await older.open()
    await newer.open()
    assert await older.try_commit(change("register", 1)) == Fenced()
    assert await client.keys("agent:*") == []
    assert await newer.commit(change("register", 2)) == [Applied(1, 1)]


async def test_a_fenced_hub_commits_again_once_it_has_opened(make_store: MakeStore) -> None:
    older, newer = make_store(), make_store()
    await older.open()
    await newer.open()
    assert await older.try_commit(change("register")) == Fenced()
    await older.open()
    assert await older.commit(change("register")) == [Applied(1, 1)]
    assert await newer.try_commit(change("register")) == Fenced()


async def test_a_stale_writers_script_that_arrives_late_applies_nothing(
    store: Asked, client: Redis, backend: Standalone
) -> None:
    # What a stopped server still had in its buffer when the hub had given up and opened again.
    keys = Keys()
    generation = await client.hget("hub:hub-1", "generation")
    log = await client.get("agents:log:name")
    late = change("register", key="hub-1:x:1")
    await store.open(log.decode(), 0)
    lane = backend.lane(b"k", 10.0)
    answer = await lane.run(
        COMMIT,
        [
            *(keys.hub("hub-1"), keys.log_name, keys.log, keys.active, keys.seen),
            *(keys.times, keys.owners),
            *keys_of([late], keys),
        ],
        [generation, log, b"10000", b"50000", b"", *arguments_of([late], announce=False)],
    )
    await lane.drop()
    assert answer == b"fenced"
    assert await client.exists("agents:active", keys.agent(late.agent_id)) == 0
    assert await store.read_log() == []
    assert await store.commit(late) == [Applied(1, 1)]


async def test_a_change_that_was_applied_is_found_in_the_log_by_its_key(store: Asked) -> None:
    await store.commit(change("register", key="hub-1:x:1"), change("register", 2, key="hub-1:x:2"))
    assert [(entry.revision, entry.key) for entry in await store.read_log(1, 2)] == [
        (2, "hub-1:x:2")
    ]


async def test_two_hubs_write_one_log(make_store: MakeStore) -> None:
    first, second = make_store("hub-1"), make_store("hub-2")
    await first.open()
    await second.open()
    assert await first.commit(change("register", 1)) == [Applied(1, 1)]
    assert await second.commit(change("register", 2, hub="hub-2")) == [Applied(2, 1)]
    assert await second.commit(change("register", 1, hub="hub-2")) == [Applied(3, 2)]
    assert await first.commit(change("write", 1, epoch=1)) == ["fenced"]


async def test_a_lost_lease_fences(store: Asked, client: Redis) -> None:
    await client.delete("hub:hub-1")
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.keys("agent:*") == []


async def test_another_log_under_the_hub_fences(make_store: MakeStore, client: Redis) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open()
    await other.open(new_log=True)
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.keys("agent:*") == []


async def test_a_lost_stream_fences(store: Asked, client: Redis) -> None:
    await client.delete("agents:log")
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.exists("agents:log", "agents:active") == 0


async def test_a_lost_name_fences(store: Asked, client: Redis) -> None:
    await client.delete("agents:log:name")
    assert await store.try_commit(change("register")) == Fenced()


async def test_emptied_redis_fences(store: Asked, client: Redis) -> None:
    await client.flushall()
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.keys("*") == []


async def test_a_commit_renews_the_lease(store: Asked, client: Redis) -> None:
    await client.pexpire("hub:hub-1", 2_000)
    await store.commit(change("write"))
    assert await client.pttl("hub:hub-1") > 5_000


# --- another connection --------------------------------------------------------------------------


async def test_nothing_is_sent_over_another_connection_than_the_one_that_was_opened(
    store: Asked, client: Redis
) -> None:
    # What looks the same may be a replica that became the primary, and lacks what was told last.
    await store.store._writes.drop()
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.keys("agent:*") == []
    assert await store.try_commit(change("register")) == Fenced()
    await store.open(store.log)
    assert await store.commit(change("register")) == [Applied(1, 1)]


async def test_no_lease_is_renewed_over_another_connection(store: Asked, client: Redis) -> None:
    await client.pexpire("hub:hub-1", 2_000)
    await store.store._writes.drop()
    assert await store.renew_lease() == Fenced()
    assert await client.pttl("hub:hub-1") <= 2_000
    assert await store.try_commit(change("register")) == Fenced()


async def test_a_commit_that_comes_after_a_failure_is_not_sent(store: Asked, client: Redis) -> None:
    with pytest.raises(ResponseError):
        await store.store._writes.ask(b"NO-SUCH-COMMAND")
    assert await store.try_commit(change("register")) == Fenced()
    assert await client.keys("agent:*") == []


async def test_commits_are_under_way_together_and_applied_in_order(store: Asked) -> None:
    asked = [store.try_commit(change("register", number)) for number in range(16)]
    answers = await asyncio.gather(*asked)
    assert [each.before for each in answers if isinstance(each, Committed)] == [*range(16)]


async def test_a_store_that_forgot_the_script_applies_nothing_out_of_order(
    store: Asked, client: Redis
) -> None:
    await client.script_flush()
    asked = [store.try_commit(change("register", number)) for number in (1, 2)]
    applied = [isinstance(each, Committed) for each in await asyncio.gather(*asked)]
    assert applied in ([False, False], [True, True])  # the one in memory runs each at once
    await store.open(store.log)
    assert await store.commit(change("register", 3)) == [Applied(2 * applied[0] + 1, 1)]


async def test_other_connections_may_be_new_at_any_time(store: Asked) -> None:
    await store.commit(change("register"))
    for lane in (store.store._reads, store.store._follow):
        await lane.drop()
    assert len(await store.read_log()) == 1
    assert await store.await_change() is True
    assert await store.commit(change("write", epoch=1, revision=1)) == [Applied(2, 1)]


async def test_a_renewal_that_an_opening_overtook_is_made_in_the_new_generation(
    store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = store.store._writes
    ask = lane.ask

    async def ask_while_it_is_opened(*arguments: bytes) -> Any:
        monkeypatch.undo()
        answer = await ask(*arguments)
        await store.open(store.log)
        return answer

    monkeypatch.setattr(lane, "ask", ask_while_it_is_opened)
    assert [hub.agents for hub in (await store.roster(agents=3)).hubs] == [3]
    assert await store.commit(change("register")) == [Applied(1, 1)]
