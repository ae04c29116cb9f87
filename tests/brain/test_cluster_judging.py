"""Who judges whom, and when: never early, on time, and once, whichever hub hears of an agent."""

from __future__ import annotations

from typing import Any

import pytest

from actors.timing import HUB_LEASE
from tests.brain.cluster_world import Cluster, Hub, told
from tests.brain.records import agent_id
from tests.brain.world import FakeLink

ID = agent_id(1)
SILENCE = 45.0
TTL = 60.0
HEARD = 1.1
"""Seconds until a hub has heard that another one's lease lapsed."""


def kinds(watcher: FakeLink) -> list[str]:
    return [each[1] for each in told(watcher)]


def unreachable(hub: Hub) -> bool:
    return hub.record(ID)["status"] == "unreachable"


def beats(cluster: Cluster, names: str, every: float, times: int) -> None:
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
    beats(cluster, at, 40.0, 9)
    cluster.advance(SILENCE - 0.06)
    for watcher in watchers:
        assert kinds(watcher) == ["registered"], "never early"
    cluster.advance(0.11)
    for watcher in watchers:
        assert kinds(watcher) == ["status_changed"]
    assert cluster["b"].record(ID)["health"]["reason"] == "heartbeat_timeout"
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
    """The leader never hears of a renewal, and yet judges nobody early."""
    cluster = Cluster("a", "b")
    cluster["a"].port.hold("read_renewals")
    watcher = cluster["a"].watcher()
    cluster["b"].http_register(agent_id=ID)
    beats(cluster, "b", 40.0, 8)
    assert kinds(watcher) == ["registered"]
    cluster.advance(SILENCE - 0.06)
    assert kinds(watcher) == []
    cluster.advance(0.15)
    assert kinds(watcher) == ["status_changed"]


def test_a_renewal_between_the_look_and_the_verdict_makes_the_verdict_stale() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["b"].watcher()
    cluster["b"].http_register(agent_id=ID)
    cluster["a"].port.hold("read")
    cluster["a"].port.hold("read_renewals")
    cluster.advance(SILENCE + 0.5)  # the leader has looked, and was told of the old sign of life
    assert kinds(watcher) == ["registered"]
    assert cluster["b"].http_heartbeat(ID).durable is True
    cluster["a"].port.release("read")
    cluster.advance(SILENCE - 0.2)
    assert kinds(watcher) == []
    cluster.advance(0.3)
    assert kinds(watcher) == ["status_changed"]


def test_a_verdict_waits_for_a_store_that_does_not_tell() -> None:
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
def test_when_the_leader_dies_another_hub_judges_and_nobody_is_judged_early_or_twice(
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
    beats(cluster, "d", 30.0, 2)
    cluster.kill("b")
    beats(cluster, "d", 30.0, 3)
    cluster.start("a")
    beats(cluster, "d", 30.0, 3)
    cluster.kill("a")
    beats(cluster, "dc", 30.0, 4)
    assert kinds(watcher) == ["registered"]
    cluster.advance(SILENCE - 0.06)
    assert kinds(watcher) == []
    cluster.advance(0.2)
    assert kinds(watcher) == ["status_changed"]
    cluster.advance(TTL + 1)
    assert kinds(watcher) == ["expired"]
    cluster.agree()


def test_two_hubs_that_both_believe_to_be_leader_judge_once() -> None:
    cluster = Cluster("b", "c")
    watcher = cluster["c"].watcher()
    cluster["c"].http_register(agent_id=ID)
    cluster["b"].port.hold("renew_lease")  # b hears of no other hub any more
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


# --- a hub dies ----------------------------------------------------------------------------------


def fleet(cluster: Cluster, name: str, agents: int) -> list[dict[str, Any]]:
    return [cluster[name].agent(f"{name}{n}")[1] for n in range(agents)]


def test_a_killed_hubs_agents_are_lost_unreachable_and_expired_each_exactly_once() -> None:
    cluster = Cluster("a", "b", "c")
    held = fleet(cluster, "b", 5)
    cluster.advance(0.5)
    watchers = [cluster[name].watcher() for name in "ac"]
    cluster.kill("b")
    assert cluster.until(lambda: len(watchers[0].sent) == 5, 20, 0.01) is not None
    cluster.settle()
    for watcher in watchers:
        assert sorted(watcher.events()) == [("lost", f"b{n}", "healthy") for n in range(5)]
    for each in held:
        assert cluster["a"].status(each["agent_id"]) == ("healthy", "lost")
    cluster.advance(5.0 - 0.1)
    assert watchers[0].sent == []
    cluster.advance(0.15)
    for watcher in watchers:
        assert sorted(watcher.events()) == [
            ("status_changed", f"b{n}", "unreachable") for n in range(5)
        ]
    assert cluster["a"].record(held[0]["agent_id"])["health"]["reason"] == "connection_lost"
    cluster.advance(TTL - 0.2)
    assert watchers[0].sent == []
    cluster.advance(0.4)
    for watcher in watchers:
        assert sorted(watcher.events()) == [("expired", f"b{n}", "unreachable") for n in range(5)]
    cluster.advance(200)
    assert [watcher.sent for watcher in watchers] == [[], []]
    cluster.agree()


def test_they_are_lost_when_the_hubs_lease_has_lapsed_and_not_before() -> None:
    cluster = Cluster("a", "b")
    fleet(cluster, "b", 1)
    cluster.advance(3.3)
    watcher = cluster["a"].watcher()
    cluster.kill("b")
    took = cluster.until(lambda: watcher.sent != [], 20, 0.01)
    assert took is not None
    assert HUB_LEASE - 1.0 <= took <= HUB_LEASE + HEARD


def test_whoever_resumed_elsewhere_before_is_not_spoken_of() -> None:
    cluster = Cluster("a", "b", "c")
    held = fleet(cluster, "b", 3)
    cluster.settle()
    watcher = cluster["a"].watcher()
    cluster.kill("b")
    cluster.advance(3)
    links = [cluster["ac"[n % 2]].resume(each)[0] for n, each in enumerate(held)]
    cluster.advance(44)
    assert kinds(watcher) == ["resumed"] * 3
    assert [link.close_code for link in links] == [None] * 3
    cluster.agree()


@pytest.mark.parametrize(("after", "told_of"), [(13.0, ["lost"]), (20.0, ["lost", "unreachable"])])
def test_whoever_resumes_later_is_put_right(after: float, told_of: list[str]) -> None:
    cluster = Cluster("a", "b", "c")
    (held,) = fleet(cluster, "b", 1)
    cluster.advance(1)
    watcher = cluster["a"].watcher()
    cluster.kill("b")
    cluster.advance(after)
    link, _ = cluster["c"].resume(held)
    cluster.advance(40)
    events = watcher.events()
    assert [kind if kind != "status_changed" else status for kind, _, status in events] == [
        *told_of,
        "resumed",
    ]
    assert link.close_code is None
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "websocket")


def test_a_killed_hubs_agents_are_never_picked_once_they_are_lost() -> None:
    cluster = Cluster("a", "b", "c")
    fleet(cluster, "b", 1)
    cluster.advance(1)
    cluster.kill("b")
    cluster.advance(HUB_LEASE + HEARD + 0.1)
    for name in "ac":
        assert cluster[name].connect().ask(op="pick")["code"] == "no_match"


def test_the_hub_that_judges_dies_while_it_does_and_another_one_goes_on() -> None:
    """The leader takes charge of a dead hub's agents, and is killed at every stage of that."""
    for stage in ("lost", "status_changed"):
        cluster = Cluster("a", "b", "c")
        fleet(cluster, "b", 3)
        cluster.advance(1)
        watcher = cluster["c"].watcher()
        cluster.kill("b")
        heard: list[str] = []
        while stage not in heard:
            cluster.advance(0.01)
            heard += kinds(watcher)
        cluster.kill("a")
        cluster.advance(HUB_LEASE + HEARD + 5.1 + TTL + 1)
        heard += kinds(watcher)
        assert sorted(heard) == ["expired"] * 3 + ["lost"] * 3 + ["status_changed"] * 3
        cluster.agree()


# --- a hub stops or restarts ---------------------------------------------------------------------


def test_a_drained_hubs_agents_have_the_heartbeat_timeout_to_resume_elsewhere() -> None:
    cluster = Cluster("a", "b")
    held, gone = fleet(cluster, "b", 2)
    cluster.advance(1)
    watcher = cluster["a"].watcher()
    cluster.drain("b")
    assert [link.close_code for link in watcher.world.links if link.close_code] == []
    assert kinds(watcher) == ["lost", "lost"]
    assert cluster["a"].record(held["agent_id"])["health"]["reason"] == "draining"
    cluster.advance(40)
    link, _ = cluster["a"].resume(held)
    assert link.close_code is None
    assert kinds(watcher) == ["resumed"]
    cluster.advance(3)
    assert kinds(watcher) == []
    cluster.advance(3)
    assert kinds(watcher) == ["status_changed"]
    assert cluster["a"].status(gone["agent_id"]) == ("unreachable", "lost")
    cluster.agree()


def test_a_rolling_restart_shows_no_agent_unreachable() -> None:
    cluster = Cluster("a", "b", "c")
    held = {each["agent_id"]: each for name in "abc" for each in fleet(cluster, name, 4)}
    watchers = []
    for name in "abc":
        others = [each for each in "abc" if each != name]
        watchers.append(cluster[others[0]].watcher())
        mine = [key for key in held if cluster[name].record(key)["hub"] == name]
        assert mine != []
        cluster.drain(name)
        for number, key in enumerate(mine):
            cluster.advance(0.5)
            _, held[key] = cluster[others[number % 2]].resume(held[key])
        cluster.start(name)
        cluster.advance(2)
        assert {status for _, _, status in watchers[-1].events()} == {"healthy"}
    cluster.agree()


def test_a_hub_that_restarts_under_its_name_in_time_gives_its_agents_time_to_come_back() -> None:
    cluster = Cluster("a", "b")
    back, gone = fleet(cluster, "b", 2)
    cluster.advance(1)
    watcher = cluster["a"].watcher()
    cluster.kill("b")
    cluster.advance(5)
    cluster.start("b")
    cluster.advance(35)
    assert kinds(watcher) == ["lost", "lost"]
    _, resumed = cluster["b"].resume(back)
    assert resumed["epoch"] == 2
    assert kinds(watcher) == ["resumed"]
    cluster.advance(SILENCE - 35 + 1.2)
    assert kinds(watcher) == ["status_changed"]
    assert cluster["a"].status(gone["agent_id"]) == ("unreachable", "lost")
    cluster.advance(TTL + 1)
    assert kinds(watcher).count("expired") == 1
    cluster.agree()
