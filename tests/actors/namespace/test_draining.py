"""Draining: the hub writes `lost` for its agents, and answers the requests that wait."""

from __future__ import annotations

from actors.ports.conditions import Reason
from tests.support.records import SPEC
from tests.support.world import World


def test_draining_writes_for_everyone_that_the_hub_lets_go() -> None:
    world = World()
    _, answer = world.agent()
    lease = world.http_register()
    watcher = world.watcher()
    world.supervisor.drain()
    assert not world.supervisor.settled
    world.settle()
    assert world.supervisor.settled
    health = world.stored(answer["agent_id"])["health"]
    assert (health["connection"], health["reason"]) == ("lost", "draining")
    assert world.record(lease.agent_id)["health"]["connection"] == "http"
    assert watcher.events() == []  # it may be back at once
    assert world.connect().ask(op="register", agent=SPEC)["code"] == "unavailable"
    assert world.http_register("h2").code == "unavailable"
    assert Reason("stopping", "the hub is stopping") in world.supervisor.not_ready_reasons()


def test_a_heartbeat_while_draining_is_not_told_of_a_newer_session() -> None:
    world = World()
    link, _ = world.agent()
    world.supervisor.drain()
    world.settle()
    answer = link.ask(op="heartbeat")
    assert answer.get("code") != "fenced", "the client would believe that it was replaced"
    assert link.close_code != 4409


def test_draining_while_the_store_is_away_does_not_wait_for_it() -> None:
    world = World()
    link, _ = world.agent()
    world.lose_store(link)
    world.supervisor.drain()
    world.settle()
    assert world.supervisor.settled


def test_closing_answers_what_waits() -> None:
    world = World()
    link, _ = world.agent()
    world.lose_store(link)
    link.say(op="update", id=1, version="2")
    other = world.connect()
    other.say(op="register", id=2, agent=SPEC)
    world.advance(0.1)
    world.supervisor.close()
    world.advance(3)
    assert [each["code"] for each in link.take("error")] == ["unavailable"]
    assert [each["code"] for each in other.take("error")] == ["unavailable"]
