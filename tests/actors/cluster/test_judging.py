"""Silence is judged by an agent's owner: never early, on time, and once, whichever hub it uses."""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.permissions import ANYBODY
from actors.timing import HUB_LEASE
from tests.support.cluster_world import HEARD, Cluster, Hub, kinds
from tests.support.records import agent_id

ID = agent_id(1)
SILENCE = 45.0
TTL = 60.0


def unreachable(hub: Hub) -> bool:
    return hub.record(ID)["status"] == "unreachable"


def heartbeats(cluster: Cluster, names: str, every: float, times: int) -> None:
    """Heartbeats over HTTP at these hubs in turn; the last one at this moment."""
    for number in range(times):
        cluster[names[number % len(names)]].http_heartbeat(ID)
        if number < times - 1:
            cluster.advance(every - 0.05)


# --- agents that come over HTTP ------------------------------------------------------------------


@pytest.mark.parametrize("at", ["a", "b", "bc", "cab"])
def test_an_http_agent_is_judged_once_and_on_time_wherever_it_sends_its_heartbeats(
    at: str,
) -> None:
    cluster = Cluster("a", "b", "c")
    watchers = [hub.watcher() for hub in cluster.hubs.values()]
    cluster["c"].http_register(agent_id=ID)
    heartbeats(cluster, at, 40.0, 9)
    seen = cluster.store.record(ID).last_seen
    cluster.advance(SILENCE - 0.06)
    for watcher in watchers:
        assert kinds(watcher) == ["registered"], "never early"
    cluster.advance(0.11)
    for watcher in watchers:
        assert kinds(watcher) == ["status_changed"]
    record = cluster["b"].record(ID)
    assert record["health"]["reason"] == "heartbeat_timeout"
    assert record["last_seen"] == seen, "the judge knows when it was seen last"
    cluster.advance(TTL - 0.1)
    assert cluster["b"].knows(ID)
    cluster.advance(0.2)
    cluster.advance(200)
    for watcher in watchers:
        assert kinds(watcher) == ["expired"]
    cluster.agree()


def test_an_http_agent_that_returns_at_any_hub_is_what_it_reports() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["a"].watcher()
    cluster["a"].http_register(agent_id=ID)
    cluster.advance(70)
    cluster["b"].http_heartbeat(ID, status="degraded")
    assert cluster["a"].status(ID) == ("degraded", "http")
    assert kinds(watcher) == ["registered", "status_changed", "status_changed"]
    cluster.advance(SILENCE - 0.1)
    assert kinds(watcher) == []
    cluster.advance(0.2)
    assert kinds(watcher) == ["status_changed"]


def test_silence_that_a_hub_only_heard_of_is_judged_after_asking_the_store() -> None:
    """The leader gets no announcement of a renewal, and yet judges no agent early."""
    cluster = Cluster("a", "b")
    cluster["a"].port.hold("read_renewals")
    watcher = cluster["a"].watcher()
    cluster["b"].http_register(agent_id=ID)
    heartbeats(cluster, "b", 40.0, 8)
    assert kinds(watcher) == ["registered"]
    cluster.advance(SILENCE - 0.06)
    assert kinds(watcher) == []
    cluster.advance(0.15)
    assert kinds(watcher) == ["status_changed"]


def test_a_renewal_between_reading_the_store_and_the_verdict_makes_the_verdict_stale() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["b"].watcher()
    cluster["b"].http_register(agent_id=ID)
    cluster["a"].port.hold("read")
    cluster["a"].port.hold("read_renewals")
    cluster.advance(SILENCE + 0.5)  # the leader has read the store, which had the old activity
    assert kinds(watcher) == ["registered"]
    assert cluster["b"].http_heartbeat(ID).durable is True
    cluster["a"].port.release("read")
    cluster.advance(SILENCE - 0.2)
    assert kinds(watcher) == []
    cluster.advance(0.3)
    assert kinds(watcher) == ["status_changed"]


def test_a_verdict_waits_for_a_store_that_does_not_answer() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["b"].watcher()
    cluster["a"].http_register(agent_id=ID)
    cluster["a"].port.hold("read")
    cluster.advance(SILENCE + 3)
    assert kinds(watcher) == ["registered"]
    cluster["a"].port.release("read")
    cluster.advance(0.1)
    assert kinds(watcher) == ["status_changed"]


# --- the leader changes --------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1.0, 20.0, 34.0, 44.5, 44.95, 45.0, 45.001, 45.002, 45.003, 47.0])
def test_when_the_leader_dies_another_hub_judges_and_no_agent_is_judged_early_or_twice(
    at: float,
) -> None:
    cluster = Cluster("a", "b", "c")
    watcher = cluster["c"].watcher()
    cluster["b"].http_register(agent_id=ID)
    cluster.advance(at - 0.05)
    cluster.kill("a")
    cluster.advance(max(0.0, SILENCE - 0.06 - at))
    heard = kinds(watcher)
    assert heard == ["registered"] or at >= SILENCE
    # The new one cannot know since when the agent is silent: it gives it the full time.
    cluster.advance(HUB_LEASE + HEARD + SILENCE)
    assert heard + kinds(watcher) == ["registered", "status_changed"]
    cluster.advance(TTL + 1)
    assert kinds(watcher) == ["expired"]
    cluster.agree()


def test_an_agent_that_heartbeats_elsewhere_does_not_notice_that_leaders_die_and_join() -> None:
    cluster = Cluster("b", "c", "d")
    watcher = cluster["d"].watcher()
    cluster["d"].http_register(agent_id=ID)
    heartbeats(cluster, "d", 30.0, 2)
    cluster.kill("b")
    heartbeats(cluster, "d", 30.0, 3)
    cluster.start("a")
    heartbeats(cluster, "d", 30.0, 3)
    cluster.kill("a")
    heartbeats(cluster, "dc", 30.0, 4)
    assert kinds(watcher) == ["registered"]
    cluster.advance(SILENCE - 0.06)
    assert kinds(watcher) == []
    cluster.advance(0.2)
    assert kinds(watcher) == ["status_changed"]
    cluster.advance(TTL + 1)
    assert kinds(watcher) == ["expired"]
    cluster.agree()


@pytest.mark.parametrize("silent", [1.0, 30.0, 43.0])
def test_a_leader_that_joins_gives_the_silent_the_time_that_a_starting_hub_gives(
    silent: float,
) -> None:
    cluster = Cluster("b", "c")
    watcher = cluster["c"].watcher()
    cluster["c"].http_register(agent_id=ID)
    cluster.advance(silent - 0.05)
    cluster.start("a")
    cluster.advance(SILENCE - HEARD - silent)
    assert kinds(watcher) == ["registered"]
    cluster.advance(silent + HEARD + 0.3)
    assert kinds(watcher) == ["status_changed"]
    cluster.advance(TTL + 1)
    assert kinds(watcher) == ["expired"]


def test_two_hubs_that_both_believe_to_be_leader_judge_once() -> None:
    cluster = Cluster("b", "c")
    watcher = cluster["c"].watcher()
    cluster["c"].http_register(agent_id=ID)
    cluster["b"].port.hold("renew_lease")  # b no longer learns of other hubs
    cluster.start("a")
    cluster["b"].port.hold("read")
    cluster["a"].port.hold("read")
    for _ in range(70):  # b's lease is kept by what it writes
        cluster["b"].http_register("other", agent_id(2))
        cluster.advance(0.95)
    assert kinds(watcher).count("status_changed") == 0
    assert [hub.hub_id for hub in cluster["b"].supervisor.roster] == ["b", "c"]
    assert [hub.hub_id for hub in cluster["a"].supervisor.roster] == ["a", "b", "c"]
    cluster["a"].port.release("read")
    cluster["b"].port.release("read")
    cluster.advance(0.2)
    assert kinds(watcher) == ["status_changed"]
    cluster.agree()


def test_a_hub_that_becomes_the_owner_during_an_ask_judges_the_agent_afterwards() -> None:
    cluster = Cluster("a", "b", "c")
    cluster["b"].http_register(agent_id=agent_id(1))
    cluster.settle()
    cluster.kill("a")
    hub, port = cluster["b"].supervisor, cluster["b"].port
    outcomes: list[Any] = []
    heard = False
    while not heard:
        port.hold("commit")
        hub.heartbeat(agent_id(1), "healthy", {}, outcomes.append, principal=ANYBODY)
        cluster.advance(0.1)
        heard = len(hub.roster) == 2
        port.release("commit")
        cluster.advance(0.005)
    cluster.advance(44.8)
    assert cluster["c"].status(agent_id(1)) == ("healthy", "http")
    cluster.advance(0.3)
    assert cluster["c"].status(agent_id(1)) == ("unreachable", "http")
    assert len({outcome.durable for outcome in outcomes}) == 1
    cluster.agree()
