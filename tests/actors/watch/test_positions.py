"""Watches that go on from a position: the very entry must still be in the log."""

from __future__ import annotations

from typing import Any

import pytest

from actors.limits import Limits
from actors.rules.positions import PositionIssuer
from tests.support.cluster_world import Cluster
from tests.support.world import FakeLink, World


def newest(watcher: FakeLink) -> str:
    return [each["position"] for each in watcher.sent if "position" in each][-1]


def again(world: World, position: str) -> tuple[bool, int, list[int]]:
    """Whether a watch resumed there, how many snapshots came, and the events' revisions."""
    link = world.connect()
    resumed = link.watch(position=position)["resumed"]
    return resumed, len(link.take("snapshot")), link.event_revisions()


def test_every_event_has_a_position_and_a_watch_goes_on_from_each() -> None:
    world = World()
    watcher = world.connect()
    begun = watcher.watch()["position"]
    link, _ = world.agent("a1")
    link.ask(op="update", version="2")
    world.agent("a2")
    snapshot, *events = [each for each in watcher.sent if each["op"] in ("snapshot", "event")]
    assert snapshot["position"] == begun
    assert again(world, begun) == (True, 0, [1, 2, 3])
    assert again(world, events[0]["position"]) == (True, 0, [2, 3])
    assert again(world, events[2]["position"]) == (True, 0, [])


def test_the_position_of_watching_is_how_far_the_hub_is() -> None:
    world = World()
    world.agent("a1")
    link = world.connect()
    begun = link.watch()
    world.agent("a2")
    then = world.connect().watch(position=begun["position"])
    assert (then["resumed"], then["revision"]) == (True, 2)
    assert then["position"] == link.take("event")[-1]["position"]


def test_all_watches_and_a_resumed_one_are_told_the_same() -> None:
    world = World()
    link, late = world.connect(), world.connect()
    for _ in range(3):
        link.watch()
    world.agent("a1")
    late.watch(since=0, log=world.supervisor.log)
    told = [each["position"] for each in (*link.take("event"), *late.take("event"))]
    assert len(told) == 4
    assert len(set(told)) == 1


def test_only_the_last_chunk_of_a_snapshot_has_a_position() -> None:
    world = World()
    world.populate(250)
    link = world.connect()
    link.watch()
    *chunks, last = link.take("snapshot")
    assert chunks
    assert not any("position" in each for each in chunks)
    assert again(world, last["position"]) == (True, 0, [])


def test_coalesced_events_have_positions_too() -> None:
    world = World()
    link, _ = world.agent("a1", metadata={"k": "x" * 15_000})
    watcher = world.watcher()
    watcher.stop_reading()
    for number in range(200):
        link.ask(op="update", version=str(number))
    watcher.read_on()
    last = watcher.take("event")[-1]
    assert last["coalesced"] is True
    assert again(world, last["position"]) == (True, 0, [])


@pytest.mark.parametrize("secret", [b"secret", b"of another cluster"])
def test_one_of_another_log_or_cluster_is_answered_with_a_snapshot(secret: bytes) -> None:
    world = World()
    world.agent("a1")
    assert again(world, PositionIssuer("another", secret).issue(1, "x")) == (False, 1, [])


def test_a_forged_one_is_answered_with_a_snapshot() -> None:
    world = World()
    watcher = world.watcher()
    world.agent("a1")
    forged = newest(watcher)[:-16] + "0" * 16
    assert again(world, forged) == (False, 1, [])


def test_one_that_is_too_old_is_answered_with_a_snapshot() -> None:
    world = World(limits=Limits(log_length=5))
    watcher = world.watcher()
    link, _ = world.agent("a1")
    for number in range(10):
        link.ask(op="update", version=str(number))
    events = watcher.take("event")
    assert again(world, events[4]["position"]) == (False, 1, [])
    assert again(world, events[5]["position"]) == (True, 0, [7, 8, 9, 10, 11])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"position": "no position"}, "position"),
        ({"position": ""}, "position"),
        ({"position": 5}, "position"),
        ({"position": "log.1.000000000000.0000000000000000", "since": 1, "log": "log"}, "position"),
    ],
)
def test_what_is_none_and_what_is_too_much_are_refused(fields: dict[str, Any], field: str) -> None:
    answer = World().connect().ask(op="watch", **fields)
    assert (answer["op"], answer["code"], answer["field"]) == ("error", "bad_request", field)


def test_a_position_is_good_at_every_hub_also_at_one_that_is_behind() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["a"].watcher()
    cluster["a"].agent("a1")
    cluster["b"].port.hold("read_log")
    link = cluster["a"].agent("a2")[0]
    cluster["b"].scheduler.call_soon(lambda: cluster["b"].port.release("read_log"))
    assert again(cluster["b"], newest(watcher)) == (True, 0, [])
    link.ask(op="update", version="2")
    cluster.settle()
    assert again(cluster["b"], watcher.take("event")[0]["position"]) == (True, 0, [2, 3])


def test_a_restart_that_lost_nothing_resumes_watches_from_where_they_were() -> None:
    world = World()
    watcher = world.watcher()
    link, _ = world.agent("a1")
    link.ask(op="update", version="2")
    events = watcher.take("event")
    restarted = World(store=world.store, seed=1)
    assert again(restarted, events[1]["position"]) == (True, 0, [3]), "its socket is lost"
    assert again(restarted, events[0]["position"]) == (True, 0, [2, 3])


def test_a_log_that_was_trimmed_is_taken_up_where_it_still_reaches() -> None:
    world = World()
    watcher = world.watcher()
    link, _ = world.agent("a1")
    for number in range(9):
        link.ask(op="update", version=str(number))
    events = watcher.take("event")
    del world.store.log[:6]
    restarted = World(store=world.store, seed=1)
    assert again(restarted, events[6]["position"]) == (True, 0, [8, 9, 10, 11])
    assert again(restarted, events[5]["position"]) == (False, 1, []), "its entry is not known"


def test_a_new_log_begins_with_a_position_to_go_on_from() -> None:
    world = World()
    link, _ = world.agent("a1")
    world.store.lose_everything()
    link.say(op="heartbeat", id=1)
    world.advance(1)
    watcher = world.connect()
    begun = watcher.watch()["position"]
    link.ask(op="update", version="2")
    assert again(world, begun) == (True, 0, [world.supervisor.revision])
