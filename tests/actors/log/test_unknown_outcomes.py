"""A batch whose answer never came: applied once, whatever the store did with it."""

from __future__ import annotations

import pytest

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
    # By then the asker had been told that it failed: so it is taken back.
    assert link.take("error")[0]["code"] == "unavailable"
    assert world.log_kinds() == ["registered", "updated", "updated"]
    assert watcher.events() == [("updated", "a1", "healthy")] * 2
    assert link.ask(op="find")["agents"][0]["version"] == ""
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
