"""Closing answers every waiting request, ends the lease, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from actors.ports.store import Applied, Away, Committed, HubReport, Position
from hub.store import Keys, RedisStore, connect
from tests.hub.store.asking import FAR, Asked, agent_id, change, until
from tests.hub.store.conftest import MakeStore
from tests.hub.store.deaf_server import DeafServer
from tests.support.redis_servers import RedisServer

STOPPING = Away("the hub is stopping")


@pytest.fixture
async def deaf() -> AsyncIterator[DeafServer]:
    server = DeafServer()
    await server.start()
    yield server
    await server.stop()


def ask_everything(store: RedisStore) -> list[list[Any]]:
    """One of each operation; the lists fill with their answers."""
    answers: list[list[Any]] = [[] for _ in range(10)]
    store.open(Position(), answers[0].append, new_log=False)
    store.load(answers[1].append)
    store.read_log(Position(), 5, answers[2].append)
    store.await_change(0, answers[3].append)
    store.read(agent_id(1), answers[4].append)
    store.read(agent_id(1), answers[5].append)
    store.read_renewals("", answers[6].append)
    store.renew_lease(HubReport(0, 0, 0), answers[7].append)
    store.acknowledge_loss(1, answers[8].append)
    store.commit([change("register")], answers[9].append, announce=False, sent=None)
    return answers


async def test_a_commit_under_way_has_its_time_to_finish(store: Asked) -> None:
    answers: list[Any] = []
    store.store.commit([change("register")], answers.append, announce=False, sent=None)
    await store.store.close()
    (answer,) = answers
    assert isinstance(answer, Committed)
    assert answer.results == [Applied(1, FAR + 1)]


async def test_a_commit_that_is_never_answered_ends_with_its_time(deaf: DeafServer) -> None:
    backend = await connect(deaf.url, hub_id="h", command_timeout=0.3)
    store = RedisStore(backend, Keys(), "h", command_timeout=0.3)
    store._opened_on = store._writes.connection_number
    answers: list[Any] = []
    store.commit([change("register")], answers.append, announce=False, sent=None)
    await deaf.heard.wait()
    await store.close()
    assert answers == [Away("Redis does not answer in time")]
    await backend.aclose()


async def test_what_waits_for_a_silent_server_is_answered_when_the_store_closes(
    deaf: DeafServer,
) -> None:
    backend = await connect(deaf.url, hub_id="h", command_timeout=60.0)
    store = RedisStore(backend, Keys(), "h", command_timeout=60.0)
    opened: list[Any] = []
    loaded: list[Any] = []
    store.open(Position(), opened.append, new_log=False)
    store.load(loaded.append)
    await deaf.heard.wait()
    store._generation = b""  # so that ending the lease does not wait for the silent server either
    await store.close()
    assert (opened, loaded) == ([STOPPING], [STOPPING])
    await backend.aclose()


async def test_an_operation_that_had_no_time_to_begin_is_answered(make_store: MakeStore) -> None:
    store = make_store().store
    answers = ask_everything(store)
    await store.close()
    assert answers[:-1] == [[STOPPING]] * 9
    assert len(answers[-1]) == 1


async def test_a_closed_store_answers_that_it_is_stopping(make_store: MakeStore) -> None:
    store = make_store().store
    await store.close()
    answers = ask_everything(store)
    assert answers == [[]] * 10  # later, and not at once
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert answers == [[STOPPING]] * 10


async def test_tasks_that_are_cancelled_from_outside_are_answered_once(
    make_store: MakeStore,
) -> None:
    store = make_store().store
    answers = ask_everything(store)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()

    async def answered() -> bool:
        return all(answers)

    await until(answered)
    assert answers == [[STOPPING]] * 10


async def test_closing_ends_the_lease(store: Asked, client: Redis) -> None:
    assert await client.exists("hub:hub-1") == 1
    await store.store.close()
    assert await client.exists("hub:hub-1", "agents:hubs") == 0


async def test_closing_leaves_the_lease_of_another_generation(
    make_store: MakeStore, client: Redis
) -> None:
    older, newer = make_store(), make_store()
    await older.open()
    await newer.open()
    await older.store.close()
    assert await client.exists("hub:hub-1") == 1
    assert await client.smembers("agents:hubs") == {b"hub-1"}
    assert await newer.commit(change("register")) == [Applied(1, 1)]


async def test_closing_twice_and_closing_what_was_never_opened_do_nothing(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store().store
    await store.close()
    await store.close()
    assert await client.keys("*") == []


async def test_closing_without_a_server_ends_too(server: RedisServer) -> None:
    backend = await connect(server.url, hub_id="hub-1")
    store = RedisStore(backend, Keys(), "hub-1")
    await Asked(store).open()
    server.kill()
    await store.close()
    await backend.aclose()


async def test_nothing_is_left_behind(make_store: MakeStore, client: Redis) -> None:
    before = asyncio.all_tasks()
    store = make_store()
    await store.open()
    await store.commit(change("register"))
    await store.load()
    assert await store.store.check_server() == []
    assert asyncio.all_tasks() == before
    await store.store.close()
    assert asyncio.all_tasks() == before


async def test_the_connections_are_the_stores_own_and_are_closed(
    server: RedisServer,
) -> None:
    watching = (await connect(server.url, hub_id="test")).client
    backend = await connect(server.url, hub_id="hub-1")
    store = RedisStore(backend, Keys(), "hub-1")
    await Asked(store).open()
    await Asked(store).load()
    assert await Asked(store).await_change() is False

    async def connections() -> int:
        return [each["name"] for each in await watching.client_list()].count("homeport:hub-1")

    async def closed() -> bool:
        return await connections() == 0

    assert await connections() == 3
    await store.close()
    await until(closed)
    await backend.aclose()
    await watching.aclose()


async def test_an_unforeseen_error_is_logged_and_answered(
    store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(store.store._writes, "run", break_down)
    with capture_logs() as logs:
        answer = await store.try_commit(change("register"))
    assert answer == Away("an error in the hub itself (KeyError)")
    assert [log["log_level"] for log in logs] == ["error"]
    assert isinstance(logs[0]["exc_info"], KeyError)
