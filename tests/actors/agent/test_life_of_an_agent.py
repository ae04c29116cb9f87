"""Section 2 of the contract, rule by rule, on virtual time."""

from __future__ import annotations

from msgspec import UNSET

from actors.rules.permissions import ANYBODY
from actors.timing import Timing
from tests.support.world import World


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
    later(
        at, lambda: supervisor.heartbeat(agent_id, UNSET, UNSET, outcomes.append, principal=ANYBODY)
    )
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
    supervisor.unregister(lease.agent_id, outcomes.append, principal=ANYBODY)
    world.advance(0)
    world.scheduler.call_at(
        world.scheduler.now() + world.store.latency,
        lambda: supervisor.heartbeat(
            lease.agent_id, UNSET, UNSET, outcomes.append, principal=ANYBODY
        ),
    )
    world.settle()
    assert len(outcomes) == 2
    assert getattr(outcomes[1], "code", "") == "not_found"


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
    assert world.supervisor.registry.agents == {}
    assert world.supervisor.registry.recently_lost == set()
    assert {link.close_code for link in links} == {4408}
    world.advance(60)
    assert len(world.supervisor.registry.deadlines) <= 1, "the watcher's"
