"""Hubs that die, stop or restart: what becomes of the agents whose sessions they held."""

from __future__ import annotations

from typing import Any

import pytest

from actors.timing import HUB_LEASE
from tests.support.cluster_world import HEARD, Cluster, kinds

SILENCE = 45.0
TTL = 60.0


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


def test_agents_that_resumed_elsewhere_before_are_not_reported_lost() -> None:
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
def test_an_agent_that_resumes_later_is_reported_resumed(after: float, told_of: list[str]) -> None:
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


def test_nor_are_they_picked_by_the_hub_that_has_yet_to_write_that() -> None:
    cluster = Cluster("a", "b")
    (held,) = fleet(cluster, "b", 1)
    cluster.advance(1)
    cluster["a"].port.hold("commit")
    cluster.kill("b")
    cluster.advance(HUB_LEASE + HEARD + 0.1)
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "websocket")
    assert cluster["a"].connect().ask(op="pick")["code"] == "no_match"


def test_the_hub_that_judges_dies_while_it_does_and_another_one_goes_on() -> None:
    """The leader takes over a dead hub's agents, and is killed at every stage of that."""
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
    assert kinds(watcher) == []
    assert cluster["a"].record(held["agent_id"])["health"]["reason"] == "draining"
    assert cluster["a"].connect().ask(op="pick", filter={})["code"] == "no_match"
    cluster.advance(4.9)
    assert kinds(watcher) == []
    cluster.advance(1.2)  # the resume window, since the other hub knows that it is gone
    assert kinds(watcher) == ["lost", "lost"]
    cluster.advance(33.9)
    link, _ = cluster["a"].resume(held)
    assert link.close_code is None
    assert kinds(watcher) == ["resumed"]
    cluster.advance(3)
    assert kinds(watcher) == []
    cluster.advance(3)
    assert kinds(watcher) == ["status_changed"]
    assert cluster["a"].status(gone["agent_id"]) == ("unreachable", "lost")
    cluster.agree()


def test_watches_hear_of_no_loss_of_what_is_back_within_the_resume_window() -> None:
    cluster = Cluster("a", "b")
    (held,) = fleet(cluster, "b", 1)
    cluster.advance(1)
    watcher = cluster["a"].watcher()
    well = cluster["a"].watcher(status="healthy")
    cluster.drain("b")
    cluster.advance(4)
    assert cluster["a"].connect().ask(op="pick", filter={})["code"] == "no_match"
    link, answer = cluster["a"].resume(held)
    assert answer["resumed"] is True
    cluster.advance(10)
    assert link.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert kinds(watcher) == ["resumed"]
    assert kinds(well) == ["resumed"]
    late = cluster["a"].connect()
    late.ask(op="watch", since=0, log=answer["log"])
    late.take("watching")
    assert kinds(late) == ["registered", "resumed"]  # the same, again
    cluster.agree()


def test_a_draining_hub_takes_no_session_and_a_draining_leader_no_registration() -> None:
    cluster = Cluster("a", "b")
    (held,) = fleet(cluster, "b", 1)
    cluster["a"].supervisor.drain()
    assert cluster["a"].resume(held)[1]["code"] == "unavailable"
    link = cluster["a"].connect()
    assert link.ask(op="register", agent={"name": "n", "type": "cost"})["code"] == "unavailable"
    assert cluster["a"].http_register("h").code == "unavailable"
    assert cluster["b"].links[0].close_code is None
    assert cluster["b"].record(held["agent_id"])["epoch"] == 1


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


def test_a_hub_that_restarts_when_its_agents_were_lost_already_gives_them_time_too() -> None:
    cluster = Cluster("a", "b")
    fleet(cluster, "b", 1)
    cluster.advance(1)
    watcher = cluster["a"].watcher()
    cluster.kill("b")
    assert cluster.until(lambda: watcher.sent != [], 20, 0.01) is not None
    cluster.start("b")
    cluster.advance(SILENCE - HEARD)
    assert kinds(watcher) == ["lost"]
    cluster.advance(HEARD + 1.2)
    assert kinds(watcher) == ["status_changed"]
    cluster.advance(TTL + 1)
    assert kinds(watcher) == ["expired"]
    cluster.agree()


def test_a_hub_that_restarts_when_its_agents_are_unreachable_removes_them_once() -> None:
    cluster = Cluster("a", "b")
    fleet(cluster, "b", 3)
    cluster.advance(1)
    watcher = cluster["a"].watcher()
    cluster.kill("b")
    cluster.advance(20)
    cluster.start("b")
    cluster.advance(TTL + SILENCE)
    assert sorted(kinds(watcher)) == ["expired"] * 3 + ["lost"] * 3 + ["status_changed"] * 3
    cluster.agree()
