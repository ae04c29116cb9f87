"""Starting on a store that holds records: ghosts, legacy and unreadable ones, agents of before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.ports.store import LogEntry
from actors.rules.records import complete, head_of
from homeport_protocol.record import Health
from tests.support.clock import VirtualClock
from tests.support.records import SPEC, agent_id, record
from tests.support.world import ModelStore, World


def prepared(*, log: str = "log-0", revision: int = 0) -> ModelStore:
    store = ModelStore(VirtualClock())
    store.log_name, store.revision = log, revision
    return store


def put(store: ModelStore, data: bytes, key: str, epoch: int = 0, ttl: float = 60.0) -> None:
    store.entries[key] = (data, epoch, store.scheduler.now() + ttl)
    store.active.add(key)


def put_record(store: ModelStore, number: int, **fields: Any) -> str:
    each = record(number, epoch=1, hub="hub-1", **fields)
    data = complete(head_of(each), 1, "hub-1", each.revision)
    put(store, data, each.id, epoch=1)
    return each.id


def test_ghosts_are_dropped_and_no_watch_goes_on_as_if_it_knew() -> None:
    store = prepared(revision=7)
    put_record(store, 1, revision=7)
    store.active.add(agent_id(9))
    world = World(store=store)
    assert store.active == {agent_id(1)}
    assert world.supervisor.directory.ids() == [agent_id(1)]
    assert world.supervisor.log not in ("", "log-0")
    assert world.observer.new_logs == ["entries of agents ran out while no hub could tell"]
    link = world.connect()
    assert link.ask(op="watch", since=7, log="log-0")["resumed"] is False
    assert world.supervisor.revision >= 7
    world.check_store()


def test_ghosts_are_dropped_though_the_store_goes_away_in_between() -> None:
    store = prepared(revision=7)
    put_record(store, 1, revision=7)
    store.active.add(agent_id(9))
    store.latency = 0.03
    world = World(store=store)
    assert not world.supervisor.ready
    store.reachable = False  # it has dropped the ghosts; the answer is on its way
    world.advance(5)
    store.reachable = True
    world.advance(5)
    assert world.supervisor.ready
    assert store.active == {agent_id(1)}
    assert world.supervisor.log not in ("", "log-0")
    world.check_store()


def test_ghosts_are_told_of_though_the_answer_that_named_them_was_lost() -> None:
    store = prepared(revision=7)
    put_record(store, 1, revision=7)
    store.active.add(agent_id(9))
    store.latency = 0.03
    store.scheduler.call_at(
        store.scheduler.now() + 0.02, lambda: setattr(store, "swallow_answers", 1)
    )
    world = World(store=store)
    world.advance(5)
    assert world.supervisor.ready
    assert store.active == {agent_id(1)}
    assert world.connect().ask(op="watch", since=7, log="log-0")["resumed"] is False
    world.check_store()


LEGACY = {
    "id": agent_id(3),
    "name": "old",
    "type": "cost",
    "host": "h",
    "port": 80,
    "capabilities": None,
    "status": "degraded",
    "version": "1",
    "registered_at": "2026-01-01T00:00:00.123456789+02:00",
    "last_seen": "2026-01-01T00:00:00Z",
    "metadata": {"k": "v"},
}


def test_legacy_records_are_adopted_and_logged_as_registered() -> None:
    store = prepared(revision=4)
    put(store, msgspec.json.encode(LEGACY), LEGACY["id"])  # type: ignore[arg-type]
    world = World(store=store)
    agent = world.record(agent_id(3))
    assert agent["registered_at"] == "2025-12-31T22:00:00.123457Z" or agent[
        "registered_at"
    ].startswith("2025-12-31T22:00:00.12345")
    assert agent["capabilities"] == []
    assert (agent["status"], agent["health"]["connection"]) == ("degraded", "http")
    assert (agent["epoch"], agent["revision"]) == (1, 5)
    assert [(entry.kind, entry.revision) for entry in store.log] == [("registered", 5)]
    world.check_store()
    assert world.http_heartbeat(agent_id(3)).durable is True
    link = world.connect()
    assert link.ask(op="register", agent_id=agent_id(3), agent=SPEC)["epoch"] == 2


def test_a_record_that_cannot_be_read_is_left_alone_and_reported() -> None:
    store = prepared()
    put(store, b"\xff not a record", agent_id(1))
    put(store, b'{"id":7}', agent_id(2))
    put(store, b"[" * 5000, agent_id(4))
    good = put_record(store, 5, revision=0)
    before = store.entries[agent_id(1)]
    world = World(store=store)
    assert world.supervisor.directory.ids() == [good]
    assert len(world.observer.unreadable_records) == 3
    assert store.entries[agent_id(1)] == before


@pytest.mark.parametrize("field", ["since", "registered_at", "last_seen"])
def test_a_record_with_a_time_that_is_none_does_not_keep_the_hub_from_starting(
    field: str,
) -> None:
    store = prepared()
    if field == "since":
        put_record(store, 1, health=Health("http", "healthy", "ok", "yesterday"))
    else:
        put(store, msgspec.json.encode({**LEGACY, field: "yesterday"}), agent_id(1))
    good = put_record(store, 5)
    world = World(store=store)
    assert world.supervisor.ready
    assert good in world.supervisor.directory


def test_loading_is_tried_again_until_it_succeeds() -> None:
    store = prepared()
    good = put_record(store, 1)
    store.fail_loads = 5
    world = World(store=store)
    assert not world.supervisor.ready
    assert world.supervisor.not_ready_reasons()
    assert world.connect().session is not None
    world.advance(5)
    assert world.supervisor.ready
    assert world.supervisor.directory.ids() == [good]
    world.advance(2)
    assert len(world.supervisor.registry.agents) == 1


def test_an_entry_of_the_log_that_cannot_be_read_ends_what_is_known_of_it() -> None:
    store = prepared(revision=3)
    put_record(store, 1, revision=3)
    data = store.entries[agent_id(1)][0]
    store.log = [
        LogEntry(1, "registered", data, ""),
        LogEntry(2, "updated", b"{", ""),
        LogEntry(3, "updated", data, ""),
    ]
    world = World(store=store)
    assert world.supervisor.ready
    assert world.connect().ask(op="watch", since=1, log="log-0")["resumed"] is False
    assert world.connect().ask(op="watch", since=2, log="log-0")["resumed"] is True


def test_what_a_restarted_hub_found_stays_in_the_store_as_long_as_it_is_listed() -> None:
    world = World()
    polling = world.http_register("polling")
    link, lost = world.agent("lost")
    link.vanish()
    world.advance(4)
    for _ in range(8):
        world.advance(5)  # nearly a heartbeat_timeout of silence, then the hub dies
        if world.scheduler.now() > 1043:
            break
    world = world.restart()
    for _ in range(40):
        world.advance(1)
        world.store.expire()
        listed = {
            each
            for each in (polling.agent_id, lost["agent_id"])
            if each in world.supervisor.directory
        }
        assert listed == world.store.active == set(world.store.entries)


def test_a_restarted_hub_keeps_the_unreachable_ones_no_longer_than_their_lease() -> None:
    world = World()
    lease = world.http_register()
    world.advance(50)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world = world.restart()
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world.advance(56)
    assert lease.agent_id not in world.supervisor.directory
    assert world.log_kinds()[-1] == "expired"
    world.check_store()
