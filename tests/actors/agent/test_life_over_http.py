"""Agents that come over HTTP live by their heartbeats alone."""

from __future__ import annotations

from typing import Any

from tests.support.world import World


def identity(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["agent_id"], answer["session_token"]


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
    assert world.http_heartbeat(*identity(answer)).durable is True
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
    world.http_heartbeat(*identity(answer), status="degraded")
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["connection"]) == ("degraded", "websocket")
    assert link.ask(op="heartbeat")["durable"] is True


def test_unknown_ids_over_http() -> None:
    world = World()
    unknown = "550e8400-e29b-41d4-a716-446655440000"
    assert world.http_heartbeat(unknown).code == "not_found"
    assert world.http_unregister(unknown).durable is True
