"""Hubs of one cluster with different times judge each agent by what it was told."""

from __future__ import annotations

import pytest

from actors.cluster.differing_times import differing_hubs, shared_times
from actors.ports.store import HubLease
from actors.timing import Timing
from tests.support.cluster_world import Cluster, kinds

QUICK = Timing(heartbeat_interval=2.0, heartbeat_timeout=10.0, lease_ttl=30.0)
SLOW = Timing(heartbeat_interval=60.0, heartbeat_timeout=100.0, lease_ttl=200.0)


def cluster() -> Cluster:
    """a, the leader, has quick times; b has slow ones."""
    made = Cluster("a", timing=QUICK)
    made.start("b", SLOW)
    made.advance(1.5)
    return made


def silent_for(made: Cluster, name: str, agent_id: str, status: str) -> float:
    """Seconds until the agent has that status at the hub of that name."""
    began = made.scheduler.now()
    hub = made[name]
    until = made.until(lambda: hub.record(agent_id)["status"] == status, 400)
    assert until is not None
    return made.scheduler.now() - began


def test_an_agent_over_http_is_judged_by_the_hub_that_leads_as_it_was_told_at_another() -> None:
    made = cluster()
    agent_id = made["b"].http_register().agent_id
    assert 99.9 <= silent_for(made, "a", agent_id, "unreachable") < 102.0
    made.advance(199.0)
    assert made["a"].knows(agent_id)
    made.advance(3.0)
    assert not made["a"].knows(agent_id)
    made.agree()


def test_a_quick_agent_is_judged_quickly_by_a_slow_hub() -> None:
    made = Cluster("a", timing=SLOW)
    made.start("b", QUICK)
    made.advance(1.5)
    agent_id = made["b"].http_register().agent_id
    assert 9.9 <= silent_for(made, "a", agent_id, "unreachable") < 12.0
    made.advance(32.0)
    assert not made["a"].knows(agent_id)


def test_an_agent_of_a_killed_hub_is_judged_by_what_it_was_told() -> None:
    made = cluster()
    _, held = made["b"].agent("slow")
    made.advance(1)
    made.kill("b")
    made.advance(17)  # the lease of its hub, and the window to resume
    assert made["a"].status(held["agent_id"]) == ("unreachable", "lost")
    made.advance(190)
    assert made["a"].knows(held["agent_id"])
    made.advance(15)
    assert not made["a"].knows(held["agent_id"])


def test_it_stays_so_when_the_hub_that_told_it_is_dead() -> None:
    made = cluster()
    agent_id = made["b"].http_register().agent_id
    made.advance(1)
    made.kill("b")
    made.advance(70)
    assert made["a"].record(agent_id)["status"] == "healthy"
    made["a"].http_heartbeat(agent_id)
    assert 99.9 <= silent_for(made, "a", agent_id, "unreachable") < 101.0


def test_the_entry_lives_in_the_store_for_the_lease_that_was_told() -> None:
    made = cluster()
    agent_id = made["b"].http_register().agent_id
    made.advance(20)
    made["a"].http_heartbeat(agent_id)
    _, _, expires = made.store.entries[agent_id]
    assert expires - made.store.scheduler.now() == pytest.approx(200.0, abs=0.2)


def test_a_heartbeat_tells_the_interval_that_was_told_before() -> None:
    made = cluster()
    agent_id = made["b"].http_register().agent_id
    made.advance(1)
    assert made["a"].supervisor.timing_of(agent_id).heartbeat_interval == 60.0
    assert made["b"].supervisor.timing_of(agent_id.upper()).heartbeat_interval == 60.0
    other = made["a"].http_register("h2").agent_id
    made.advance(1)
    assert made["b"].supervisor.timing_of(other).heartbeat_interval == 2.0


def test_what_was_told_last_counts_after_a_resumption_elsewhere() -> None:
    made = cluster()
    _, held = made["b"].agent("mover")
    made.advance(1)
    _, again = made["a"].resume(held)
    assert again["heartbeat_timeout"] == 10.0
    made.advance(1)
    agent_id = held["agent_id"]
    assert made["b"].supervisor.timing_of(agent_id).heartbeat_timeout == 10.0
    _, back = made["b"].resume(again)
    assert back["heartbeat_timeout"] == 100.0
    made.advance(1)
    assert made["a"].supervisor.timing_of(agent_id).heartbeat_timeout == 100.0


@pytest.mark.parametrize("way", ["killed", "drained"])
def test_all_hubs_may_restart_with_other_times(way: str) -> None:
    made = Cluster("a", timing=SLOW)
    agent_id = made["a"].http_register().agent_id
    made.advance(5)
    made.kill("a") if way == "killed" else made.drain("a")
    made.advance(12)
    made.start("a", QUICK)
    assert made["a"].supervisor.timing_of(agent_id).heartbeat_timeout == 100.0
    assert 98.0 <= silent_for(made, "a", agent_id, "unreachable") < 102.0


def test_a_store_that_lost_everything_is_told_again() -> None:
    made = cluster()
    agent_id = made["b"].http_register().agent_id
    made.advance(2)
    made.store.lose_everything()
    made.advance(15)
    made.kill("b")
    made.kill("a")
    made.advance(12)
    made.start("a", QUICK)
    assert made["a"].supervisor.timing_of(agent_id).heartbeat_timeout == 100.0


def test_a_gap_in_the_log_is_filled_with_what_was_told() -> None:
    made = cluster()
    made["a"].scheduler.stop()
    agent_id = made["b"].http_register().agent_id
    made.store.log.clear()  # trimmed beyond what `a` has folded
    made["b"].http_register("h2")
    made.scheduler.advance(3)
    made["a"].scheduler.go_on()
    made.advance(5)
    assert made["a"].knows(agent_id)
    assert made["a"].supervisor.timing_of(agent_id).heartbeat_timeout == 100.0


def test_nothing_is_kept_of_agents_that_are_gone() -> None:
    made = cluster()
    agent_id = made["b"].http_register().agent_id
    made.advance(1)
    assert len(made["a"].supervisor.replica.told_times) == 1
    made["b"].http_unregister(agent_id)
    made.advance(1)
    assert len(made["a"].supervisor.replica.told_times) == 0
    assert made.store.times.keys() <= {""}


def test_a_watcher_sees_one_verdict_at_the_time_that_was_told() -> None:
    made = cluster()
    watcher = made["a"].watcher()
    made["b"].http_register()
    made.advance(99)
    assert kinds(watcher) == ["registered"]
    made.advance(4)
    assert kinds(watcher) == ["status_changed"]


# --- hubs that differ ----------------------------------------------------------------------------


def test_every_hub_tells_of_the_other_by_id_setting_and_both_values() -> None:
    made = cluster()
    (at_a,) = made["a"].supervisor.differing_hubs
    (at_b,) = made["b"].supervisor.differing_hubs
    assert at_a == (
        "hub b has other times than a: heartbeat_interval 60, here 2; "
        "heartbeat_timeout 100, here 10; lease_ttl 200, here 30"
    )
    assert at_b.startswith("hub a has other times than b: heartbeat_interval 2, here 60;")
    made.advance(60)
    assert made["a"].observer.differing == [[at_a]], "it is told once"
    made.kill("b")
    made.advance(12)
    assert made["a"].supervisor.differing_hubs == []
    assert made["a"].observer.differing == [[at_a], []]


def test_hubs_of_the_same_times_say_nothing() -> None:
    made = Cluster("a", "b", timing=QUICK)
    made.advance(30)
    for hub in made.hubs.values():
        assert hub.supervisor.differing_hubs == []
        assert hub.observer.differing == []


def lease_of(hub_id: str, times: str) -> HubLease:
    """The lease of a hub that tells these times."""
    return HubLease(
        hub_id=hub_id,
        url="",
        version="",
        started="",
        agents=0,
        sessions=0,
        revision=0,
        times=times,
    )


@pytest.mark.parametrize(
    "times",
    ["", "{", "null", "[1]", '{"lease_ttl":"x"}', "{}", '{"something_new":1.0}', "[" * 5000],
)
def test_a_hub_that_tells_no_times_or_nonsense_is_let_be(times: str) -> None:
    assert differing_hubs([lease_of("old", times)], "a", Timing()) == []


def test_a_hold_that_only_one_hub_was_given_is_told_too() -> None:
    given = shared_times(Timing(loss_hold=30.0)).decode()
    (sentence,) = differing_hubs([lease_of("b", given)], "a", Timing())
    assert sentence == "hub b has other times than a: loss_hold 30, here by default"
