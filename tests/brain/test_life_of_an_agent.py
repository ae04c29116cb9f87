"""Section 2 of the contract, rule by rule, on virtual time."""

from __future__ import annotations

from tests.brain.world import World


def test_a_registered_agent_is_found_at_once() -> None:
    world = World()
    link, answer = world.agent("a1", capabilities=["x", "y", "x"])
    assert answer["epoch"] == 1
    assert answer["resumed"] is False
    found = link.ask(op="find", filter={"type": "cost", "capabilities": ["y"]})
    (agent,) = found["agents"]
    assert agent["id"] == answer["agent_id"]
    assert agent["capabilities"] == ["x", "y"]
    assert agent["status"] == "healthy"
    assert agent["health"]["connection"] == "websocket"
    assert agent["health"]["reason"] == "ok"
    assert agent["revision"] == answer["revision"] == found["revision"] == 1
    assert list(agent)[:4] == ["id", "name", "type", "host"]
    assert list(agent)[-4:] == ["health", "epoch", "hub", "revision"]


def test_silence_makes_it_unreachable_at_its_deadline_and_once() -> None:
    world = World()
    watcher = world.watcher()
    link, answer = world.agent()
    link.answers_pings = False
    watcher.events()
    world.advance(44.9)
    assert world.record(answer["agent_id"])["status"] == "healthy"
    world.advance(0.15)
    record = world.record(answer["agent_id"])
    assert record["status"] == "unreachable"
    assert record["health"]["reason"] == "heartbeat_timeout"
    assert record["health"]["connection"] == "lost"
    assert link.close_code == 4408
    assert watcher.events() == [("status_changed", "a1", "unreachable")]
    world.advance(59.8)
    assert answer["agent_id"] in world.supervisor.directory
    world.advance(0.4)
    assert answer["agent_id"] not in world.supervisor.directory
    assert watcher.events() == [("expired", "a1", "unreachable")]
    assert world.store.active == set()
    assert world.store.entries == {}


def test_heartbeats_keep_it_alive_and_are_no_events() -> None:
    world = World()
    watcher = world.watcher()
    link, answer = world.agent()
    watcher.events()
    for _ in range(10):
        world.advance(30)
        assert link.ask(op="heartbeat")["durable"] is True
    assert watcher.events() == []
    record = world.record(answer["agent_id"])
    assert record["status"] == "healthy"
    assert record["last_seen"] > record["registered_at"]
    assert world.store.record(answer["agent_id"]).last_seen == record["last_seen"]


def test_pongs_without_heartbeats_are_a_program_that_hangs() -> None:
    world = World()
    watcher = world.watcher()
    link, answer = world.agent()
    watcher.events()
    world.advance(46)
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["reason"]) == ("unhealthy", "heartbeat_overdue")
    assert record["health"]["reported"] == "healthy"
    assert link.close_code is None
    world.advance(200)
    assert world.record(answer["agent_id"])["status"] == "unhealthy"
    assert world.store.record(answer["agent_id"]) is not None, "pongs renew the lease in the store"
    link.ask(op="heartbeat")
    assert watcher.events() == [
        ("status_changed", "a1", "unhealthy"),
        ("status_changed", "a1", "healthy"),
    ]


def test_a_lost_socket_is_told_at_once_and_unreachable_after_the_window() -> None:
    world = World()
    watcher = world.watcher()
    link, answer = world.agent()
    link.vanish()
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["connection"]) == ("healthy", "lost")
    assert watcher.ask(op="pick")["code"] == "no_match"
    world.advance(4.9)
    assert world.record(answer["agent_id"])["status"] == "healthy"
    world.advance(0.2)
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["reason"]) == ("unreachable", "connection_lost")
    assert watcher.events() == [
        ("registered", "a1", "healthy"),
        ("lost", "a1", "healthy"),
        ("status_changed", "a1", "unreachable"),
    ]


def test_it_resumes_within_the_window_as_if_nothing_had_been() -> None:
    world = World()
    link, answer = world.agent(status="degraded")
    link.vanish()
    world.advance(3)
    watcher = world.watcher()
    again = world.connect()
    resumed = again.ask(
        op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
    )
    assert resumed["resumed"] is True
    assert resumed["epoch"] == 2
    assert resumed["registered_at"] == answer["registered_at"]
    world.advance(40)
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["connection"]) == ("degraded", "websocket")
    assert watcher.events() == [("resumed", "a1", "degraded")]


def test_returning_from_unreachable_it_is_healthy_when_it_says_nothing() -> None:
    world = World()
    link, answer = world.agent(status="degraded")
    link.vanish()
    world.advance(10)
    assert world.record(answer["agent_id"])["status"] == "unreachable"
    again = world.connect()
    again.ask(op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"])
    assert world.record(answer["agent_id"])["status"] == "healthy"


def test_a_newer_registration_fences_off_the_older_session() -> None:
    world = World()
    link, answer = world.agent("a1")
    other, second = world.agent("a1", agent_id=answer["agent_id"])
    assert second["epoch"] == 2
    assert link.close_code == 4409
    world.advance(30)
    assert world.record(answer["agent_id"])["health"]["connection"] == "websocket"
    late = world.connect()
    refused = late.ask(
        op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
    )
    assert refused["code"] == "fenced"
    assert other.close_code is None


def test_unregistering_removes_it_at_once_and_closes() -> None:
    world = World()
    watcher = world.watcher()
    link, answer = world.agent()
    assert link.ask(op="unregister")["op"] == "unregistered"
    assert link.close_code == 1000
    assert answer["agent_id"] not in world.supervisor.directory
    assert watcher.events()[-1][0] == "unregistered"
    assert world.store.entries == {}
    world.advance(200)
    assert watcher.events() == []


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


def test_a_restarted_hub_finds_its_agents_and_gives_them_time() -> None:
    world = World()
    link, answer = world.agent()
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
