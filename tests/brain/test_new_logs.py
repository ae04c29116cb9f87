"""What simulations found of new logs: everybody ends with the same agents, and in finite time."""

from __future__ import annotations

from actors.timing import Timing
from tests.brain.cluster_world import Cluster, told
from tests.brain.records import agent_id

A, B = agent_id(1), agent_id(2)
SOON = 9.0
"""Seconds in which idle hubs notice, and those that nobody puts back are waited for."""
TIMING = Timing(heartbeat_interval=3.0, heartbeat_timeout=5.0, lease_ttl=8.0, resume_window=1.0)


def test_an_agent_that_ran_out_while_its_hub_was_down_is_forgotten_by_all() -> None:
    """The hub is back before its lease lapses: it is in charge, and knows nothing of the agent."""
    cluster = Cluster("a", "b", timing=TIMING)
    link, _ = cluster["b"].agent("brief", agent_id=A)
    cluster["a"].agent("stays", agent_id=B)
    link.answers_pings = False
    watcher = cluster["a"].watcher()
    cluster.advance(0.5)
    cluster.kill("b")
    cluster.advance(8.0)
    cluster.start("b")
    cluster.advance(SOON)
    assert not cluster["a"].knows(A)
    cluster.agree()
    assert [each["agents"][0]["name"] for each in watcher.take("snapshot")] == ["stays"]


def test_what_changes_between_loading_and_the_new_log_is_not_missed() -> None:
    cluster = Cluster("a", "b", timing=TIMING)
    brief, _ = cluster["b"].agent("brief", agent_id=A)
    leaves, _ = cluster["a"].agent("leaves", agent_id=B)
    cluster["a"].agent("stays")
    brief.answers_pings = False
    cluster.advance(0.5)
    cluster.kill("b")
    cluster.advance(8.0)
    # It opens the store, loads (a millisecond later) and finds a ghost, and begins a new log.
    at = cluster.scheduler.now() + 0.0015
    cluster.scheduler.call_at(at, lambda: leaves.say(op="unregister", id="u"))
    cluster.start("b")
    cluster.advance(SOON)
    assert leaves.take("unregistered")
    assert not cluster["b"].knows(B)
    cluster.agree()


def test_an_agent_that_is_put_back_by_a_heartbeat_is_an_entry_of_the_new_log() -> None:
    """The first word of it in the new log must reach all hubs, whoever was asked."""
    cluster = Cluster("a", "b", "c")
    cluster["a"].http_register("caller", agent_id=A)
    cluster.settle()
    cluster.kill("a")
    cluster.store.lose_everything()
    cluster.advance(1.2)
    assert cluster["c"].http_heartbeat(A).durable
    cluster.advance(SOON)
    assert cluster["b"].knows(A)
    assert cluster["c"].knows(A)
    assert A in cluster.store.entries
    assert any(A.encode() in entry.record for entry in cluster.store.log)
    cluster.agree()


def test_what_may_not_be_put_back_into_a_new_log_is_forgotten_at_once() -> None:
    """It had been removed, in a part of the old log that nobody tells of any more."""
    cluster = Cluster("a", "b")
    _, held = cluster["a"].agent("gone", agent_id=A)
    stays, _ = cluster["b"].agent("stays", agent_id=B)
    cluster.settle()
    cluster["a"].port.cut = True
    link, _ = cluster["b"].resume(held)
    link.ask(op="unregister")
    cluster.store.log.clear()
    cluster.store.log_name = "another"
    cluster["a"].port.cut = False
    stays.say(op="heartbeat", id="h")
    before = len(cluster.store.batches)
    cluster.advance(SOON)
    assert not cluster["a"].knows(A)
    assert len(cluster.store.batches) < before + 100, "it does not try for ever"
    cluster.agree()


def test_of_two_sessions_with_one_epoch_the_later_registration_is_the_agents() -> None:
    """The store lost its data, and gave the epoch again; the older session's hub slept."""
    cluster = Cluster("a", "b")
    older, _ = cluster["a"].agent("twice", agent_id=A)
    cluster.settle()
    cluster["a"].scheduler.stop()
    cluster["b"].supervisor.close()
    cluster.kill("b")
    cluster.store.lose_everything()
    cluster.start("b")
    newer, answer = cluster["b"].agent("twice", agent_id=A)
    assert answer["epoch"] == 1
    cluster["a"].scheduler.wake()
    before = cluster.store.revision
    cluster.advance(SOON)
    assert older.close_code == 4409
    assert newer.close_code is None
    assert cluster["a"].status(A) == ("healthy", "websocket")
    assert cluster.store.revision < before + 20, "no two hubs take turns in writing it"
    cluster.agree()


def test_an_unreachable_agent_whose_verdict_came_from_elsewhere_is_removed_all_the_same() -> None:
    cluster = Cluster("a", "b", timing=TIMING)
    link, _ = cluster["b"].agent("silent", agent_id=A)
    watcher = cluster["a"].watcher()
    cluster["b"].port.cut = True
    link.answers_pings = False
    cluster.advance(13.5)  # b's lease has lapsed, and a has judged the agent
    assert ("status_changed", "silent") in {each[1:] for each in told(watcher)}
    cluster["b"].port.cut = False
    cluster.advance(30)
    assert not cluster["a"].knows(A)
    assert not cluster["b"].knows(A)
    cluster.agree()
