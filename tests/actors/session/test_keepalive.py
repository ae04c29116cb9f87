"""What counts as activity, and when a connection is pinged or closed for its silence."""

from __future__ import annotations

import pytest

from tests.support.world import World


def test_an_observer_is_pinged_and_lives() -> None:
    world = World()
    link = world.connect()
    world.advance(300)
    assert link.close_code is None
    assert 15 <= link.pings <= 25


def test_a_silent_observer_is_closed() -> None:
    world = World()
    link = world.connect()
    link.answers_pings = False
    world.advance(44.9)
    assert link.close_code is None
    assert link.pings >= 2
    world.advance(0.2)
    assert link.close_code == 4408
    assert world.supervisor.stats().sessions == 0


def test_an_observer_that_asks_is_not_pinged() -> None:
    world = World()
    link = world.connect()
    for _ in range(20):
        world.advance(10)
        link.ask(op="ping")
    assert link.pings == 0


def test_observers_are_not_closed_for_the_hubs_own_absence() -> None:
    world = World()
    links = [world.connect() for _ in range(3)]
    world.advance(3)
    world.scheduler.sleep_through(100)
    world.advance(1)
    assert [link.close_code for link in links] == [None] * 3


@pytest.mark.parametrize("op", ["ping", "find", "update"])
def test_any_valid_message_of_an_agent_is_a_sign_of_life(op: str) -> None:
    world = World()
    link, answer = world.agent()
    for _ in range(20):
        world.advance(10)
        link.ask(op=op)
        assert world.record(answer["agent_id"])["status"] != "unreachable"
    assert link.close_code is None
    assert world.store.record(answer["agent_id"]) is not None, "and renews the lease"


def test_an_agent_that_sends_only_nonsense_is_pinged_and_judged_by_its_pongs() -> None:
    world = World()
    link, answer = world.agent()
    for _ in range(20):
        world.advance(10)
        link.say_raw(b"{")
        link.say(op="ping", id=1) if _ % 5 == 4 else None
        assert world.record(answer["agent_id"])["status"] != "unreachable"
    assert link.close_code is None
