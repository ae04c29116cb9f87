"""A batch whose answer never came: applied once, whatever the store did with it."""

from __future__ import annotations

import pytest

from tests.support.records import agent_id
from tests.support.world import World


@pytest.mark.parametrize("held", [0.5, 0.99, 5.0])
def test_a_batch_that_hangs_is_applied_once_whenever_it_arrives(held: float) -> None:
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(3)]
    watcher = world.watcher()
    world.store.hold_next_commit = held
    for link in links:
        link.say(op="update", id=1, version="2")
    world.advance(10)
    for link in links:
        (answer,) = link.take("updated")
        assert answer["revision"] > 3
    assert world.log_kinds() == ["registered"] * 3 + ["updated"] * 3
    assert sorted(watcher.events()) == [("updated", f"a{number}", "healthy") for number in range(3)]
    world.check_store()


def test_part_of_a_batch_may_be_known_and_part_not() -> None:
    """Renewals are not in the log: only they are sent again."""
    world = World()
    (one, _), (other, answer) = world.agent("a1"), world.agent("a2")
    world.store.swallow_answers = 1
    one.say(op="update", id=1, version="2")
    other.say(op="heartbeat", id=1)
    world.advance(3)
    assert len(one.take("updated")) == 1
    assert len(other.take("heartbeat_ack")) == 1
    assert world.log_kinds().count("updated") == 1
    assert world.store.record(answer["agent_id"]) is not None
    world.check_store()


def test_the_answer_to_reading_the_log_may_be_lost_as_well() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    world.store.swallow_answers = 3
    link.say(op="update", id=1, version="2")
    world.advance(10)
    # By then the asker had been told that the outcome is not known: the change stays.
    (error,) = link.take("error")
    assert (error["code"], error["outcome"], error["retryable"]) == ("unavailable", "unknown", True)
    assert world.log_kinds() == ["registered", "updated"]
    assert watcher.events() == [("updated", "a1", "healthy")]
    assert link.ask(op="find")["agents"][0]["version"] == "2"
    world.check_store()


@pytest.mark.parametrize("lost", range(1, 6))
@pytest.mark.parametrize("after", [0.9 + number / 20 for number in range(12)])
def test_what_was_acknowledged_before_outlives_whatever_becomes_of_a_change(
    lost: int, after: float
) -> None:
    """Some answers are lost after an outage, from any moment on."""
    world = World()
    link, answer = world.agent(metadata={"a": 1})
    world.lose_store(link)
    ack = link.ask(op="heartbeat", load=3.0, metadata={"a": 2, "b": 1})
    assert ack["durable"] is False
    link.say(op="update", id="u", version="2", metadata={"c": 1})
    world.store.reachable, world.store.latency = True, 0.03
    world.advance(after)
    world.store.swallow_answers = lost
    link.say(op="heartbeat", id="h", metadata={"d": 1})
    world.advance(15)
    record = world.record(answer["agent_id"])
    metadata = {"a": 2, "b": 1, "d": 1}
    refused = [each for each in link.take("error") if "outcome" not in each]
    if refused:
        assert (record["version"], record["metadata"]) == ("", metadata)
    elif link.take("updated"):
        assert (record["version"], record["metadata"]) == ("2", metadata | {"c": 1})
    assert record["load"] == 3.0
    assert record["metadata"].items() >= metadata.items()
    assert [each["id"] for each in link.take("heartbeat_ack")] == ["q2", "h"]
    world.check_store()


@pytest.mark.parametrize("held", [2.5, 3.5])
def test_a_change_that_was_sent_and_not_answered_in_time_may_happen_and_stays(held: float) -> None:
    """The store is far away: its answer takes longer than a change may wait."""
    world = World()
    link, answer = world.agent(load=1.0)
    world.store.latency = held
    link.say(op="heartbeat", id="h", load=2.0)
    link.say(op="update", id="u", version="2")
    world.advance(2.2)
    (ack,) = link.take("heartbeat_ack")
    assert ack["durable"] is False
    (error,) = link.take("error")
    assert (error["id"], "outcome" in error) == ("u", False), "it waited behind the heartbeat"
    link.say(op="update", id="v", version="3")
    world.advance(held - 2.2 + 2.2)
    (error,) = link.take("error")
    assert (error["id"], error["outcome"]) == ("v", "unknown")
    world.advance(held)
    record = world.record(answer["agent_id"])
    assert (record["version"], record["load"]) == ("3", 2.0)
    world.store.latency = 0.001
    world.advance(2 * held)
    assert link.ask(op="heartbeat")["durable"] is True
    world.check_store()


def test_a_change_that_was_not_sent_in_time_never_happens() -> None:
    world = World()
    link, answer = world.agent()
    canary, _ = world.agent("canary")
    world.lose_store(canary)
    link.say(op="update", id="u", version="2")
    world.advance(2.2)
    (error,) = link.take("error")
    assert error["code"] == "unavailable"
    assert "outcome" not in error
    world.store.reachable = True
    world.advance(5)
    assert world.record(answer["agent_id"])["version"] == ""
    assert "updated" not in world.log_kinds()
    world.check_store()


def test_a_resumption_with_an_unknown_outcome_leaves_the_agent_to_be_resumed_again() -> None:
    world = World()
    link, answer = world.agent()
    link.vanish()
    again = world.connect()
    token = {"agent_id": answer["agent_id"], "session_token": answer["session_token"]}
    world.store.swallow_answers = 3
    again.say(op="resume", id=1, **token)
    world.advance(2.2)
    assert again.take("error")[0]["outcome"] == "unknown"
    world.advance(2)
    assert world.record(answer["agent_id"])["epoch"] == 2, "it happened, and stays"
    assert world.record(answer["agent_id"])["health"]["connection"] == "lost"
    assert again.ask(op="resume", **token)["epoch"] == 3
    world.check_store()


def test_an_unregistration_with_an_unknown_outcome_ends_the_session_when_it_happened() -> None:
    world = World()
    link, answer = world.agent()
    world.store.swallow_answers = 3
    link.say(op="unregister", id=1)
    world.advance(2.2)
    assert link.take("error")[0]["outcome"] == "unknown"
    world.advance(2)
    assert answer["agent_id"] not in world.supervisor.directory
    assert link.close_code == 1000
    world.check_store()


def test_a_registration_of_a_known_id_with_an_unknown_outcome_stays() -> None:
    world = World()
    older, _ = world.agent(agent_id=agent_id(1), version="1")
    link = world.connect()
    world.store.swallow_answers = 3
    spec = {"name": "a1", "type": "cost", "version": "2"}
    link.say(op="register", id=1, agent_id=agent_id(1), agent=spec)
    world.advance(2.2)
    assert link.take("error")[0]["outcome"] == "unknown"
    world.advance(2)
    record = world.record(agent_id(1))
    assert (record["epoch"], record["version"]) == (2, "2")
    assert record["health"]["connection"] == "lost"
    assert older.close_code == 4409
    assert link.ask(op="register", agent_id=agent_id(1), agent=spec)["epoch"] == 3
    world.check_store()


def test_a_generation_that_was_replaced_loses_nothing() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    world.store.leases.clear()
    link.say(op="update", id=1, version="2")
    world.advance(1)
    assert link.take("updated")[0]["revision"] == 2
    assert world.log_kinds() == ["registered", "updated"]
    assert watcher.events() == [("updated", "a1", "healthy")]
    assert world.supervisor.not_ready_reasons() == []
    world.check_store()


def test_a_batch_that_was_under_way_when_the_store_lost_its_data_is_in_the_new_log() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    world.store.hold_next_commit = 0.5
    link.say(op="update", id=1, version="2")
    world.advance(0.1)
    world.store.lose_everything()
    world.advance(5)
    assert len(link.take("updated")) == 1
    assert world.record(answer["agent_id"])["version"] == "2"
    assert world.stored(answer["agent_id"])["version"] == "2"
    (snapshot,) = watcher.take("snapshot")
    assert snapshot["log"] == world.supervisor.log
    world.check_store()


def test_a_new_log_is_told_even_when_the_answer_that_named_it_was_lost() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    world.store.lose_everything()
    world.store.swallow_answers = 0
    link.say(op="heartbeat", id=1)
    world.advance(0.04)  # the batch is refused; the next question is the opening
    world.store.swallow_answers = 1
    world.advance(5)
    assert world.supervisor.log == world.store.log_name
    (snapshot,) = watcher.take("snapshot")
    assert snapshot["log"] == world.supervisor.log
    world.check_store()


def test_a_log_that_was_lost_before_it_was_read_on_is_not_taken_for_read() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    told = [world.supervisor.revision]
    world.store.hold_next_commit = 0.5
    world.store.latency = 0.5
    link.say(op="update", id=1, version="2")
    world.advance(1.3)  # the opening has seen the update in the log
    world.store.lose_everything()
    for _ in range(100):
        world.advance(0.1)
        told += [each["revision"] for each in watcher.take("event") + watcher.take("snapshot")]
        if world.supervisor.log == "log-1":
            assert world.supervisor.revision == max(told), "nothing is skipped"
    assert world.supervisor.log == world.store.log_name != "log-1"
    assert world.supervisor.revision == max(told)
    world.check_store()


@pytest.mark.parametrize("by_clock", [False, True])
def test_a_newborn_whose_registration_was_told_unknown_is_removed_again(by_clock: bool) -> None:
    world = World()
    world.store.epochs_by_clock = by_clock
    world.store.latency = 2.5
    link = world.connect()
    link.say(op="register", id="r", agent={"name": "a1", "type": "cost"}, agent_id=agent_id(1))
    world.advance(2.2)
    (error,) = link.take("error")
    assert (error["id"], error["outcome"]) == ("r", "unknown")
    world.advance(10)
    assert world.log_kinds() == ["registered", "unregistered"]
    world.check_store()
