"""Section 2 of the contract, rule by rule, on virtual time."""

from __future__ import annotations

from msgspec import UNSET

from actors.timing import Timing
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
    world.supervisor.heartbeat(lease.agent_id, UNSET, UNSET, outcomes.append)
    world.advance(45.1)  # its deadline has come, and waits behind the slow store
    world.supervisor.heartbeat(lease.agent_id, UNSET, UNSET, outcomes.append)
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


# --- asks that meet the end of their agent -------------------------------------------------------


def test_a_registration_that_comes_with_the_end_of_its_predecessor_is_answered() -> None:
    world = World()
    link, answer = world.agent()
    other = world.connect()
    outcomes: list[object] = []
    register = {"name": "a1", "type": "cost"}
    link.say(op="unregister", id=1)
    world.advance(0)  # the removal is with the store, whose answer comes at that moment:
    at = world.scheduler.now() + world.store.latency
    supervisor = world.supervisor
    agent_id = answer["agent_id"]
    later = world.scheduler.call_at
    later(at, lambda: other.say(op="register", id=2, agent_id=agent_id, agent=register))
    later(at, lambda: supervisor.heartbeat(agent_id, UNSET, UNSET, outcomes.append))
    world.settle()
    assert len(link.take("unregistered")) == 1
    (registered,) = other.take("registered")
    assert registered["epoch"] == 2
    assert len(outcomes) == 1
    assert other.ask(op="heartbeat")["durable"] is True


def test_a_heartbeat_that_comes_with_the_end_of_its_agent_is_answered() -> None:
    world = World()
    lease = world.http_register()
    outcomes: list[object] = []
    supervisor = world.supervisor
    supervisor.unregister(lease.agent_id, outcomes.append)
    world.advance(0)
    world.scheduler.call_at(
        world.scheduler.now() + world.store.latency,
        lambda: supervisor.heartbeat(lease.agent_id, UNSET, UNSET, outcomes.append),
    )
    world.settle()
    assert len(outcomes) == 2
    assert getattr(outcomes[1], "code", "") == "not_found"


# --- over HTTP -----------------------------------------------------------------------------------


def test_an_http_agent_lives_by_its_heartbeats_alone() -> None:
    world = World()
    watcher = world.watcher()
    lease = world.http_register()
    for _ in range(10):
        world.advance(40)
        assert world.http_heartbeat(lease.agent_id).durable is True
    assert watcher.events() == [("registered", "h1", "healthy")]
    world.advance(44.9)
    assert watcher.events() == []
    world.advance(0.1)
    assert watcher.events() == [("status_changed", "h1", "unreachable")]
    record = world.record(lease.agent_id)
    assert (record["health"]["connection"], record["health"]["reason"]) == (
        "http",
        "heartbeat_timeout",
    )
    world.advance(60.1)
    assert watcher.events() == [("expired", "h1", "unreachable")]


def test_an_http_agent_that_returns_and_falls_silent_again_is_judged_in_time() -> None:
    world = World()
    lease = world.http_register()
    world.advance(46)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world.http_heartbeat(lease.agent_id)
    assert world.record(lease.agent_id)["status"] == "healthy"
    world.advance(44.9)
    assert world.record(lease.agent_id)["status"] == "healthy"
    world.advance(0.2)
    assert world.record(lease.agent_id)["status"] == "unreachable"


def test_an_http_agent_that_returns_is_what_it_reports_or_healthy() -> None:
    world = World()
    one = world.http_register("h1", status="degraded")
    two = world.http_register("h2")
    world.advance(46)
    world.http_heartbeat(one.agent_id)
    world.http_heartbeat(two.agent_id, status="unhealthy")
    assert world.record(one.agent_id)["status"] == "healthy"
    assert world.record(two.agent_id)["status"] == "unhealthy"


def test_a_lost_websocket_agent_may_go_on_over_http_and_come_back() -> None:
    world = World()
    watcher = world.watcher()
    link, answer = world.agent()
    link.vanish()
    assert world.http_heartbeat(answer["agent_id"]).durable is True
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["connection"], record["hub"]) == (
        "healthy",
        "http",
        "",
    )
    world.advance(44)
    assert world.record(answer["agent_id"])["status"] == "healthy"
    again = world.connect()
    again.ask(op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"])
    record = world.record(answer["agent_id"])
    assert (record["health"]["connection"], record["hub"]) == ("websocket", "hub-1")
    assert [kind for kind, _, _ in watcher.events()] == ["registered", "lost", "updated", "resumed"]


def test_a_heartbeat_over_http_does_not_take_a_living_websocket_away() -> None:
    world = World()
    link, answer = world.agent()
    world.http_heartbeat(answer["agent_id"], status="degraded")
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["connection"]) == ("degraded", "websocket")
    assert link.ask(op="heartbeat")["durable"] is True


def test_unknown_ids_over_http() -> None:
    world = World()
    unknown = "550e8400-e29b-41d4-a716-446655440000"
    assert world.http_heartbeat(unknown).code == "not_found"
    assert world.http_unregister(unknown).durable is True


# --- returning in time ---------------------------------------------------------------------------


def test_every_way_back_is_judged_anew_and_in_time() -> None:
    """Whatever it was before, silence is noticed within 100 ms of the timeout, never before."""
    for silence in (1, 4.9, 5.1, 20, 44, 46, 60, 64):
        world = World()
        link, answer = world.agent()
        link.vanish()
        world.advance(silence)
        again = world.connect()
        again.answers_pings = False
        resumed = again.ask(
            op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
        )
        assert resumed["op"] == "registered", silence
        world.advance(44.9 - 0.05)
        assert world.record(answer["agent_id"])["status"] == "healthy", silence
        world.advance(0.2)
        assert world.record(answer["agent_id"])["status"] == "unreachable", silence
        assert again.close_code == 4408


def test_overdue_and_then_silent_is_unreachable_in_time() -> None:
    world = World()
    link, answer = world.agent()
    world.advance(100)
    assert world.record(answer["agent_id"])["status"] == "unhealthy"
    link.answers_pings = False
    last_pong = world.scheduler.now()
    while world.record(answer["agent_id"])["status"] == "unhealthy":
        world.advance(0.1)
    assert 29 <= world.scheduler.now() - last_pong <= 45.2


def test_fractions_of_a_second_are_met_too() -> None:
    timing = Timing(
        heartbeat_interval=0.3, heartbeat_timeout=0.45, lease_ttl=0.6, resume_window=0.05
    )
    world = World(timing)
    lease = world.http_register()
    link, answer = world.agent()
    world.advance(0.33)
    assert world.record(lease.agent_id)["status"] == "healthy"
    world.advance(0.04)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    assert world.record(answer["agent_id"])["status"] == "healthy", "it answers pings"
    link.vanish()
    world.advance(0.01)
    assert world.record(answer["agent_id"])["status"] == "unreachable"
    world.advance(0.7)
    assert len(world.supervisor.directory) == 0


def test_hundreds_that_fall_silent_are_told_once_each_and_leave_nothing() -> None:
    world = World()
    watcher = world.watcher()
    links = []
    for number in range(200):
        link, _ = world.agent(f"a{number}")
        link.answers_pings = False
        links.append(link)
    watcher.sent.clear()
    while len(world.supervisor.directory):
        world.advance(0.1)
        for each in watcher.sent:
            if each["op"] == "event" and each["kind"] == "status_changed":
                since = each["agent"]["health"]["since"]
                seen = each["agent"]["last_seen"]
                assert since > seen
    kinds = [kind for kind, _, _ in watcher.events()]
    assert kinds.count("status_changed") == 200
    assert kinds.count("expired") == 200
    assert len(kinds) == 400
    assert world.store.active == set()
    assert world.store.entries == {}
    assert world.supervisor.population.agents == {}
    assert world.supervisor.population.doubtful == set()
    assert {link.close_code for link in links} == {4408}
    world.advance(60)
    assert len(world.supervisor.population.deadlines) <= 1, "the watcher's"
