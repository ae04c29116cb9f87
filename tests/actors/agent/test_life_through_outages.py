"""What becomes of agents while their hub stalls or restarts, and while the store is away."""

from __future__ import annotations

from msgspec import UNSET

from actors.rules.permissions import ANYBODY
from tests.support.world import World


def test_a_stalled_hub_does_not_charge_its_absence_to_the_agents() -> None:
    world = World()
    link, answer = world.agent()
    link.answers_pings = False
    world.advance(20)
    world.scheduler.sleep_through(100)
    assert world.observer.stalls
    assert world.record(answer["agent_id"])["status"] == "healthy"
    world.advance(44)
    assert world.record(answer["agent_id"])["status"] == "healthy"
    world.advance(2)
    assert world.record(answer["agent_id"])["status"] == "unreachable"


def test_whoever_is_given_time_after_a_stall_is_stored_as_long_as_listed() -> None:
    world = World()
    polling = world.http_register("polling").agent_id
    link, lost = world.agent("lost")
    world.advance(10)
    link.vanish()
    world.scheduler.sleep_through(40)
    for _ in range(40):
        world.advance(1)
        world.store.expire()
        listed = {
            each for each in (polling, lost["agent_id"]) if each in world.supervisor.directory
        }
        assert listed == set(world.store.entries) == world.store.active


def test_a_verdict_that_waited_while_the_hub_was_stalled_is_not_passed() -> None:
    world = World()
    lease = world.http_register()
    outcomes: list[object] = []
    world.store.latency = 46.25
    world.supervisor.heartbeat(lease.agent_id, UNSET, UNSET, outcomes.append, principal=ANYBODY)
    world.advance(45.1)  # its deadline has come, and waits behind the slow store
    world.supervisor.heartbeat(lease.agent_id, UNSET, UNSET, outcomes.append, principal=ANYBODY)
    world.advance(1.1)
    world.store.latency = 0.001
    # The store's answer is the first thing that the hub sees after its absence.
    world.scheduler.sleep_through(100)
    world.advance(1)
    assert world.observer.stalls
    assert [kind for kind, _ in world.observer.changes] == ["registered"]
    assert world.record(lease.agent_id)["status"] == "healthy"


def test_a_restarted_hub_finds_its_agents_and_gives_them_time() -> None:
    world = World()
    _link, answer = world.agent()
    watcher = world.watcher()
    position = watcher.ask(op="find")
    world = world.restart()
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["connection"]) == ("healthy", "lost")
    again = world.connect()
    watching = again.ask(op="watch", since=position["revision"], log=position["log"])
    assert watching["resumed"] is True
    world.advance(40)
    resumed = world.connect().ask(
        op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
    )
    assert resumed["op"] == "registered"
    assert again.events() == [("lost", "a1", "healthy"), ("resumed", "a1", "healthy")]


def test_an_outage_of_the_store_expires_nobody() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    world.advance(10)
    world.store.reachable = False
    for _ in range(20):
        ack = None
        link.say(op="heartbeat", id=1)
        world.advance(2.2)
        (ack,) = link.take("heartbeat_ack")
        assert ack["durable"] is False
        world.advance(5)
    assert world.store.record(answer["agent_id"]) is None, "Redis let the entry run out"
    world.store.reachable = True
    world.advance(1.3)
    assert world.store.record(answer["agent_id"]) is not None
    assert world.record(answer["agent_id"])["status"] == "healthy"
    assert watcher.events() == []
    assert link.ask(op="heartbeat")["durable"] is True


def test_a_change_waits_two_seconds_for_the_store_and_then_fails() -> None:
    world = World()
    link, _ = world.agent()
    world.store.reachable = False
    link.say(op="update", id=7, version="2")
    world.advance(1.9)
    assert link.take("error") == []
    world.advance(0.3)
    (error,) = link.take("error")
    assert (error["id"], error["code"], error["retryable"]) == (7, "unavailable", True)
    world.store.reachable = True
    world.advance(2)
    assert link.ask(op="find")["agents"][0]["version"] == ""


def test_a_registration_that_failed_leaves_nothing_behind() -> None:
    world = World()
    link = world.connect()
    world.store.swallow_answers = 3  # applied, but nobody hears of it in time
    link.say(op="register", id=1, agent={"name": "a", "type": "cost"})
    world.advance(2.2)
    (error,) = link.take("error")
    assert error["code"] == "unavailable"
    world.advance(10)
    assert len(world.supervisor.directory) == 0
    assert world.store.entries == {}
    assert link.ask(op="register", agent={"name": "a", "type": "cost"})["op"] == "registered"


def test_a_change_whose_answer_was_lost_is_not_applied_twice() -> None:
    world = World()
    link, _ = world.agent()
    world.store.swallow_answers = 1
    link.say(op="update", id=1, version="2")
    world.advance(1.9)
    (updated,) = link.take("updated")
    assert updated["revision"] == 2
    assert [entry.kind for entry in world.store.log] == ["registered", "updated"]


def test_a_store_that_lost_its_data_gets_the_agents_back_under_a_new_log() -> None:
    world = World()
    link, answer = world.agent("a1")
    world.agent("a2")
    watcher = world.watcher()
    old = watcher.ask(op="find")
    world.store.lose_everything()
    link.say(op="heartbeat", id=1)
    world.advance(2)
    new = watcher.ask(op="find")
    assert new["log"] != old["log"]
    assert new["revision"] > old["revision"]
    assert world.store.record(answer["agent_id"]).name == "a1"
    assert len(world.store.active) == 2
    (snapshot,) = watcher.take("snapshot")
    assert snapshot["log"] == new["log"]
    assert len(snapshot["agents"]) == 2
    assert watcher.ask(op="watch", since=old["revision"], log=old["log"])["resumed"] is False
