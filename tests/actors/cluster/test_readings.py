"""A load is a reading: no event, and yet known everywhere soon, and never turned back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cluster_world import Cluster, Hub, kinds
from tests.support.world import World

KNOWN_WITHIN = 2.0
"""Seconds after which every hub has the newest load."""


def load_of(hub: World, agent_id: str) -> float | None:
    return hub.record(agent_id).get("load")  # type: ignore[no-any-return]


def stored_load(cluster: Cluster, agent_id: str) -> float | None:
    record = cluster.store.record(agent_id)
    return None if record is None else record.load  # type: ignore[return-value]


def outcome(hub: Hub, agent_id: str, **says: Any) -> Any:
    """What a heartbeat over HTTP is answered with."""
    return hub.http_heartbeat(agent_id, **says)


def test_a_load_that_moves_makes_no_event_and_takes_no_revision() -> None:
    world = World()
    link, held = world.agent(load=1)
    watcher = world.watcher()
    before = world.record(held["agent_id"])
    for load in (2, 2, 0, 0.5):
        assert link.ask(op="heartbeat", load=load)["durable"] is True
        assert world.stored(held["agent_id"])["load"] == load
    after = world.record(held["agent_id"])
    assert after == {**before, "load": 0.5, "last_seen": after["last_seen"]}
    assert world.log_kinds() == ["registered"]
    assert watcher.events() == []


def test_an_update_with_a_load_alone_is_a_reading_too() -> None:
    world = World()
    link, held = world.agent()
    watcher = world.watcher()
    assert link.ask(op="update", load=3)["revision"] == held["revision"]
    assert world.stored(held["agent_id"])["load"] == 3
    assert watcher.events() == []
    assert link.ask(op="update", load=4, version="2")["revision"] == held["revision"] + 1
    assert [each["agent"]["load"] for each in watcher.take("event")] == [4]


@pytest.mark.parametrize(
    "says",
    [
        [{"load": 1}, {"load": 2}, {}, {"load": 3}],
        [{}, {"status": "healthy"}, {"load": 3}, {"metadata": {"zone": "a"}}],
        [{"status": "healthy", "metadata": {"zone": "a", "gone": None}, "load": 3}] * 16,
    ],
    ids=["loads", "all sorts", "the same"],
)
def test_heartbeats_that_wait_and_say_nothing_new_share_one_renewal(says: list[Any]) -> None:
    world = World()
    link, held = world.agent(metadata={"zone": "a"})
    world.store.batches.clear()
    for number, each in enumerate(says):
        link.say(op="heartbeat", id=number, **each)
    world.settle()
    acks = link.take("heartbeat_ack")
    assert [each["id"] for each in acks] == list(range(len(says)))
    assert all(each["durable"] for each in acks)
    assert sum(map(len, world.store.batches)) == 2, "the first, and one for all that waited"
    assert world.stored(held["agent_id"])["load"] == 3


def test_those_behind_a_change_share_it_when_they_say_the_same() -> None:
    world = World()
    link, held = world.agent()
    watcher = world.watcher()
    world.store.batches.clear()
    link.say(op="heartbeat", id=0)
    for number, load in enumerate((1, 2, 3), 1):
        link.say(op="heartbeat", id=number, status="degraded", metadata={"k": 1}, load=load)
    link.say(op="heartbeat", id=4, status="degraded", metadata={"k": 2}, load=4)
    world.settle()
    assert [each["durable"] for each in link.take("heartbeat_ack")] == [True] * 5
    assert sum(map(len, world.store.batches)) == 3
    events = [(each["kind"], each["agent"]["load"]) for each in watcher.take("event")]
    assert events == [("status_changed", 3), ("updated", 4)]
    assert world.stored(held["agent_id"])["metadata"] == {"k": 2}


def test_every_hub_has_the_newest_load_within_two_seconds() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent(load=1)
    cluster.settle()
    watcher = cluster["b"].watcher()
    for load in (2, 3, 4):
        link.ask(op="heartbeat", load=load)
        assert load_of(cluster["a"], held["agent_id"]) == load
        until = cluster.scheduler.now() + KNOWN_WITHIN
        while load_of(cluster["b"], held["agent_id"]) != load:
            assert cluster.scheduler.now() < until
            cluster.advance(0.01)
    picked = cluster["b"].connect().ask(op="pick", strategy="least_loaded")
    found = cluster["b"].connect().ask(op="find")
    assert picked["agent"]["load"] == found["agents"][0]["load"] == 4
    assert kinds(watcher) == []
    cluster.agree()


def test_a_reading_heard_of_before_the_change_behind_which_it_came_is_kept() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent(load=1)
    cluster.settle()
    watcher = cluster["b"].watcher()
    cluster["b"].port.hold("read_log")
    link.ask(op="update", version="2", load=2)
    link.ask(op="heartbeat", load=3)
    assert cluster.until(lambda: load_of(cluster["b"], held["agent_id"]) == 3, 2) is not None
    cluster["b"].port.release("read_log")
    cluster.settle()
    (event,) = watcher.take("event")
    assert (event["agent"]["version"], event["agent"]["load"]) == ("2", 2), "as the log has it"
    assert load_of(cluster["b"], held["agent_id"]) == 3
    cluster.agree()


@pytest.mark.parametrize("heard", [False, True])
def test_an_agent_that_resumes_elsewhere_keeps_its_newest_load(heard: bool) -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent(load=1)
    cluster.advance(3)
    if not heard:
        cluster["b"].port.hold("read_renewals")
        cluster.advance(1.5)
    link.ask(op="heartbeat", load=7)
    if heard:
        cluster.advance(KNOWN_WITHIN)
    _, answer = cluster["b"].resume(held)
    assert answer["resumed"] is True
    assert stored_load(cluster, held["agent_id"]) == 7
    assert load_of(cluster["b"], held["agent_id"]) == 7
    cluster.advance(KNOWN_WITHIN)
    cluster.agree()


def test_a_resumption_that_tells_a_load_has_its_own() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent(load=1)
    cluster.settle()
    link.ask(op="heartbeat", load=7)
    cluster["b"].resume(held, agent={"load": 8})
    assert stored_load(cluster, held["agent_id"]) == 8
    cluster.advance(KNOWN_WITHIN)
    cluster.agree()


@pytest.mark.parametrize("heard", [False, True])
def test_the_hub_that_takes_over_from_a_dead_one_has_the_stored_load(heard: bool) -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["b"].agent(load=1)
    cluster.advance(3)
    if not heard:
        cluster["a"].port.hold("read_renewals")
        cluster.advance(1.5)
    link.ask(op="heartbeat", load=7)
    cluster.kill("b")
    cluster.advance(14)
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "lost")
    assert stored_load(cluster, held["agent_id"]) == 7
    assert load_of(cluster["a"], held["agent_id"]) == 7
    cluster.agree()


@pytest.mark.parametrize("says", [{}, {"status": "healthy"}, {"status": "degraded"}], ids=str)
def test_a_heartbeat_over_http_turns_no_reading_back_that_another_hub_took(
    says: dict[str, Any],
) -> None:
    cluster = Cluster("a", "b")
    lease = cluster["a"].http_register(load=1)
    cluster.settle()
    for load in (2, 3, 4):
        assert outcome(cluster["b"], lease.agent_id, load=load).durable
        assert outcome(cluster["a"], lease.agent_id, **says).durable
        assert stored_load(cluster, lease.agent_id) == load
        assert load_of(cluster["a"], lease.agent_id) == load
    cluster.advance(KNOWN_WITHIN)
    cluster.agree()


def test_a_reading_behind_another_hub_s_clock_is_stored_all_the_same() -> None:
    cluster = Cluster("a", "b")
    lease = cluster["a"].http_register(load=1)
    cluster.settle()
    behind, wall = cluster["b"].supervisor.registry, cluster["b"].scheduler.wall
    behind.wall = lambda: wall() - 30  # type: ignore[method-assign]
    assert outcome(cluster["b"], lease.agent_id, load=2).durable
    assert outcome(cluster["a"], lease.agent_id).durable
    assert stored_load(cluster, lease.agent_id) == 2
    assert outcome(cluster["a"], lease.agent_id, load=3).durable
    assert stored_load(cluster, lease.agent_id) == 3


def test_a_reading_behind_another_hub_s_clock_is_heard_of_there() -> None:
    cluster = Cluster("a", "b")
    lease = cluster["a"].http_register(load=1)
    cluster.settle()
    behind, wall = cluster["b"].supervisor.registry, cluster["b"].scheduler.wall
    behind.wall = lambda: wall() - 30  # type: ignore[method-assign]
    for load in (2, 3):
        assert outcome(cluster["b"], lease.agent_id, load=load).durable
        cluster.advance(KNOWN_WITHIN)
        assert load_of(cluster["a"], lease.agent_id) == load


def test_a_reading_of_an_outage_is_written_without_an_event_and_told_to_the_others() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent(load=1)
    cluster.settle()
    watcher = cluster["b"].watcher()
    cluster.store.reachable = False
    link.say(op="heartbeat", id=1, load=2)
    cluster.advance(2.5)
    link.say(op="heartbeat", id=2, load=3)
    cluster.settle()
    assert [each["durable"] for each in link.take("heartbeat_ack")] == [False, False]
    cluster.store.reachable = True
    cluster.advance(3)
    assert stored_load(cluster, held["agent_id"]) == 3
    cluster.advance(KNOWN_WITHIN)
    assert load_of(cluster["b"], held["agent_id"]) == 3
    assert kinds(watcher) == []
    cluster.agree()
