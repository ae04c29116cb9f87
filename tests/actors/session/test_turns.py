"""What many ask at once is done in turn: nobody's requests hold up another's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.directory import matches
from actors.runtime.turns import BUDGET, SLICE
from actors.session.pipeline import MAX_PIPELINE
from homeport_protocol.errors import ProtocolError
from tests.support.world import FakeLink, World

COST = SLICE / 4
"""Seconds that a step takes, in these tests."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A hub with 40 agents, whose searches take a step for each two of them."""
    monkeypatch.setattr(matches, "TRIED", 2)
    world = World()
    world.populate(40, capabilities=["x"])
    return world


def ask_dearly(link: FakeLink, count: int, first: int = 0) -> None:
    """Send so many finds, each with a filter of its own."""
    for number in range(first, first + count):
        filter = {"any_capability": [f"w{number}", "x"]}
        link.say(op="find", id=number, filter=filter, limit=1)


def test_a_heartbeat_is_not_behind_what_others_ask(world: World) -> None:
    agent, _ = world.agent()
    askers = [world.connect() for _ in range(3)]
    agent.sent.clear()
    world.scheduler.cost = COST
    for asker in askers:
        ask_dearly(asker, 115)
    assert sum(len(asker.sent) for asker in askers) <= BUDGET / COST / 10, "most of it waits"
    began = world.scheduler.now()
    agent.say(op="heartbeat", id="beat")
    while not agent.sent:
        world.scheduler.advance(0)
        assert world.scheduler.now() - began < 0.02
    assert sum(len(asker.sent) for asker in askers) < 20
    world.advance(5)
    for asker in askers:
        assert asker.answered_ids() == [*range(115)]
        assert all(answer["count"] == 1 for answer in asker.sent)


def test_answers_of_one_connection_keep_their_order_whatever_waits(world: World) -> None:
    link, _ = world.agent()
    link.sent.clear()
    world.scheduler.cost = COST
    ask_dearly(link, 40)
    link.say(op="update", id=40, version="2")
    link.say(op="find", id=41, filter={"version": "==2", "any_capability": ["x", "y"]})
    link.say(op="heartbeat", id=42)
    link.say(op="ping", id=43)
    world.advance(2)
    assert link.answered_ids() == [*range(44)]


def test_what_comes_behind_much_is_held_and_then_taken_in_order(world: World) -> None:
    link, answer = world.agent()
    link.sent.clear()
    link.say(op="heartbeat", id=0)
    link.session.hold()
    for number in range(1, 100):
        link.say(op="update", id=number, version=str(number))
    link.session.hold()
    link.say(op="find", id=100, filter={"version": "==99"})
    assert world.record(answer["agent_id"])["version"] == ""
    world.settle()
    world.settle()
    assert link.answered_ids() == [*range(101)]
    assert link.sent[-1]["count"] == 1
    link.say(op="ping", id="now")
    assert link.sent[-1]["id"] == "now", "what comes later is taken as it comes"


def test_a_peer_that_sends_more_than_is_taken_is_not_read(world: World) -> None:
    link = world.connect()
    link.session.hold()
    for number in range(MAX_PIPELINE - 1):
        link.say(op="ping", id=number)
    assert link.reading
    link.say(op="ping", id=MAX_PIPELINE - 1)
    assert not link.reading
    world.settle()
    assert link.reading
    assert link.answered_ids() == [*range(MAX_PIPELINE)]


def test_what_was_read_before_the_connection_ended_is_done(world: World) -> None:
    link, answer = world.agent()
    watcher = world.watcher(name="a1")
    link.session.hold()
    link.say(op="update", id=1, version="2")
    link.say(op="unregister", id=2)
    link.vanish()
    world.settle()
    assert [kind for kind, _, _ in watcher.events()] == ["updated", "unregistered"]
    with pytest.raises(ProtocolError):
        world.supervisor.get(answer["agent_id"])
    assert link.session not in world.supervisor.sessions()


def test_a_lost_connection_is_lost_once_what_it_sent_is_done(world: World) -> None:
    link, answer = world.agent()
    link.session.hold()
    link.say(op="update", id=1, version="2")
    link.vanish()
    world.settle()
    record = world.record(answer["agent_id"])
    assert record["version"] == "2"
    assert record["health"]["connection"] == "lost"
    assert link.session not in world.supervisor.sessions()


def test_nothing_is_done_for_a_connection_that_has_ended(world: World) -> None:
    stay, leave = world.connect(), world.connect()
    world.scheduler.cost = COST
    ask_dearly(leave, 50)
    ask_dearly(stay, 5)
    leave.close_code = 1006
    leave.session.closed()
    sent = len(leave.sent)
    world.advance(2)
    assert len(leave.sent) == sent
    assert stay.answered_ids() == [*range(5)]
    assert world.runtime.turns.waiting == 0
    assert not world.supervisor.directory._changes._kept
    assert leave.session not in world.supervisor.sessions()


def test_a_connection_that_the_hub_ends_while_messages_are_held_leaves_nothing(
    world: World,
) -> None:
    link = world.connect()
    link.session.hold()
    for number in range(20):
        link.say_raw(b"{%d" % number)
    world.settle()
    assert link.close_code == 4400
    assert len(link.sent) == 10
    assert link.session not in world.supervisor.sessions()
    assert world.runtime.turns.waiting == 0


def test_a_find_answers_for_one_revision_though_agents_change_meanwhile(world: World) -> None:
    link, watcher = world.connect(), world.watcher()
    known: dict[str, Any] = {}
    world.scheduler.cost = COST
    world.connect().session.hold()
    hog = world.connect()
    ask_dearly(hog, 30, first=1000)
    link.say(op="find", id=1, filter={"any_capability": ["x", "y"]})
    for number in range(20):
        world.http_register(f"new{number}", capabilities=["y"])
        world.scheduler.advance(0)
    world.advance(2)
    (answer,) = link.take("agents")
    for event in watcher.take("event"):
        if event["revision"] <= answer["revision"]:
            known[event["agent"]["id"]] = event["agent"]
    new = [agent for agent in answer["agents"] if agent["name"].startswith("new")]
    assert json.dumps(new) == json.dumps([known[key] for key in sorted(known)])
