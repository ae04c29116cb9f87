"""Any hub answers for all agents: one directory, one order, one series of revisions."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from homeport_protocol.timestamps import format_timestamp
from tests.support.cluster_world import TICK, Cluster, answered, told
from tests.support.world import FakeLink


def test_any_hub_lists_finds_gets_and_picks_all_agents() -> None:
    cluster = Cluster("a", "b", "c")
    (_, first), (_, second) = cluster["a"].agent("a1", type="x"), cluster["b"].agent("b1")
    third = cluster["c"].http_register("c1", type="y").agent_id
    cluster.agree()
    for hub in cluster.hubs.values():
        link = hub.connect()
        assert link.ask(op="find")["count"] == 3
        (found,) = link.ask(op="find", filter={"type": "x"})["agents"]
        assert found["id"] == first["agent_id"]
        assert link.ask(op="get", agent_id=second["agent_id"])["agent"]["hub"] == "b"
        assert link.ask(op="pick", filter={"type": "y"})["agent"]["id"] == third


def test_a_change_is_seen_at_once_by_its_hub_and_within_milliseconds_by_all_others() -> None:
    cluster = Cluster("a", "b", "c")
    link, held = cluster["a"].agent()
    cluster.advance(7.3)  # nothing is under way
    for number in range(20):
        link.say(op="update", id=number, version=str(number))
        cluster.until(lambda number=number: answered(link, number), 1)
        assert cluster["a"].record(held["agent_id"])["version"] == str(number)
        cluster.advance(0.012)
        assert cluster["b"].record(held["agent_id"])["version"] == str(number)
        assert cluster["c"].record(held["agent_id"])["version"] == str(number)
        cluster.advance(number * TICK)


def test_a_busy_hub_hears_of_changes_as_soon_as_an_idle_one() -> None:
    """The answers to its commits bring what other hubs wrote in between."""
    cluster = Cluster("a", "b")
    busy = [cluster["b"].agent(f"b{n}")[0] for n in range(5)]
    link, held = cluster["a"].agent()
    for number in range(20):
        for each in busy:
            each.say(op="update", id=number, version=str(number))
        link.say(op="update", id=number, version=str(number))
        cluster.until(lambda number=number: answered(link, number), 1)
        cluster.advance(0.012)
        assert cluster["b"].record(held["agent_id"])["version"] == str(number)


def test_interleaved_commits_of_two_busy_hubs_make_one_history_for_watchers_of_both() -> None:
    cluster = Cluster("a", "b")
    chance = random.Random(5)
    watchers = [cluster[name].watcher() for name in ("a", "b")]
    links = [cluster[name].agent(f"{name}{n}")[0] for name in ("a", "b") for n in range(6)]
    for number in range(300):
        chance.choice(links).say(op="update", id=number, version=str(number))
        cluster.advance(chance.choice((0, 0, TICK / 2, TICK, 3 * TICK)))
    cluster.advance(1)
    histories = [watcher.take("event") for watcher in watchers]
    assert histories[0] == histories[1]
    log = cluster.store.log
    assert [(each["revision"], each["kind"]) for each in histories[0]] == [
        (entry.revision, entry.kind) for entry in log
    ]
    assert [each["agent"] for each in histories[0]] == [
        msgspec.json.decode(entry.record) for entry in log
    ]
    writers = [entry.key.partition("/")[0] for entry in log]
    changes = sum(one != other for one, other in pairwise(writers))
    assert changes > 50, "they did interleave"
    cluster.agree()


def test_each_agents_answers_and_changes_keep_their_order_across_hubs() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent()
    other = cluster["b"].agent("b1")[0]
    for number in range(50):
        link.say(op="update", id=number, version=str(number))
        other.say(op="update", id=number, version=str(number))
    cluster.advance(1)
    updated = link.take("updated")
    assert [each["id"] for each in updated] == list(range(50))
    revisions = [each["revision"] for each in updated]
    assert revisions == sorted(set(revisions))
    assert cluster["b"].record(held["agent_id"])["revision"] == revisions[-1]


# --- watches -------------------------------------------------------------------------------------


def resumed(cluster: Cluster, name: str, since: int) -> FakeLink:
    link = cluster[name].connect()
    link.say(op="watch", id="w", since=since, log=cluster.store.log_name)
    return link


def test_a_watch_resumes_at_another_hub_from_any_revision_without_gap_or_repetition() -> None:
    cluster = Cluster("a", "b")
    links = [cluster[name].agent(name)[0] for name in ("a", "b")]
    for number in range(10):
        links[number % 2].ask(op="update", version=str(number))
    newest = cluster.store.revision
    for since in range(newest + 1):
        for name in ("a", "b"):
            link = resumed(cluster, name, since)
            cluster.settle()
            (watching,) = link.take("watching")
            assert (watching["resumed"], watching["revision"]) == (True, newest)
            assert [each[0] for each in told(link)] == list(range(since + 1, newest + 1))
            assert link.take("snapshot") == []


def test_a_watch_resumes_at_another_hub_that_has_not_heard_yet_of_what_it_was_told() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["a"].watcher()
    link, _ = cluster["a"].agent()
    told(watcher)
    for number in range(10):
        link.say(op="update", id=number, version=str(number))
        cluster.until(lambda: watcher.sent != [], 1)
        ((revision, _, _),) = told(watcher)
        assert cluster["b"].revision < revision
        other = resumed(cluster, "b", revision)
        cluster.settle()
        (watching,) = other.take("watching")
        assert watching["resumed"] is True
        assert watching["revision"] >= revision
        assert told(other) == [], "it has been told that already"
        link.ask(op="update", version=f"{number}+")
        assert told(other) == [(revision + 1, "updated", "a1")]
        told(watcher)


def test_a_watch_that_moves_between_hubs_under_load_misses_nothing_and_hears_nothing_twice() -> (
    None
):
    cluster = Cluster("a", "b", "c")
    chance = random.Random(7)
    links = [cluster[name].agent(f"{name}{n}")[0] for name in "abc" for n in range(3)]
    since, heard = cluster["a"].revision, []
    watcher = resumed(cluster, "a", since)
    for number in range(400):
        chance.choice(links).say(op="update", id=number, version=str(number))
        cluster.advance(chance.choice((0, TICK / 2, TICK, 2 * TICK)))
        if number % 9 == 0:
            heard += [each[0] for each in told(watcher)]
            watcher.vanish()
            watcher = resumed(cluster, chance.choice("abc"), heard[-1] if heard else since)
    cluster.advance(1)
    heard += [each[0] for each in told(watcher)]
    assert heard == list(range(since + 1, cluster.store.revision + 1))


def test_a_watch_beyond_all_that_was_ever_written_gets_a_snapshot() -> None:
    cluster = Cluster("a", "b")
    cluster["a"].agent()
    link = resumed(cluster, "b", 100)
    cluster.settle()
    assert link.take("watching")[0]["resumed"] is False
    assert link.take("snapshot")[0]["revision"] == 1


# --- last_seen -----------------------------------------------------------------------------------


def heartbeats(kind: str, cluster: Cluster) -> tuple[str, Any]:
    """An agent's id, and what makes it give hub b a sign of life."""
    hub = cluster["b"]
    if kind == "websocket":
        link, held = hub.agent()
        return held["agent_id"], lambda: link.ask(op="heartbeat")
    agent_id = cluster["a"].http_register().agent_id
    return agent_id, lambda: hub.http_heartbeat(agent_id)


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_last_seen_lags_at_most_five_seconds_in_lists_and_not_at_all_in_get(kind: str) -> None:
    cluster = Cluster("a", "b", "c")
    agent_id, beat = heartbeats(kind, cluster)
    watcher = cluster["c"].watcher()
    given: list[tuple[float, str]] = []
    for _ in range(60):
        at, seen = cluster.scheduler.now(), format_timestamp(cluster.scheduler.wall())
        beat()
        given.append((at, seen))
        for hub in cluster.hubs.values():
            assert hub.look_up(agent_id)["last_seen"] == seen
            owed = [each for at, each in given if at <= cluster.scheduler.now() - 5.0]
            listed = hub.record(agent_id)["last_seen"]
            assert not owed or listed >= owed[-1]
        cluster.advance(0.7)
    assert told(watcher) == [], "a heartbeat that says nothing new is no event"


def test_last_seen_never_goes_back_whichever_hub_hears_of_it() -> None:
    cluster = Cluster("a", "b", "c")
    agent_id = cluster["c"].http_register().agent_id
    newest = dict.fromkeys("abc", "")
    for number in range(100):
        cluster["abc"[number * 7 % 3]].http_heartbeat(agent_id)
        cluster.advance(0.4)
        for name in "abc":
            seen = cluster[name].record(agent_id)["last_seen"]
            assert seen >= newest[name]
            newest[name] = seen
    assert cluster.store.record(agent_id).last_seen >= max(newest.values())


def test_get_answers_from_memory_while_the_store_is_away() -> None:
    cluster = Cluster("a", "b")
    _, held = cluster["a"].agent()
    cluster["b"].port.cut = True
    link = cluster["b"].connect()
    link.say(op="get", id="g", agent_id=held["agent_id"])
    assert cluster.until(lambda: answered(link, "g"), 1.1) is not None
    cluster.advance(3)
    assert link.ask(op="get", agent_id=held["agent_id"])["agent"]["name"] == "a1"
    assert link.ask(op="find")["count"] == 1


def test_get_finds_what_another_hub_was_told_a_moment_ago() -> None:
    cluster = Cluster("a", "b")
    link = cluster["a"].connect()
    link.say(op="register", id="r", agent={"name": "a1", "type": "cost"})
    cluster.until(lambda: answered(link, "r"), 1)
    (held,) = link.take("registered")
    assert not cluster["b"].knows(held["agent_id"])
    other = cluster["b"].connect()
    answer = other.ask(op="get", agent_id=held["agent_id"])
    assert answer["agent"]["epoch"] == 1


def test_a_hub_that_is_alone_announces_no_renewals() -> None:
    cluster = Cluster("a")
    link, _ = cluster["a"].agent()
    link.ask(op="heartbeat")
    assert cluster.store.renewals == []
    cluster.start("b")
    cluster.advance(1.5)
    at = format_timestamp(cluster.scheduler.wall())
    link.ask(op="heartbeat")
    assert [each[3] for each in cluster.store.renewals] == [at]
