"""Following others: waiting for a change of the log, and reading single entries as they are."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from actors.ports.store import Away, Stored
from hub.store import Keys, RedisStore, connect
from hub.store.reads import PIECE
from tests.hub.store.asking import LEGACY, Asked, agent_id, change, until
from tests.hub.store.conftest import MakeStore
from tests.support.redis_servers import RedisServer

# --- waiting for a change ------------------------------------------------------------------------


async def test_what_is_in_the_log_already_is_told_at_once(store: Asked) -> None:
    await store.commit(change("register", 1), change("register", 2))
    began = time.monotonic()
    assert await store.await_change(0) is True
    assert await store.await_change(1) is True
    assert time.monotonic() - began < 0.5


async def test_a_change_of_another_hub_wakes_within_milliseconds(make_store: MakeStore) -> None:
    store, other = make_store(), make_store("hub-2")
    await store.open()
    await other.open()
    delays = []
    for revision in range(10):
        waiting = asyncio.create_task(store.await_change(revision))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await other.commit(change("register", revision))
        committed = time.monotonic()
        assert await waiting is True
        delays.append(time.monotonic() - committed)
    assert sorted(delays)[5] < 0.02


async def test_without_a_change_the_answer_is_no_after_a_second(store: Asked) -> None:
    await store.commit(change("register"))
    began = time.monotonic()
    assert await store.await_change(1) is False
    assert 0.9 < time.monotonic() - began < 3


async def test_a_log_that_is_missing_has_no_change(store: Asked, client: Redis) -> None:
    await client.delete("agents:log")
    assert await store.await_change(0) is False


async def test_a_new_log_is_no_change(store: Asked) -> None:
    waiting = asyncio.create_task(store.await_change(5))
    await store.open(store.log, 5, new_log=True)
    assert await waiting is False


async def test_waiting_holds_up_nothing_else(store: Asked) -> None:
    waiting = asyncio.create_task(store.await_change(7))
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await store.commit(change("register"))
    await store.read_log()
    await store.roster()
    assert time.monotonic() - began < 0.5
    assert not waiting.done()
    assert await waiting is False


async def test_a_short_patience_with_commands_is_none_with_waiting(make_store: MakeStore) -> None:
    store = make_store(command_timeout=0.3)
    await store.open()
    assert await store.await_change(0) is False


# --- what is stored of an agent ------------------------------------------------------------------


async def test_an_entry_is_read_with_the_time_it_has_left(store: Asked, client: Redis) -> None:
    await store.commit(change("register", ttl=90.0))
    stored = await store.read()
    assert stored is not None
    assert stored.record == await client.get(f"agent:{agent_id()}")
    assert 80 < stored.ttl <= 90


async def test_the_unknown_and_what_has_run_out_is_none(store: Asked) -> None:
    assert await store.read() is None
    await store.commit(change("register", ttl=0.001))

    async def gone() -> bool:
        return await store.read() is None

    await until(gone)


async def test_a_key_that_holds_no_text_is_none(store: Asked, client: Redis) -> None:
    await client.lpush(f"agent:{agent_id()}", "x")
    await store.commit(change("register", 2))
    first, second = await asyncio.gather(store.read(1), store.read(2))
    assert first is None
    assert second is not None


async def test_an_entry_that_never_runs_out_has_nothing_left(store: Asked, client: Redis) -> None:
    await client.set(f"agent:{agent_id()}", LEGACY)
    assert await store.read() == Stored(LEGACY, 0)


async def test_what_is_asked_in_one_turn_is_one_command(
    store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit(*(change("register", n) for n in range(20)))
    lane = store.store._reads
    run, commands = lane.run, []

    async def run_and_count(*arguments: Any) -> Any:
        commands.append(arguments[1])
        return await run(*arguments)

    monkeypatch.setattr(lane, "run", run_and_count)
    numbers = [*range(25), 3, 3]
    answers = await asyncio.gather(*(store.read(n) for n in numbers))
    assert [answer is not None for answer in answers] == [n < 20 for n in numbers]
    assert [len(keys) for keys in commands] == [25]
    assert await store.read(3) is not None
    assert len(commands) == 2


async def test_what_is_asked_while_a_command_is_under_way_is_the_next_one(store: Asked) -> None:
    await store.commit(change("register", 1), change("register", 2))
    answers: list[tuple[int, Any]] = []

    def ask_another(answer: Any) -> None:
        answers.append((1, answer))
        store.store.read(agent_id(2), lambda answer: answers.append((2, answer)))

    store.store.read(agent_id(1), ask_another)

    async def answered() -> bool:
        return len(answers) == 2

    await until(answered)
    assert [number for number, _ in answers] == [1, 2]
    assert all(isinstance(answer, Stored) for _, answer in answers)


async def test_more_than_one_piece_is_read(store: Asked) -> None:
    count = PIECE + 5
    await store.commit(*(change("register", n, metadata={}) for n in range(count)))
    answers = await asyncio.gather(*(store.read(n) for n in range(count)))
    assert all(answer is not None for answer in answers)


async def test_one_failure_is_everyones_answer(
    store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(store.store._reads, "run", fail)
        answers: list[Any] = []
        for number in range(3):
            store.store.read(agent_id(number), answers.append)

        async def answered() -> bool:
            return len(answers) == 3

        await until(answered)
    assert answers == [Away("Redis does not answer in time")] * 3
    assert await store.read() is None


async def test_a_callback_that_fails_takes_no_answer_from_the_others(store: Asked) -> None:
    answers: list[Any] = []
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))

    def fail(_: Any) -> None:
        raise KeyError("a bug of whoever asked")

    store.store.read(agent_id(1), fail)
    store.store.read(agent_id(2), answers.append)

    async def answered() -> bool:
        return bool(answers)

    await until(answered)
    loop.set_exception_handler(None)
    assert answers == [None]
    assert [type(failure["exception"]) for failure in failures] == [KeyError]


async def test_a_server_that_stops_while_a_hub_waits_is_away(server: RedisServer) -> None:
    backend = await connect(server.url, hub_id="h", command_timeout=0.3)
    store = RedisStore(backend, Keys(), "h", command_timeout=0.3)
    await Asked(store).open()
    answers: list[Any] = []
    store.await_change(0, answers.append)
    await asyncio.sleep(0.05)
    server.suspend()

    async def answered() -> bool:
        return bool(answers)

    await until(answered)
    server.wake()
    assert answers == [Away("Redis does not answer in time")]
    await store.close()
    await backend.aclose()
