"""A store that came back older while no hub was alive: seen by what watchers know of the log."""

from __future__ import annotations

from typing import Any

import pytest

from actors.cluster.rollback import MOST_DOUBTED, TOLD
from actors.limits import Limits
from actors.rules.positions import LogPosition, PositionIssuer
from tests.support.cluster_world import Cluster, Hub, told
from tests.support.records import agent_id
from tests.support.world import FakeLink


def lives(cluster: Cluster, hub: str, updates: int, first: int = 1) -> FakeLink:
    """An agent with so many changes; its link."""
    link = cluster[hub].agent(f"a{first}", agent_id=agent_id(first))[0]
    for number in range(updates):
        link.ask(op="update", version=str(number))
    return link


def newest(watcher: FakeLink) -> dict[str, Any]:
    return [each for each in watcher.sent if "position" in each][-1]


class Story:
    """Hubs a and b, a copy of the store, more changes, all hubs dead, and the copy put back."""

    def __init__(self, *, lost: int = 5, hubs: int = 2, limits: Limits | None = None) -> None:
        self.cluster = cluster = Cluster(*"ab"[:hubs], limits=limits)
        lives(cluster, "a", 3)
        self.copy = cluster.replica()
        self.log = cluster.store.log_name
        self.watcher = cluster["a"].watcher()
        if lost:
            lives(cluster, "a", lost - 1, first=2)
        cluster.settle()
        self.known = newest(self.watcher) if lost else None
        for name in list(cluster.hubs):
            cluster.kill(name)

    def go_back(self) -> None:
        self.cluster.fail_over(self.copy)
        self.cluster.store.leases.clear()

    def start(self, *names: str) -> list[Hub]:
        hubs = [self.cluster.start(name) for name in names]
        self.cluster.advance(1.5)
        return hubs

    @property
    def revision(self) -> int:
        return int(self.known["revision"])  # type: ignore[index]

    @property
    def position(self) -> str:
        return str(self.known["position"])  # type: ignore[index]


@pytest.mark.parametrize("names", ["a", "ab"])
@pytest.mark.parametrize("grown", [0, 2, 20], ids=["behind", "less", "beyond"])
def test_a_watch_starts_over_whatever_the_log_has_become(names: str, grown: int) -> None:
    story = Story()
    story.go_back()
    hub = story.start(*names)[-1]
    for number in range(grown):
        lives(story.cluster, names[0], 0, first=10 + number)
    story.cluster.settle()
    assert hub.supervisor.log == story.log
    watcher = hub.connect()
    assert watcher.watch(position=story.position)["resumed"] is False
    story.cluster.advance(7)
    (found,) = hub.observer.rollbacks
    assert f"revision {story.revision} of log {story.log}" in found
    assert hub.supervisor.log != story.log, "a new log was begun"
    assert hub.supervisor.rollback == found
    assert hub.supervisor.stats().rollbacks == 1
    assert hub.observer.new_logs == [found], "the reason is told"
    *_, last = watcher.take("snapshot")
    assert last["log"] == hub.supervisor.log
    assert last["revision"] >= story.revision, "revisions never go back"
    listed = {agent["name"] for agent in last["agents"]}
    assert "a2" not in listed, "its registration was lost"
    assert {"a1"} <= listed
    story.cluster.agree()


@pytest.mark.parametrize("names", ["a", "ab"])
def test_watches_that_cannot_prove_anything_start_over_too(names: str) -> None:
    story = Story(lost=2)
    story.go_back()
    hub = story.start(*names)[0]
    lives(story.cluster, names[-1], 10, first=3)
    living = hub.watcher()
    story.cluster.settle()
    assert hub.connect().watch(position=story.position)["resumed"] is False
    story.cluster.advance(7)
    assert living.take("snapshot"), "it lives, and knows of nothing"
    late = hub.connect()
    assert late.watch(since=story.revision, log=story.log)["resumed"] is False


def test_a_hub_alone_whose_log_is_behind_answers_at_once() -> None:
    story = Story()
    story.go_back()
    (hub,) = story.start("a")
    link = hub.connect()
    link.say(op="watch", id=1, position=story.position)
    assert story.cluster.until(lambda: bool(link.sent), 1.0) < 0.02  # type: ignore[operator]
    assert link.sent[0]["resumed"] is False


def test_a_copy_from_before_the_log_began_is_seen() -> None:
    cluster = Cluster("a")
    lives(cluster, "a", 3)
    copy, first = cluster.replica(), cluster.store.log_name
    cluster["a"].supervisor.replica.committer.begin_new_log("asked for")
    cluster.advance(7)
    lives(cluster, "a", 3, first=2)
    watcher = cluster["a"].connect()
    known = watcher.watch()
    assert known["log"] != first
    cluster.kill("a")
    cluster.fail_over(copy)
    cluster.store.leases.clear()
    hub = cluster.start("a")
    assert hub.supervisor.log == first
    assert hub.connect().watch(position=known["position"])["resumed"] is False
    cluster.advance(7)
    assert len(hub.observer.rollbacks) == 1
    assert hub.supervisor.log not in (first, known["log"])
    assert hub.revision >= known["revision"]


def test_an_emptied_store_has_another_log() -> None:
    story = Story()
    story.cluster.store.lose_everything()
    (hub,) = story.start("a")
    assert hub.connect().watch(position=story.position)["resumed"] is False


@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_restart_that_lost_nothing_goes_on_resuming(names: str) -> None:
    story = Story()
    hub = story.start(*names)[-1]
    watcher = hub.connect()
    assert watcher.watch(position=story.position)["resumed"] is True
    story.cluster.advance(7)
    assert hub.observer.rollbacks == []
    assert hub.supervisor.rollback is None
    assert hub.supervisor.log == story.log
    assert watcher.take("snapshot") == []


@pytest.mark.parametrize(
    "position",
    [
        PositionIssuer("log-1", b"of another cluster").issue(2**40, "x"),
        PositionIssuer("log-1", b"secret").issue(999, "x")[:-16] + "0" * 16,
        PositionIssuer("another", b"secret").issue(2, "x"),
    ],
    ids=["another cluster's", "forged", "an older log's"],
)
def test_what_proves_nothing_changes_nothing(position: str) -> None:
    story = Story()
    (hub,) = story.start("a")
    assert hub.connect().watch(position=position)["resumed"] is False
    story.cluster.advance(7)
    assert hub.observer.rollbacks == []
    assert hub.supervisor.log == story.log


def test_many_watchers_with_the_same_news_are_one_finding() -> None:
    story = Story(lost=6)
    events = story.watcher.take("event")
    story.go_back()
    (hub,) = story.start("a")
    links = [hub.connect() for _ in events * 3]
    for link, event in zip(links, events * 3, strict=True):
        link.say(op="watch", id=1, position=event["position"])
    story.cluster.advance(7)
    for link in links:
        assert link.take("watching")[0]["resumed"] is False
        *_, last = link.take("snapshot")
        assert last["log"] == hub.supervisor.log
    assert len(hub.observer.rollbacks) == 1
    again = hub.connect()
    assert again.watch(position=events[-1]["position"])["resumed"] is False
    story.cluster.advance(7)
    assert len(hub.observer.rollbacks) == 1


def test_what_a_hub_noticed_by_itself_is_not_found_again() -> None:
    story = Story()
    cluster = story.cluster
    hub = story.start("a")[0]
    watcher = hub.watcher()
    copy = cluster.replica()
    link = lives(cluster, "a", 4, first=3)
    known = newest(watcher)["position"]
    cluster.fail_over(copy)
    link.say(op="heartbeat", id=9)
    cluster.advance(7)
    assert hub.supervisor.log != story.log
    assert hub.connect().watch(position=known)["resumed"] is False
    cluster.advance(7)
    assert hub.observer.rollbacks == []


def test_agents_live_on_through_the_new_log_and_their_changes_are_told() -> None:
    story = Story()
    story.go_back()
    hub = story.start("a")[0]
    link = lives(story.cluster, "a", 0, first=3)
    watcher = hub.connect()
    watcher.watch(position=story.position)
    answers = [link.ask(op="update", version=str(number))["op"] for number in range(5)]
    assert answers == ["updated"] * 5
    story.cluster.advance(7)
    watcher.sent.clear()
    assert link.ask(op="update", version="last")["log"] == hub.supervisor.log
    assert [each[1:] for each in told(watcher)] == [("updated", "a3")]
    story.cluster.agree()


class LostRegistration:
    """An agent registered, a copy was made, it registered again, and the copy came back."""

    def __init__(self, names: str = "a") -> None:
        self.cluster = cluster = Cluster(*names)
        first = cluster["a"].agent("a1", agent_id=agent_id(1))[1]
        copy = cluster.replica()
        cluster.advance(1)
        self.held = cluster["a"].agent("a1", agent_id=agent_id(1))[1]
        cluster["a"].resume(self.held)
        cluster.settle()
        for name in names:
            cluster.kill(name)
        cluster.fail_over(copy)
        cluster.store.leases.clear()
        # As Redis does: no epoch that was given before is given again.
        cluster.store.epochs_by_clock = True
        for name in names:
            cluster.start(name)
        cluster.advance(1.5)
        self.first = first

    @property
    def hub(self) -> Hub:
        return list(self.cluster.hubs.values())[-1]


@pytest.mark.parametrize("names", ["a", "ab"])
def test_an_agent_whose_registration_was_lost_registers_anew_and_is_told_of(names: str) -> None:
    story = LostRegistration(names)
    hub, old = story.hub, story.hub.supervisor.log
    link, answer = hub.resume(story.held)
    assert (answer["op"], answer["code"]) == ("error", "not_found")
    story.cluster.advance(7)
    (found,) = hub.observer.rollbacks
    assert agent_id(1) in found
    assert hub.supervisor.log != old
    spec = {"name": "a1", "type": "cost"}
    again = link.ask(op="register", agent=spec, agent_id=agent_id(1))
    assert again["op"] == "registered"
    assert again["epoch"] > story.held["epoch"]
    _, answer = hub.resume(story.first)
    assert answer["code"] == "fenced", "an older program stays fenced off"
    _, answer = hub.resume(story.held)
    assert answer["code"] == "fenced"
    story.cluster.advance(7)
    assert len(hub.observer.rollbacks) == 1


def test_while_the_store_is_away_a_later_registration_is_not_judged() -> None:
    story = LostRegistration()
    story.hub.port.cut = True
    story.cluster.advance(4)
    assert story.hub.supervisor.store_is_away
    link = story.hub.connect()
    token = {each: story.held[each] for each in ("agent_id", "session_token")}
    link.say(op="resume", id=1, **token)
    story.cluster.advance(4)
    (answer,) = link.take("error")
    assert (answer["code"], answer["retryable"]) == ("unavailable", True)
    assert story.hub.observer.rollbacks == []


def test_the_token_of_the_registration_that_came_back_is_good() -> None:
    story = LostRegistration()
    _, answer = story.hub.resume(story.first)
    assert answer["resumed"] is True
    assert answer["session_token"] == story.first["session_token"]
    assert story.hub.observer.rollbacks == []


def test_the_warning_ends_after_a_day() -> None:
    story = Story()
    story.go_back()
    (hub,) = story.start("a")
    hub.connect().watch(position=story.position)
    story.cluster.settle()
    began, _ = hub.supervisor.replica.rollback._told or (0.0, "")
    hub.supervisor.replica.rollback._told = (began - TOLD + 1, "found")
    assert hub.supervisor.rollback == "found"
    story.cluster.advance(2)
    assert hub.supervisor.rollback is None


def test_while_the_store_is_away_nothing_is_found() -> None:
    story = Story()
    story.go_back()
    (hub,) = story.start("a")
    hub.port.cut = True
    link = hub.connect()
    link.say(op="watch", id=1, position=story.position)
    story.cluster.advance(3)
    assert link.take("watching")[0]["resumed"] is False
    assert hub.observer.rollbacks == []


SHORT_LOG = Limits(log_length=1000, max_log_bytes=1)
"""What is kept of the log does not reach back to what was lost."""


@pytest.mark.parametrize("limits", [None, SHORT_LOG], ids=["long log", "short log"])
@pytest.mark.parametrize("grown", [0, 2, 20], ids=["behind", "less", "beyond"])
def test_what_a_watcher_brought_while_the_store_was_away_is_judged_when_it_answers(
    grown: int, limits: Limits | None
) -> None:
    story = Story(limits=limits)
    story.go_back()
    a, b = story.start("a", "b")
    a.port.cut = True
    story.cluster.advance(4)
    assert a.supervisor.store_is_away
    watcher = a.connect()
    assert watcher.watch(position=story.position)["resumed"] is False
    for number in range(grown):
        lives(story.cluster, "b", 0, first=10 + number)
    story.cluster.advance(1)
    assert a.observer.rollbacks == []
    a.port.cut = False
    story.cluster.advance(10)
    (found,) = a.observer.rollbacks
    assert f"revision {story.revision} of log {story.log}" in found
    assert b.observer.rollbacks == []
    assert a.supervisor.log != story.log
    *_, last = watcher.take("snapshot")
    assert last["log"] == a.supervisor.log
    story.cluster.agree()


def test_a_hub_that_lags_behind_judges_by_what_it_then_folds() -> None:
    story = Story(limits=SHORT_LOG)
    story.go_back()
    a, _ = story.start("a", "b")
    a.port.cut = True
    for number in range(20):
        lives(story.cluster, "b", 0, first=10 + number)
    a.port.cut = False
    assert a.revision < story.revision
    assert not a.supervisor.store_is_away
    assert a.connect().watch(position=story.position)["resumed"] is False
    story.cluster.advance(7)
    assert len(a.observer.rollbacks) == 1


@pytest.mark.parametrize("limits", [None, SHORT_LOG], ids=["long log", "short log"])
def test_a_newer_position_brought_while_the_store_was_away_proves_nothing(
    limits: Limits | None,
) -> None:
    cluster = Cluster("a", "b", limits=limits)
    cluster["a"].port.cut = True
    cluster.advance(4)
    elsewhere = cluster["b"].watcher()
    lives(cluster, "b", 5)
    known = newest(elsewhere)
    lives(cluster, "b", 5, first=2)
    hub, log = cluster["a"], cluster["a"].supervisor.log
    assert hub.supervisor.revision < known["revision"]
    assert hub.connect().watch(position=known["position"])["resumed"] is False
    hub.port.cut = False
    cluster.advance(10)
    assert hub.observer.rollbacks == []
    assert hub.supervisor.log == log
    assert hub.supervisor.replica.rollback._doubted == {}, "it has been judged"
    cluster.agree()


def test_the_positions_that_wait_are_bounded() -> None:
    rollback = Cluster("a")["a"].supervisor.replica.rollback
    for number in range(MOST_DOUBTED + 10):
        rollback.doubt(LogPosition("log-1", 100 + number, "x"))
    assert len(rollback._doubted) == MOST_DOUBTED
