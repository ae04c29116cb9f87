"""Hubs that were stopped, or cut off from the store, and come back to a cluster that went on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cluster_world import Cluster, answered, kinds, told
from tests.support.world import FakeLink

MARGIN = 1.2
"""Seconds in which a hub that is back has read and written everything that it must."""


def stage(*names: str) -> tuple[Cluster, FakeLink, dict[str, Any], FakeLink]:
    """Hubs, an agent of hub b, and a watcher at hub c whose events up to now are taken away."""
    cluster = Cluster(*names)
    link, held = cluster["b"].agent()
    cluster.advance(1)
    watcher = cluster["c"].watcher()
    return cluster, link, held, watcher


# --- stopped (SIGSTOP) ---------------------------------------------------------------------------


def test_a_hub_that_stalls_for_less_than_its_lease_causes_no_event() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].scheduler.stop()
    cluster.advance(8)
    cluster["b"].scheduler.go_on()
    cluster.advance(20)
    assert kinds(watcher) == []
    assert link.ask(op="heartbeat")["durable"] is True
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "websocket")
    cluster.agree()


@pytest.mark.parametrize(
    ("asleep", "meanwhile"),
    [(13.0, ["lost"]), (20.0, ["lost", "status_changed"]), (60.0, ["lost", "status_changed"])],
)
def test_a_stalled_hub_that_wakes_asserts_the_sessions_that_live(
    asleep: float, meanwhile: list[str]
) -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].scheduler.stop()
    cluster.advance(asleep)
    assert kinds(watcher) == meanwhile
    cluster["b"].scheduler.go_on()
    cluster.advance(MARGIN)
    assert link.close_code is None
    assert len(kinds(watcher)) == 1
    for hub in cluster.hubs.values():
        assert hub.status(held["agent_id"]) == ("healthy", "websocket")
    assert link.ask(op="update", version="2")["op"] == "updated"
    assert cluster.store.record(held["agent_id"]).epoch == 1
    cluster.advance(40)
    assert kinds(watcher) == ["updated"]
    cluster.agree()


@pytest.mark.parametrize("asleep", [3.0, 13.0, 20.0])
@pytest.mark.parametrize("sends", [{"op": "update", "version": "old"}, {"op": "unregister"}])
def test_a_stalled_hub_that_wakes_closes_the_sessions_that_are_held_elsewhere(
    asleep: float, sends: dict[str, Any]
) -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].scheduler.stop()
    cluster.advance(asleep)
    newer, _ = cluster["a"].resume(held)
    cluster["b"].later(lambda: link.say(id="late", **sends))
    cluster.advance(1)
    kinds(watcher)
    revision = cluster.store.record(held["agent_id"]).revision
    cluster["b"].scheduler.go_on()
    assert cluster.until(lambda: link.close_code is not None, 1) is not None
    assert link.close_code == 4409
    cluster.advance(20)
    assert kinds(watcher) == []
    assert cluster.store.record(held["agent_id"]).revision == revision
    assert newer.close_code is None
    cluster.agree()


def test_a_hub_that_slept_past_the_removal_closes_the_session_as_lease_lost() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].scheduler.stop()
    cluster.advance(85)
    assert kinds(watcher) == ["lost", "status_changed", "expired"]
    cluster["b"].later(lambda: link.say(op="heartbeat", id="late"))
    cluster["b"].scheduler.go_on()
    cluster.advance(MARGIN)
    assert link.close_code == 4408
    assert not cluster["b"].knows(held["agent_id"])
    cluster.advance(100)
    assert kinds(watcher) == []
    cluster.agree()


def test_a_watch_at_a_stalled_hub_hears_all_that_it_slept_through() -> None:
    cluster, link, _, watcher = stage("a", "b", "c")
    mine = cluster["b"].watcher()
    other = cluster["a"].agent("other")[0]
    assert len(told(mine)) == len(told(watcher)) == 1
    cluster["b"].scheduler.stop()
    for number in range(20):
        other.ask(op="update", version=str(number))
        cluster.advance(1)
    cluster["b"].scheduler.go_on()
    cluster.advance(MARGIN)
    assert told(mine) == told(watcher)
    assert link.close_code is None


@pytest.mark.parametrize("asleep", [9.0, 30.0, 60.0, 200.0])
def test_a_leader_that_wakes_judges_no_agent_that_others_heard(asleep: float) -> None:
    cluster = Cluster("a", "b", "c")
    watcher = cluster["c"].watcher()
    agent_id = cluster["b"].http_register().agent_id
    cluster["a"].scheduler.stop()
    for _ in range(int(asleep)):
        cluster.advance(1)
        cluster["b"].http_heartbeat(agent_id)
    cluster["a"].scheduler.go_on()
    cluster.advance(44)
    assert kinds(watcher) == ["registered"]
    cluster.advance(46)  # silent now, and the leader had been absent
    assert kinds(watcher) == ["status_changed"]
    cluster.agree()


def test_an_agent_whose_leader_sleeps_is_judged_by_the_next_one_and_once() -> None:
    cluster = Cluster("a", "b", "c")
    watcher = cluster["c"].watcher()
    agent_id = cluster["b"].http_register().agent_id
    cluster["a"].scheduler.stop()
    cluster.advance(60)
    cluster["a"].scheduler.go_on()
    cluster.advance(30)
    assert kinds(watcher) == ["registered", "status_changed"]
    assert cluster["a"].status(agent_id)[0] == "unreachable"
    cluster.advance(100)
    assert kinds(watcher) == ["expired"]
    cluster.agree()


def test_all_hubs_stopped_for_long_charge_it_to_no_agent() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    polling = cluster["a"].http_register("polling").agent_id
    kinds(watcher)
    for hub in cluster.hubs.values():
        hub.scheduler.stop()
    cluster.advance(50)
    for hub in cluster.hubs.values():
        hub.scheduler.go_on()
    cluster.advance(40)
    assert cluster["c"].status(held["agent_id"]) == ("healthy", "websocket")
    assert cluster["c"].status(polling) == ("healthy", "http")
    assert link.close_code is None
    cluster.agree()


def test_a_hub_that_is_back_before_others_have_written_that_it_is_dead_puts_that_right() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].scheduler.stop()
    cluster.store.hold_next_commit = 0.8  # of the leader, which finds the hub dead
    assert cluster.until(lambda: cluster.store.hold_next_commit is None, 15) is not None
    cluster["b"].scheduler.go_on()
    cluster.advance(0.6)
    assert kinds(watcher) == []
    cluster.advance(1)
    assert kinds(watcher) == ["lost", "updated"]
    assert cluster["c"].status(held["agent_id"]) == ("healthy", "websocket")
    assert link.ask(op="heartbeat")["durable"] is True
    cluster.agree()


# --- cut off from the store ----------------------------------------------------------------------


def test_a_hub_that_is_cut_off_for_a_moment_loses_nothing_and_causes_no_other_event() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].port.cut = True
    cluster.advance(5)
    assert link.ask(op="heartbeat", metadata={"k": 1})["durable"] is False
    cluster["b"].port.cut = False
    cluster.advance(2)
    assert kinds(watcher) == ["updated"]
    assert cluster["a"].record(held["agent_id"])["metadata"] == {"k": 1}
    cluster.agree()


def test_what_a_hub_said_it_heard_while_cut_off_is_put_right_when_it_returns() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].port.cut = True
    for _ in range(4):
        cluster.advance(5)
        link.say(op="heartbeat", id=1, status="degraded", load=7)
    assert kinds(watcher) == ["lost", "status_changed"]
    assert cluster["c"].status(held["agent_id"])[0] == "unreachable"
    assert cluster["b"].status(held["agent_id"])[0] == "healthy", "it does not know"
    cluster["b"].port.cut = False
    cluster.advance(2)
    assert kinds(watcher) == ["status_changed"]
    record = cluster["c"].record(held["agent_id"])
    assert (record["status"], record["load"]) == ("degraded", 7)
    assert record["health"]["connection"] == "websocket"
    assert link.close_code is None
    cluster.agree()


def test_a_hub_that_was_cut_off_past_the_removal_closes_with_4408() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].port.cut = True
    for _ in range(20):
        cluster.advance(5)
        if link.close_code is None:
            link.say(op="heartbeat", id=1)
    assert kinds(watcher) == ["lost", "status_changed", "expired"]
    cluster["b"].port.cut = False
    cluster.advance(2)
    assert link.close_code == 4408
    assert not cluster["b"].knows(held["agent_id"])
    cluster.advance(100)
    assert kinds(watcher) == []
    cluster.agree()


def test_a_session_that_was_resumed_elsewhere_while_its_hub_was_cut_off_is_fenced() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].port.cut = True
    cluster.advance(3)
    newer, _ = cluster["c"].resume(held)
    link.say(op="heartbeat", id="h", status="unhealthy", metadata={"k": "old"})
    link.say(op="update", id="u", version="old")
    cluster.advance(3)
    assert next(each for each in link.sent if each["id"] == "u")["code"] == "unavailable"
    cluster["b"].port.cut = False
    cluster.advance(2)
    assert link.close_code == 4409
    cluster.advance(20)
    assert kinds(watcher) == ["resumed"]
    record = cluster["b"].record(held["agent_id"])
    assert (record["status"], record["epoch"], record["version"]) == ("healthy", 2, "")
    assert newer.close_code is None
    cluster.agree()


def test_an_agent_removed_while_its_hub_was_cut_off_is_not_put_back() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    cluster["b"].port.cut = True
    cluster.advance(3)
    link.say(op="heartbeat", id=1, metadata={"k": 1})
    assert cluster["c"].remove(held["agent_id"]).durable is True
    cluster.advance(3)
    cluster["b"].port.cut = False
    cluster.advance(2)
    assert link.close_code == 1000
    assert kinds(watcher) == ["unregistered"]
    cluster.agree()


def test_a_change_that_hung_is_applied_once_though_others_went_on_writing() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    other = cluster["a"].agent("other")[0]
    kinds(watcher)
    cluster.store.hold_next_commit = 0.6
    link.say(op="update", id="u", version="2")
    for number in range(40):
        cluster.advance(0.1)
        other.ask(op="update", version=str(number))
    assert answered(link, "u")
    record = cluster["c"].record(held["agent_id"])
    assert record["version"] == "2"
    assert [each[2] for each in told(watcher)].count("a1") == 1
    cluster.agree()


def test_while_the_store_is_away_for_all_no_agent_is_judged_and_no_hub_is_taken_for_dead() -> None:
    cluster, link, held, watcher = stage("a", "b", "c")
    polling = cluster["a"].http_register("polling").agent_id
    kinds(watcher)
    cluster.store.reachable = False
    for _ in range(10):
        cluster.advance(10)
        link.say(op="heartbeat", id=1)
    cluster.store.reachable = True
    cluster.advance(15)
    assert "lost" not in kinds(watcher)
    assert cluster["c"].status(held["agent_id"]) == ("healthy", "websocket")
    assert cluster["c"].status(polling) == ("healthy", "http")
    cluster.agree()
