"""Another program writes to the same store: hubs notice, take in what counts, and put back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.limits import Limits
from actors.namespace.foreign_writes import LOOK_INTERVAL, LOOKED_AT
from tests.support.cluster_world import Cluster
from tests.support.legacy_writer import writer_of
from tests.support.records import agent_id
from tests.support.world import World

SOON = LOOK_INTERVAL + 0.1
"""Seconds within which a hub has looked, while it has few agents."""


def test_an_agent_that_registers_there_is_taken_in_as_one_over_http() -> None:
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    world.advance(1)
    new = legacy.register("old-1", type="two words", metadata={"zone": "eu"}, capabilities=["a"])
    text = world.store.entries[new]
    world.advance(SOON)
    assert watcher.events() == [("registered", "old-1", "healthy")]
    record = world.stored(new)
    assert record["health"]["connection"] == "http"
    assert (record["epoch"], record["hub"]) == (1, "")
    assert (record["type"], record["capabilities"]) == ("two words", ["a"])
    assert record["metadata"] == {"zone": "eu"}
    assert world.store.entries[new][2] == text[2], "its time to live is the other program's"
    world.check_store()
    assert world.supervisor.stats().foreign_writes["registered"] == 1
    assert world.supervisor.foreign_writes is not None
    assert "1 agent " in world.supervisor.foreign_writes
    world.advance(SOON)
    assert watcher.events() == [], "taken in once"


def test_an_agent_that_is_silent_there_is_judged_by_the_times_that_it_was_told_there() -> None:
    world = World()
    new = writer_of(world.store).register("old-1")
    written = world.scheduler.now()
    watcher = world.watcher()
    world.advance(SOON)
    assert watcher.events() == [("registered", "old-1", "healthy")]
    world.advance(written + 44.9 - world.scheduler.now())
    assert watcher.events() == []
    world.advance(0.2)
    assert watcher.events() == [("status_changed", "old-1", "unreachable")]
    world.advance(60)
    assert watcher.events() == [("expired", "old-1", "unreachable")]
    assert new not in world.store.active


@pytest.mark.parametrize("own", [True, False], ids=["registered there", "registered at a hub"])
def test_heartbeats_there_keep_an_agent_alive(own: bool) -> None:
    world = World()
    legacy = writer_of(world.store)
    one = legacy.register() if own else world.http_register().agent_id
    world.advance(SOON)
    for _ in range(8):
        assert legacy.heartbeat(one, "healthy")
        world.advance(30)
    assert world.record(one)["status"] == "healthy"
    assert "status_changed" not in world.log_kinds()
    world.advance(45)
    assert world.record(one)["status"] == "unreachable"
    assert legacy.heartbeat(one, "healthy")
    world.advance(SOON)
    assert world.record(one)["status"] == "healthy"


def test_a_status_and_metadata_that_are_said_there_are_taken_over() -> None:
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    lease = world.http_register(metadata={"a": 1, "big": 2**53 + 1})
    watcher.events()
    assert legacy.heartbeat(lease.agent_id, "degraded", b=2, a=3)
    world.advance(SOON)
    assert watcher.events() == [("status_changed", "h1", "degraded")]
    record = world.stored(lease.agent_id)
    assert record["metadata"] == {"a": 3, "big": 2**53 + 1, "b": 2}, "no number is rounded"
    assert record["epoch"] == lease.epoch
    assert world.http_heartbeat(lease.agent_id, lease.session_token).durable is True
    world.check_store()
    assert legacy.heartbeat(lease.agent_id, "", b=4)
    world.advance(SOON)
    assert watcher.events() == [("updated", "h1", "degraded")], "no status there says nothing"
    assert world.record(lease.agent_id)["metadata"]["b"] == 4


def test_what_was_said_there_is_not_lost_to_a_heartbeat_before_the_next_look() -> None:
    world = World()
    legacy = writer_of(world.store)
    lease = world.http_register()
    world.advance(SOON)
    assert legacy.heartbeat(lease.agent_id, "degraded", b=2)
    assert world.http_heartbeat(lease.agent_id).durable is True
    record = world.stored(lease.agent_id)
    assert (record["status"], record["metadata"]) == ("degraded", {"b": 2})
    assert legacy.heartbeat(lease.agent_id, "degraded", c=3)
    assert world.http_heartbeat(lease.agent_id, status="healthy", metadata={"d": 4}).durable
    record = world.stored(lease.agent_id)
    assert (record["status"], record["metadata"]) == ("healthy", {"b": 2, "c": 3, "d": 4})


def test_an_agent_that_has_just_registered_there_is_known_to_a_hub_that_it_asks() -> None:
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    one, two = legacy.register("one"), legacy.register("two")
    assert world.http_heartbeat(one, metadata={"a": 1}).durable is True
    assert world.http_unregister(two).durable is True
    world.advance(3 * SOON)
    assert (world.record(one)["name"], world.record(one)["metadata"]) == ("one", {"a": 1})
    assert two not in world.supervisor.directory
    assert watcher.events() == [
        ("registered", "one", "healthy"),
        ("updated", "one", "healthy"),
        ("registered", "two", "healthy"),
        ("unregistered", "two", "healthy"),
    ]
    assert world.http_heartbeat(two).code == "not_found"
    world.check_store()


def test_what_a_hub_would_drop_of_a_registration_is_dropped() -> None:
    world = World()
    new = writer_of(world.store).register(
        capabilities=["a", "", "b", "a"], metadata={"zone": "eu", "rack": None}
    )
    world.advance(SOON)
    record = world.record(new)
    assert (record["capabilities"], record["metadata"]) == (["a", "b"], {"zone": "eu"})


def test_an_agent_that_unregisters_there_is_removed() -> None:
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    lease = world.http_register()
    other = legacy.register("old-1")
    world.advance(SOON)
    watcher.events()
    legacy.unregister(lease.agent_id)
    legacy.unregister(other)
    world.advance(2 * SOON)
    assert sorted(watcher.events()) == [
        ("unregistered", "h1", "healthy"),
        ("unregistered", "old-1", "healthy"),
    ]
    world.check_store()
    assert world.supervisor.stats().foreign_writes["deleted"] == 2


def test_an_agent_that_unregisters_there_is_not_unreachable_because_its_silence_shows_first() -> (
    None
):
    """Where there are many agents, a look may come later than `heartbeat_timeout` is over."""
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    lease = world.http_register()
    watcher.events()
    world.advance(44)
    legacy.unregister(lease.agent_id)
    world.advance(1.1)
    assert watcher.events() == [("unregistered", "h1", "healthy")]
    assert lease.agent_id not in world.supervisor.directory
    world.check_store()
    assert world.supervisor.stats().foreign_writes["deleted"] == 1


def test_a_silent_agent_whose_entry_ran_out_is_unreachable() -> None:
    world = World()
    watcher = world.watcher()
    lease = world.http_register()
    watcher.events()
    world.advance(44)
    del world.store.entries[lease.agent_id]
    world.advance(1.1)
    assert watcher.events() == [("status_changed", "h1", "unreachable")]
    world.check_store()


def test_a_heartbeat_after_that_puts_the_agent_back() -> None:
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    lease = world.http_register()
    watcher.events()
    legacy.unregister(lease.agent_id)
    world.advance(SOON)
    assert world.http_heartbeat(lease.agent_id).durable is True
    world.advance(3 * SOON)
    assert "unregistered" not in [kind for kind, _, _ in watcher.events()]
    world.check_store()


def test_an_entry_that_ran_out_is_no_end_that_anybody_said() -> None:
    world = World()
    lease = world.http_register()
    del world.store.entries[lease.agent_id]
    world.advance(3 * SOON)
    assert world.record(lease.agent_id)["status"] == "healthy"
    assert "unregistered" not in world.log_kinds()


def test_an_agent_on_a_websocket_is_never_changed_and_its_record_is_written_back() -> None:
    world = World()
    legacy, watcher = writer_of(world.store), world.watcher()
    link, answer = world.agent(metadata={"a": 1})
    one = answer["agent_id"]
    watcher.events()
    before = world.record(one)
    assert legacy.heartbeat(one, "degraded", a=2)
    world.advance(SOON)
    assert world.stored(one) == before
    legacy.judge(one)
    world.advance(SOON)
    assert world.stored(one) == before
    legacy.unregister(one)
    world.advance(2 * SOON)
    assert world.stored(one) == before
    assert watcher.events() == []
    world.check_store()
    assert link.close_code is None
    assert world.supervisor.stats().foreign_writes["overwritten"] >= 3


def test_a_lost_session_lives_no_longer_for_what_is_said_there() -> None:
    world = World()
    legacy = writer_of(world.store)
    link, answer = world.agent()
    link.vanish()
    assert legacy.heartbeat(answer["agent_id"], "healthy")
    world.advance(5.1)
    assert world.record(answer["agent_id"])["status"] == "unreachable"


def test_its_verdict_on_a_silent_agent_is_no_sign_of_life() -> None:
    world = World()
    legacy = writer_of(world.store)
    lease = world.http_register()
    world.advance(40)
    legacy.judge(lease.agent_id)
    world.advance(5)
    record = world.record(lease.agent_id)
    assert record["health"]["reason"] == "heartbeat_timeout"
    assert "updated" not in world.log_kinds()


@pytest.mark.parametrize(
    "damaged",
    [
        {"port": "80"},
        {"registered_at": "yesterday"},
        {"metadata": []},
        {"capabilities": "a"},
        {"last_seen": "now"},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_read_is_written_over(damaged: dict[str, Any]) -> None:
    world = World()
    lease = world.http_register()
    known = msgspec.json.decode(world.store.entries[lease.agent_id][0])
    for field in ("health", "epoch", "hub", "revision"):
        del known[field]
    text = msgspec.json.encode(known | damaged)
    world.store.entries[lease.agent_id] = (text, 0, world.scheduler.now() + 60)
    assert world.http_heartbeat(lease.agent_id, metadata={"a": 1}).durable is True
    assert world.stored(lease.agent_id)["metadata"] == {"a": 1}
    world.store.entries[lease.agent_id] = (text, 0, world.scheduler.now() + 60)
    world.advance(SOON)
    assert world.stored(lease.agent_id)["metadata"] == {"a": 1}


def test_a_record_that_only_redis_can_read_is_written_over() -> None:
    world = World()
    lease = world.http_register()
    known = msgspec.json.decode(world.store.entries[lease.agent_id][0])
    text = b'{"id":"%s","name":"h1","last_seen":"%s","metadata":{"a":NaN}}' % (
        lease.agent_id.encode(),
        known["last_seen"].replace("Z", "9Z").encode(),
    )
    for _ in range(2):
        world.store.entries[lease.agent_id] = (text, 0, world.scheduler.now() + 60)
        assert world.http_heartbeat(lease.agent_id, metadata={"a": 1}).durable is True
        assert world.stored(lease.agent_id)["metadata"] == {"a": 1}
    world.store.entries[lease.agent_id] = (text, 0, world.scheduler.now() + 60)
    world.advance(SOON)
    assert world.stored(lease.agent_id)["metadata"] == {"a": 1}


@pytest.mark.parametrize("over", ["http", "websocket"])
def test_a_hub_that_starts_knows_from_the_log_what_was_written_over(over: str) -> None:
    world = World()
    if over == "http":
        one = world.http_register(metadata={"a": 1}).agent_id
    else:
        one = world.agent(metadata={"a": 1})[1]["agent_id"]
    before = world.record(one)
    assert writer_of(world.store).heartbeat(one, "degraded", a=2)
    again = world.restart()
    again.advance(0.2)
    record = again.stored(one)
    assert record["epoch"] == before["epoch"]
    assert record["metadata"] == {"a": 2 if over == "http" else 1}
    assert record["status"] == ("degraded" if over == "http" else "healthy")


def test_more_metadata_than_a_hub_keeps_are_not_taken_over() -> None:
    world = World()
    legacy = writer_of(world.store)
    lease = world.http_register(metadata={"a": 1})
    assert legacy.heartbeat(lease.agent_id, "degraded", b="x" * 17_000)
    world.advance(SOON)
    record = world.stored(lease.agent_id)
    assert (record["status"], record["metadata"]) == ("degraded", {"a": 1})


def test_where_there_is_no_room_none_is_taken_in() -> None:
    world = World(limits=Limits(max_agents=1))
    world.http_register()
    new = writer_of(world.store).register()
    world.advance(SOON)
    assert new not in world.supervisor.directory
    assert world.observer.limits["max_agents"] >= 1


def test_a_look_is_bounded_and_the_next_ones_go_on() -> None:
    world = World()
    world.populate(LOOKED_AT + 20)
    legacy = writer_of(world.store)
    world.advance(SOON)
    last = agent_id(LOOKED_AT + 10)
    for each in (agent_id(0), last):
        assert legacy.heartbeat(each, "degraded")
    world.advance(2 * SOON)
    assert world.record(agent_id(0))["status"] == "degraded"
    assert world.record(last)["status"] == "degraded"


def test_of_more_ids_than_were_asked_for_all_are_looked_at() -> None:
    """SSCAN answers with about as many: it may have some more each time, and the same ones."""
    world = World()
    world.populate(LOOKED_AT)
    known = {agent_id(number) for number in range(LOOKED_AT)}
    new = writer_of(world.store).register("late", id="ffffffff-ffff-4fff-8fff-ffffffffffff")
    assert max(known) < new, "the last of all"
    world.advance(2 * SOON)
    assert world.record(new)["name"] == "late"


def test_the_warning_ends_ten_minutes_after_the_last_write() -> None:
    world = World()
    assert world.supervisor.foreign_writes is None
    legacy = writer_of(world.store)
    one, two = legacy.register(), legacy.register()
    world.advance(SOON)
    assert "2 agents " in (world.supervisor.foreign_writes or "")
    assert len(world.observer.foreign) == 2
    world.advance(600)
    assert world.supervisor.foreign_writes is None
    assert one != two


def test_while_the_store_is_away_nothing_is_looked_at() -> None:
    world = World()
    link, _ = world.agent()
    world.lose_store(link)
    new = writer_of(world.store).register()
    world.advance(2 * SOON)
    assert new not in world.supervisor.directory
    world.store.reachable = True
    world.advance(2 * SOON)
    assert new in world.supervisor.directory


# --- several hubs ---------------------------------------------------------------------------------


def test_two_hubs_take_an_agent_in_once() -> None:
    cluster = Cluster("one", "two")
    watcher = cluster["two"].watcher()
    new = writer_of(cluster.store).register("old-1")
    for hub in cluster.hubs.values():  # as if both believed to lead
        hub.supervisor.registry.foreign_writes._replica.membership._leader = hub.supervisor.hub_id
    cluster.advance(SOON + 2)
    assert [each.kind for each in cluster.store.log if new.encode() in each.record] == [
        "registered"
    ]
    assert watcher.events() == [("registered", "old-1", "healthy")]
    cluster.agree()


def test_what_is_said_there_reaches_all_hubs() -> None:
    cluster = Cluster("one", "two")
    legacy = writer_of(cluster.store)
    lease = cluster["two"].http_register()
    cluster.advance(2)
    assert legacy.heartbeat(lease.agent_id, "degraded", a=1)
    cluster.advance(SOON + 2)
    for hub in cluster.hubs.values():
        record = hub.record(lease.agent_id)
        assert (record["status"], record["metadata"]) == ("degraded", {"a": 1})
    cluster.agree()
    legacy.unregister(lease.agent_id)
    cluster.advance(2 * SOON + 2)
    assert not any(hub.knows(lease.agent_id) for hub in cluster.hubs.values())
    cluster.agree()


def test_a_heartbeat_at_any_hub_loses_nothing_that_was_said_there() -> None:
    cluster = Cluster("one", "two")
    legacy = writer_of(cluster.store)
    lease = cluster["one"].http_register()
    cluster.advance(2)
    assert legacy.heartbeat(lease.agent_id, "degraded", a=1)
    assert cluster["two"].http_heartbeat(lease.agent_id, metadata={"b": 2}).durable is True
    cluster.advance(2)
    record = cluster["one"].record(lease.agent_id)
    assert (record["status"], record["metadata"]) == ("degraded", {"a": 1, "b": 2})
    cluster.agree()


def test_an_agent_that_unregistered_there_while_its_owner_was_dead_is_removed() -> None:
    cluster = Cluster("one", "two")
    legacy = writer_of(cluster.store)
    lease = cluster["two"].http_register()
    cluster.advance(2)
    cluster.kill("one")
    legacy.unregister(lease.agent_id)
    cluster.start("one")
    assert cluster["two"].knows(lease.agent_id)
    cluster.advance(5 * SOON + 2)
    assert not any(hub.knows(lease.agent_id) for hub in cluster.hubs.values())
    cluster.agree()


def test_the_record_of_another_hubs_session_is_written_back_by_that_hub() -> None:
    cluster = Cluster("one", "two")
    legacy = writer_of(cluster.store)
    _, answer = cluster["two"].agent(metadata={"a": 1})
    cluster.advance(2)
    assert legacy.heartbeat(answer["agent_id"], "degraded", a=2)
    cluster.advance(SOON + 2)
    assert cluster["one"].record(answer["agent_id"])["metadata"] == {"a": 1}
    cluster.agree()
