"""Sessions and actors that have ended are freed: no reference cycle keeps them."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from actors.agent.actor import AgentActor
from actors.session.session import Session
from tests.support.world import FakeLink, World


def leaves(_: World, link: FakeLink) -> None:
    link.ask(op="unregister")


def dies(world: World, link: FakeLink) -> None:
    link.vanish()
    world.advance(300)


def falls_silent(world: World, link: FakeLink) -> None:
    link.answers_pings = False
    world.advance(300)


def is_fenced(world: World, link: FakeLink) -> None:
    agent_id = link.sent[0]["agent_id"]
    newer = world.connect()
    newer.ask(op="register", agent={"name": "a1", "type": "cost"}, agent_id=agent_id)
    newer.ask(op="unregister")
    newer.vanish()


def says_more_than_it_waits_for(world: World, link: FakeLink) -> None:
    for number in range(10):
        link.say(op="heartbeat", id=number, load=number)
    link.say(op="update", id="u", version="2")
    link.say(op="unregister", id="x")
    world.settle()


ENDS: tuple[Callable[[World, FakeLink], None], ...] = (
    leaves,
    dies,
    falls_silent,
    is_fenced,
    says_more_than_it_waits_for,
)


def there_are() -> int:
    """How many sessions and actors there are."""
    gc.collect()
    return sum(isinstance(each, Session | AgentActor) for each in gc.get_objects())


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_session_and_its_agents_actor_are_freed(end: Callable[[World, FakeLink], None]) -> None:
    world = World()
    before = there_are()
    link, _ = world.agent()
    link.ask(op="heartbeat", load=1)
    link.ask(op="watch", filter={})
    assert there_are() == before + 2
    end(world, link)
    if link.close_code is None:
        link.vanish()
    world.advance(300)  # deadlines that are of no more use come up
    del link
    world.links.clear()

    assert world.supervisor.registry.agents == {}
    assert there_are() == before
