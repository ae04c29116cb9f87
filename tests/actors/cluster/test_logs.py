"""A log with a gap, a new log, a log that went back: every hub ends with the same agents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cluster_world import Cluster, told
from tests.support.records import agent_id
from tests.support.world import FakeLink

SOON = 7.0
"""Seconds until all hubs agree again: they wait for agents that are not put back."""


def snapshot(link: FakeLink) -> tuple[str, int, list[str]]:
    """The log, revision and sorted names of the one snapshot that came, taken away."""
    chunks = link.take("snapshot")
    assert [each["last"] for each in chunks] == [False] * (len(chunks) - 1) + [True]
    names = [agent["name"] for each in chunks for agent in each["agents"]]
    return chunks[-1]["log"], chunks[-1]["revision"], sorted(names)


def followed(watcher: FakeLink, names: set[str]) -> set[str]:
    """The names that a watcher has listed, after a snapshot (if one came) and events in order."""
    revision = -1
    for each in watcher.sent:
        if each["op"] == "snapshot":
            names = names if revision == each["revision"] else set()
            names |= {agent["name"] for agent in each["agents"]}
        elif each["kind"] in ("unregistered", "expired"):
            assert each["revision"] > revision
            names.discard(each["agent"]["name"])
        else:
            assert each["revision"] > revision
            names.add(each["agent"]["name"])
        revision = each["revision"]
    watcher.sent.clear()
    return names


# --- a gap ---------------------------------------------------------------------------------------


def gap() -> tuple[Cluster, dict[str, FakeLink], FakeLink, FakeLink]:
    """Hub b sleeps; meanwhile so much happens that the log no longer holds all of it."""
    cluster = Cluster("a", "b")
    links = {name: cluster["a"].agent(name)[0] for name in ("stays", "goes")}
    links["mine"] = cluster["b"].agent("mine")[0]
    watchers = cluster["a"].watcher(), cluster["b"].watcher()
    cluster["b"].scheduler.stop()
    links["goes"].ask(op="unregister")
    links["new"] = cluster["a"].agent("new")[0]
    for number in range(10):
        links["stays"].ask(op="update", version=str(number))
    cluster.trim_log(3)
    cluster["b"].scheduler.go_on()
    cluster.advance(2)
    return cluster, links, *watchers


def test_a_hub_that_slept_past_the_log_loads_everything_under_the_same_log() -> None:
    cluster, links, *_ = gap()
    assert cluster["b"].supervisor.log == cluster.store.log_name == "log-1"
    cluster.agree()
    assert cluster["b"].connect().ask(op="find")["count"] == 3
    assert links["mine"].ask(op="update", version="2")["op"] == "updated"
    cluster.agree()


def test_only_watches_of_that_hub_start_over_with_a_snapshot() -> None:
    cluster, _, elsewhere, here = gap()
    assert snapshot(here) == ("log-1", cluster.store.revision, ["mine", "new", "stays"])
    assert here.sent == []
    assert elsewhere.take("snapshot") == []
    assert [each[1] for each in told(elsewhere)] == ["unregistered", "registered"] + [
        "updated"
    ] * 10
    assert [entry.kind for entry in cluster.store.log] == ["updated"] * 3, "that is all it tells"


def test_a_watch_from_within_the_gap_starts_over_and_one_from_after_it_resumes() -> None:
    cluster, links, *_ = gap()
    newest = cluster.store.revision
    for since, resumed in ((newest - 5, False), (newest, True)):
        link = cluster["b"].connect()
        assert link.ask(op="watch", since=since, log="log-1")["resumed"] is resumed
    links["stays"].ask(op="update", version="last")
    assert told(link) == [(newest + 1, "updated", "stays")]


def test_while_what_came_in_the_gap_is_loaded_watches_hear_nothing() -> None:
    cluster = Cluster("a", "b")
    link = cluster["a"].agent("a1")[0]
    watcher = cluster["b"].watcher()
    cluster["b"].scheduler.stop()
    for number in range(10):
        link.ask(op="update", version=str(number))
    cluster.trim_log(2)
    cluster["b"].port.hold("load")
    cluster["b"].scheduler.go_on()
    cluster.advance(1)
    link.ask(op="update", version="meanwhile")
    cluster.advance(1)
    late = cluster["b"].connect()
    assert late.ask(op="watch", since=cluster.store.revision, log="log-1")["resumed"] is False
    assert watcher.sent == late.take("snapshot") == []
    cluster["b"].port.release("load")
    cluster.settle()
    for each in (watcher, late):
        assert snapshot(each) == ("log-1", cluster.store.revision, ["a1"])
        assert each.take("event") == []
    link.ask(op="update", version="after")
    assert told(watcher) == told(late) == [(cluster.store.revision, "updated", "a1")]


def test_a_session_whose_agent_was_fenced_in_the_gap_is_closed() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["b"].agent("moves")
    other = cluster["a"].agent("other")[0]
    cluster["b"].scheduler.stop()
    cluster["a"].resume(held)
    for number in range(10):
        other.ask(op="update", version=str(number))
    cluster.trim_log(2)
    cluster["b"].scheduler.go_on()
    cluster.advance(1)
    assert link.close_code == 4409
    cluster.agree()


@pytest.mark.parametrize(("asleep", "code"), [(5, 1000), (90, 4408)])
def test_a_session_whose_agent_was_removed_in_the_gap_is_closed(asleep: int, code: int) -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["b"].agent("goes")
    other = cluster["a"].agent("other")[0]
    cluster["b"].scheduler.stop()
    if code == 1000:
        cluster["a"].remove(held["agent_id"])
    for number in range(asleep):
        cluster.advance(1)
        other.ask(op="update", version=str(number))
    cluster.trim_log(2)
    cluster["b"].scheduler.go_on()
    cluster.advance(2)
    assert link.close_code is not None
    assert not cluster["b"].knows(held["agent_id"])
    cluster.agree()


# --- a new log -----------------------------------------------------------------------------------


def world_of_three() -> tuple[Cluster, dict[str, Any], dict[str, FakeLink]]:
    cluster = Cluster("a", "b", "c")
    held = {name: cluster[name].agent(name)[1] for name in "abc"}
    held["h"] = {"agent_id": cluster["c"].http_register("h").agent_id}
    cluster.advance(1)
    return cluster, held, {name: cluster[name].watcher() for name in "abc"}


def test_when_the_store_lost_everything_all_agents_are_back_at_all_hubs_in_one_new_log() -> None:
    cluster, _, watchers = world_of_three()
    before = cluster.store.revision
    cluster.store.lose_everything()
    cluster.advance(SOON)
    assert cluster.store.log_name != "log-1"
    assert cluster.store.revision > before
    cluster.agree()
    for watcher in watchers.values():
        assert watcher.take("snapshot") != []
        assert followed(watcher, set("abch")) == set("abch")
    for hub in cluster.hubs.values():
        link = hub.connect()
        assert link.ask(op="find")["count"] == 4
        since = cluster.store.revision
        assert link.ask(op="watch", since=since, log=cluster.store.log_name)["resumed"] is True
        assert link.ask(op="watch", since=since, log="log-1")["resumed"] is False
        assert hub.links[0].close_code is None


def test_the_epochs_of_agents_that_were_put_back_go_on_rising() -> None:
    cluster, held, _ = world_of_three()
    _, again = cluster["b"].resume(held["a"])
    cluster.store.lose_everything()
    cluster.advance(SOON)
    assert cluster.store.record(held["a"]["agent_id"]).epoch == again["epoch"] == 2
    assert cluster["c"].resume(again)[1]["epoch"] == 3
    cluster.agree()


def test_a_hub_that_sleeps_through_the_loss_finds_the_new_log_of_another() -> None:
    cluster, held, watchers = world_of_three()
    cluster["c"].scheduler.stop()
    cluster.store.lose_everything()
    cluster.advance(SOON)
    log = cluster.store.log_name
    new = cluster["a"].agent("new")[0]
    cluster["b"].remove(held["b"]["agent_id"])
    cluster["c"].scheduler.go_on()
    cluster.advance(SOON)
    assert cluster.store.log_name == log, "it joins that log"
    cluster.agree()
    assert followed(watchers["c"], set()) == {"a", "c", "h", "new"}
    assert cluster["c"].links[0].close_code is None
    assert new.ask(op="update", version="2")["op"] == "updated"
    cluster.agree()


def test_an_agent_of_a_dead_hub_that_was_lost_with_the_store_is_put_back_and_judged() -> None:
    cluster, held, watchers = world_of_three()
    cluster.kill("c")
    cluster.advance(12)  # it is known to be dead
    cluster.store.lose_everything()
    cluster.advance(SOON)
    agent = held["c"]["agent_id"]
    assert [cluster[name].knows(agent) for name in "ab"] == [True, True]
    cluster.advance(46)  # the time that the store's loss took is charged to no agent
    assert cluster["a"].status(agent) == ("unreachable", "lost")
    cluster.advance(61)
    assert [cluster[name].knows(agent) for name in "ab"] == [False, False]
    assert "c" not in followed(watchers["a"], set("abch"))
    cluster.agree()


def test_an_agent_whose_hub_died_with_the_store_is_removed_at_all_hubs() -> None:
    """No hub that knows whether it lives is there to put it back: it has to register again."""
    cluster, held, watchers = world_of_three()
    cluster.kill("c")
    cluster.store.lose_everything()
    cluster.advance(SOON)
    cluster.agree()
    assert [cluster[name].knows(held["c"]["agent_id"]) for name in "ab"] == [False, False]
    for name in "ab":
        assert followed(watchers[name], set("abch")) == set("abh")
    assert cluster["b"].resume(held["c"])[1]["code"] == "not_found"


def test_a_loss_while_its_owner_is_dead_leaves_the_agent_as_it_is_stored() -> None:
    """It moved to hub c, which died; the store knows only that it was at hub b."""
    cluster, held, _ = world_of_three()
    replica = cluster.replica()
    cluster["c"].resume(held["b"])
    cluster.kill("c")
    cluster.fail_over(replica)
    cluster.advance(SOON)
    cluster.agree()
    assert cluster["a"].record(held["b"]["agent_id"])["hub"] == "b"
    cluster.advance(6)
    assert cluster["a"].status(held["b"]["agent_id"]) == ("unreachable", "lost")
    assert cluster["a"].resume(held["b"])[1]["resumed"] is True
    cluster.agree()


# --- a failover that lost acknowledged changes ---------------------------------------------------


def test_what_a_failover_lost_the_owners_put_back() -> None:
    cluster, held, watchers = world_of_three()
    replica = cluster.replica()
    link = cluster["a"].links[0]
    revision = link.ask(op="update", version="2", metadata={"k": 1})["revision"]
    session, moved = cluster["c"].resume(held["b"])
    new = cluster["b"].agent("new")[1]
    cluster.fail_over(replica)
    cluster.advance(SOON)
    record = cluster["c"].record(held["a"]["agent_id"])
    assert (record["version"], record["metadata"]) == ("2", {"k": 1})
    assert record["revision"] > revision
    assert cluster["a"].record(moved["agent_id"])["hub"] == "c"
    assert cluster.store.record(moved["agent_id"]).epoch == 2
    assert session.close_code is None, "it was, and is, the newest session"
    assert cluster["c"].knows(new["agent_id"])
    cluster.agree()
    for name, watcher in watchers.items():
        assert followed(watcher, set()) == {"a", "b", "c", "h", "new"}, name


def test_a_removal_that_a_failover_lost_does_not_bring_the_agent_back_for_good() -> None:
    cluster, held, _ = world_of_three()
    replica = cluster.replica()
    cluster["a"].links[0].ask(op="unregister")
    cluster.fail_over(replica)
    cluster.advance(SOON)
    cluster.agree()
    cluster.advance(60 + 60 + 10)  # no hub holds a session of it
    assert not any(hub.knows(held["a"]["agent_id"]) for hub in cluster.hubs.values())
    cluster.agree()


def passed() -> tuple[Cluster, dict[str, Any], dict[str, FakeLink], int]:
    """A failover lost what b and c had heard; a hears of less, goes on, and passes their revision.

    Only the key of the entry at b's revision tells b that this is another history.
    """
    cluster, held, watchers = world_of_three()
    cluster["a"].port.cut = True
    cluster.settle()
    replica = cluster.replica()
    cluster["b"].links[0].ask(op="update", version="acknowledged")
    cluster["b"].links[0].ask(op="update", metadata={"k": "acknowledged"})
    revision = cluster["b"].revision
    for name in "bc":
        cluster[name].scheduler.stop()
    cluster.fail_over(replica)
    cluster["a"].port.cut = False
    cluster.advance(2.5)
    for number in range(3):
        cluster["a"].links[0].ask(op="update", version=str(number))
    assert cluster.store.log_name == "log-1"
    assert cluster.store.revision > revision
    return cluster, held, watchers, revision


@pytest.mark.parametrize("first", ["b", "c"])
def test_another_history_is_noticed_by_its_key_even_when_its_revision_has_been_passed(
    first: str,
) -> None:
    cluster, held, watchers, _ = passed()
    cluster[first].scheduler.go_on()
    cluster.advance(SOON)
    cluster["c" if first == "b" else "b"].scheduler.go_on()
    cluster.advance(SOON)
    assert cluster.store.log_name != "log-1", "the old one tells two stories"
    cluster.agree()
    record = cluster["c"].record(held["a"]["agent_id"])
    assert record["version"] == "2"
    for watcher in watchers.values():
        assert followed(watcher, set("abch")) == set("abch")


def test_the_changes_that_were_lost_are_back_also_when_their_revision_has_been_passed() -> None:
    cluster, held, _, _ = passed()
    cluster["b"].scheduler.go_on()
    cluster["c"].scheduler.go_on()
    cluster.advance(SOON)
    record = cluster["a"].record(held["b"]["agent_id"])
    assert (record["version"], record["metadata"]) == ("acknowledged", {"k": "acknowledged"})
    assert cluster["b"].links[0].close_code is None
    cluster.agree()


def test_a_watch_of_the_other_history_does_not_resume_in_the_new_one() -> None:
    cluster, _, _, revision = passed()
    cluster["b"].scheduler.go_on()
    cluster["c"].scheduler.go_on()
    cluster.advance(SOON)
    for name in "abc":
        link = cluster[name].connect()
        assert link.ask(op="watch", since=revision, log="log-1")["resumed"] is False
        assert link.take("snapshot") != []


def test_an_agent_that_registered_anew_after_the_loss_is_not_overwritten_by_what_others_knew() -> (
    None
):
    """After a loss a newer registration may have the lower epoch: the later one prevails."""
    cluster, _, _ = world_of_three()
    identity = agent_id(77)
    cluster["a"].port.cut = True
    cluster.settle()
    replica = cluster.replica()
    for _ in range(3):
        cluster["b"].http_register("old", identity)
    for name in "bc":
        cluster[name].scheduler.stop()
    cluster.fail_over(replica)
    cluster["a"].port.cut = False
    cluster.advance(2.5)
    for number in range(5):
        cluster["a"].links[0].ask(op="update", version=str(number))
    link, _ = cluster["a"].agent("new", agent_id=identity)
    cluster["b"].scheduler.go_on()
    cluster["c"].scheduler.go_on()
    cluster.advance(SOON)
    assert link.close_code is None
    assert cluster["c"].record(identity)["name"] == "new"
    cluster.agree()
