"""Things that happen at two hubs within the same milliseconds, in every possible order."""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.permissions import ANYBODY
from tests.support.cluster_world import TICK, Cluster, answered, kinds
from tests.support.records import agent_id

ID = agent_id(1)
SILENCE = 45.0
TTL = 60.0
AROUND = [round(-0.004 + n * TICK / 2, 4) for n in range(20)]
"""Moments before and after the leader judges, which takes some 3 ms: a read and a write."""


def ask_around(cluster: Cluster, due: float, offset: float, **says: Any) -> Any:
    """A heartbeat over HTTP at hub b, so long after what is due `due` seconds from now."""
    outcomes: list[Any] = []
    cluster.advance(due + offset)
    metadata = says.get("metadata", {})
    cluster["b"].supervisor.heartbeat(ID, "healthy", metadata, outcomes.append, principal=ANYBODY)
    cluster.advance(0.5)
    (outcome,) = outcomes
    return outcome


@pytest.mark.parametrize("metadata", [{}, {"k": 1}], ids=["silent", "telling"])
@pytest.mark.parametrize("offset", AROUND)
def test_a_heartbeat_elsewhere_around_the_verdict_counts_and_the_agent_ends_healthy(
    offset: float, metadata: dict[str, Any]
) -> None:
    cluster = Cluster("a", "b", "c")
    watcher = cluster["c"].watcher()
    cluster["b"].http_register(agent_id=ID)
    outcome = ask_around(cluster, SILENCE - 0.05, offset, metadata=metadata)
    assert outcome.durable is True
    told = kinds(watcher)
    changed = told.count("status_changed")
    assert changed in (0, 2), "unreachable and back, or nothing"
    assert changed == 0 or offset >= 0, "never early"
    assert cluster["a"].status(ID) == ("healthy", "http")
    assert cluster["c"].record(ID).get("metadata", {}) == metadata
    cluster.advance(SILENCE - 0.7)
    assert kinds(watcher) == []
    cluster.advance(0.5)
    assert kinds(watcher) == ["status_changed"]
    cluster.agree()


@pytest.mark.parametrize("offset", AROUND)
def test_a_heartbeat_elsewhere_around_the_removal_saves_the_agent_or_is_not_found(
    offset: float,
) -> None:
    cluster = Cluster("a", "b", "c")
    watcher = cluster["c"].watcher()
    cluster["b"].http_register(agent_id=ID)
    cluster.until(lambda: len(watcher.sent) == 2, 50, TICK)
    assert kinds(watcher) == ["registered", "status_changed"]
    outcome = ask_around(cluster, TTL - 2 * TICK, offset)
    cluster.agree()
    if cluster["a"].knows(ID):
        assert outcome.durable is True
        assert kinds(watcher) == ["status_changed"]
        assert cluster["c"].status(ID) == ("healthy", "http")
        cluster.advance(SILENCE + 0.2)
        assert kinds(watcher) == ["status_changed"]
        cluster.advance(TTL + 0.2)
        assert kinds(watcher) == ["expired"]
    else:
        assert outcome.code == "not_found"
        assert kinds(watcher) == ["expired"]
        assert cluster["b"].http_register(agent_id=ID).epoch == 2
    cluster.agree()


@pytest.mark.parametrize("offset", AROUND)
def test_a_resumption_elsewhere_around_the_verdict_on_a_lost_agent_holds(offset: float) -> None:
    cluster = Cluster("a", "b", "c")
    link, held = cluster["a"].agent()
    watcher = cluster["c"].watcher()
    link.vanish()
    cluster.advance(5.0 - 0.05 + offset)
    other, answer = cluster["b"].resume(held)
    assert (answer["op"], answer["epoch"]) == ("registered", 2)
    told = kinds(watcher)
    assert told in (["lost", "resumed"], ["lost", "status_changed", "resumed"])
    assert len(told) == 2 or offset >= 0, "never early"
    cluster.advance(20)
    assert other.close_code is None
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "websocket")
    assert kinds(watcher) == []
    cluster.agree()


@pytest.mark.parametrize("offset", AROUND)
def test_a_resumption_and_an_end_at_two_hubs_have_one_order_for_all(offset: float) -> None:
    cluster = Cluster("a", "b", "c")
    link, held = cluster["a"].agent()
    watcher = cluster["c"].watcher()
    cluster.scheduler.call_at(
        cluster.scheduler.now() + 0.004 + offset, lambda: link.say(op="unregister", id="u")
    )
    cluster.advance(0.004)
    other, answer = cluster["b"].resume(held)
    cluster.advance(2)
    told = kinds(watcher)
    if answer["op"] == "registered":
        assert told == ["resumed"]
        assert (link.close_code, other.close_code) == (4409, None)
        assert not any(each["op"] == "unregistered" for each in link.sent)
    else:
        assert answer["code"] == "not_found"
        assert told == ["unregistered"]
        assert link.close_code == 1000
    cluster.agree()


# --- answers and hints that are lost -------------------------------------------------------------


def test_a_registration_that_hung_is_made_once_though_others_went_on_writing() -> None:
    cluster = Cluster("a", "b", "c")
    other = cluster["a"].agent("other")[0]
    watcher = cluster["c"].watcher()
    cluster.store.hold_next_commit = 0.6
    link = cluster["b"].connect()
    link.say(op="register", id="r", agent={"name": "n", "type": "cost"}, agent_id=ID)
    for number in range(20):
        cluster.advance(0.1)
        other.ask(op="update", version=str(number))
    (held,) = link.take("registered")
    assert held["epoch"] == cluster["c"].record(ID)["epoch"] == 1
    assert kinds(watcher).count("registered") == 1
    cluster.agree()


def test_a_hub_without_hints_hears_of_changes_with_the_next_roster() -> None:
    cluster = Cluster("a", "b")
    cluster["b"].port.hold("await_change")
    cluster.advance(2)
    link, held = cluster["a"].agent()
    cluster.advance(1.2)
    assert cluster["b"].knows(held["agent_id"])
    link.ask(op="update", version="2")
    cluster.advance(1.2)
    cluster.agree()


def test_a_hub_whose_hints_fail_follows_again_soon() -> None:
    cluster = Cluster("a", "b")
    cluster["b"].port.fail("await_change", 3)
    link, held = cluster["a"].agent()
    cluster.advance(3)
    link.say(op="update", id="u", version="2")
    assert cluster.until(lambda: answered(link, "u"), 1) is not None
    cluster.advance(0.012)
    assert cluster["b"].record(held["agent_id"])["version"] == "2"


def test_a_read_that_fails_is_tried_again_and_the_verdict_is_a_little_late() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["b"].watcher()
    cluster["b"].http_register(agent_id=ID)
    cluster["a"].port.fail("read", 3)
    cluster.advance(SILENCE)
    assert kinds(watcher) == ["registered"]
    cluster.advance(3 * 0.25 + 0.05)
    assert kinds(watcher) == ["status_changed"]


def test_what_others_do_while_a_new_log_is_loaded_is_not_undone_by_what_was_loaded() -> None:
    cluster = Cluster("a", "b")
    (stays, _), (goes, _) = cluster["a"].agent("stays"), cluster["a"].agent("goes")
    mine = cluster["b"].agent("mine")[0]
    cluster["b"].port.hold("load")
    cluster.store.lose_everything()
    cluster.advance(2)
    stays.ask(op="update", version="2")
    goes.ask(op="unregister")
    new = cluster["a"].agent("new")[0]
    cluster.advance(1)
    cluster["b"].port.release("load")
    cluster.advance(6)
    cluster.agree()
    assert len(cluster["b"].supervisor.directory) == 3
    assert [link.close_code for link in (stays, mine, new)] == [None] * 3


def test_an_entry_that_ran_out_while_its_hub_slept_past_the_log_is_put_back_for_all() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["b"].agent("mine")
    other = cluster["a"].agent("other")[0]
    cluster["b"].scheduler.stop()
    for number in range(5):
        other.ask(op="update", version=str(number))
    cluster.trim_log(2)
    del cluster.store.entries[held["agent_id"]]
    cluster["b"].scheduler.go_on()
    cluster.advance(7)
    assert link.close_code is None
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "websocket")
    cluster.agree()
