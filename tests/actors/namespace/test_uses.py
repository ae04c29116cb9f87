"""A principal with limited uses: each new agent takes one, whoever registers it, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.namespace.registrations import MAX_TAKING
from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentSpec
from tests.support.authority import OpenAuthority
from tests.support.records import agent_id
from tests.support.world import World

ONCE = Principal(id="token:once", role="agent", limited=True)
OTHER = Principal(id="token:other", role="agent")
ID = agent_id(1)
AGENT = {"name": "a1", "type": "cost"}

Taken = Callable[[ProtocolError | None], None]


class Uses(OpenAuthority):
    """So many uses are left; answers come late while it is `slow`."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.slow = False
        self.waiting: list[Taken] = []
        self.away = False

    def take_use(self, principal_id: str, reply: Taken) -> None:
        assert principal_id == "token:once", "the others have no limit"
        if self.slow:
            self.waiting.append(reply)
        else:
            self._answer(reply)

    def give_back_use(self, principal_id: str) -> None:
        self.left += 1

    def go_on(self) -> None:
        for reply in self.waiting:
            self._answer(reply)
        self.waiting.clear()

    def _answer(self, reply: Taken) -> None:
        if self.away:
            reply(ProtocolError("unavailable", "the tokens cannot be read"))
        elif self.left > 0:
            self.left -= 1
            reply(None)
        else:
            reply(ProtocolError("forbidden", "the token has no uses left"))


@pytest.fixture
def uses() -> Uses:
    return Uses(1)


@pytest.fixture
def world(uses: Uses) -> World:
    return World(authority=uses)


def test_a_token_of_one_use_joins_one_agent_which_goes_on(world: World, uses: Uses) -> None:
    link, lease = world.agent(agent_id=ID, principal=ONCE)
    assert uses.left == 0
    second = world.connect(ONCE)
    refused = second.ask(op="register", agent=AGENT)
    assert (refused["code"], refused["message"]) == ("forbidden", "the token has no uses left")
    assert world.http_register(principal=ONCE).code == "forbidden"
    assert link.ask(op="heartbeat")["op"] == "heartbeat_ack"
    link.vanish()
    token = lease["session_token"]
    assert second.ask(op="resume", agent_id=ID, session_token=token)["resumed"] is True
    second.vanish()
    again = world.connect(ONCE).ask(op="register", agent_id=ID, agent=AGENT)
    assert again["op"] == "registered", "its own id takes no use"
    assert uses.left == 0


def test_over_http_each_agent_without_an_id_is_new(world: World, uses: Uses) -> None:
    lease = world.http_register(principal=ONCE)
    assert world.http_heartbeat(lease.agent_id, principal=ONCE).durable is True
    assert world.http_register("h1", lease.agent_id, principal=ONCE).epoch > lease.epoch
    assert world.http_register("h1", principal=ONCE).code == "forbidden"


def test_to_take_an_agent_of_nobody_is_a_use_as_well(world: World, uses: Uses) -> None:
    for number in (1, 2):
        world.http_register("a1", agent_id(number))
    assert world.http_register("a1", agent_id(1), principal=ONCE).epoch > 0
    assert world.http_register("a1", agent_id(2), principal=ONCE).code == "forbidden"


def test_what_is_refused_takes_none(world: World, uses: Uses) -> None:
    world.agent(agent_id=ID, principal=OTHER)
    assert world.http_register("a1", ID, principal=ONCE).code == "forbidden"
    named = Principal(id="token:once", role="agent", limited=True, names=("spot-*",))
    assert world.http_register("a1", principal=named).code == "forbidden"
    assert uses.left == 1
    assert world.http_register(principal=ONCE).epoch > 0


def test_what_the_store_does_not_take_gives_it_back(world: World, uses: Uses) -> None:
    link = world.connect()
    world.lose_store(link)
    link = world.connect(ONCE)
    link.say(op="register", id=1, agent=AGENT)
    world.advance(5)
    assert [each["code"] for each in link.take("error")] == ["unavailable"]
    assert uses.left == 1


def test_while_the_tokens_cannot_be_read_it_is_unavailable(world: World, uses: Uses) -> None:
    uses.away = True
    link = world.connect(ONCE)
    refused = link.ask(op="register", agent=AGENT)
    assert (refused["code"], refused["retryable"]) == ("unavailable", True)
    uses.away = False
    assert link.ask(op="register", agent=AGENT)["op"] == "registered"


def test_a_session_that_ends_while_it_waits_gives_it_back(world: World, uses: Uses) -> None:
    uses.slow = True
    link = world.connect(ONCE)
    link.say(op="register", id=1, agent=AGENT)
    link.vanish()
    uses.go_on()
    world.settle()
    assert uses.left == 1
    assert len(world.supervisor.directory) == 0


def test_requests_behind_a_registration_that_waits_are_answered_after_it(
    world: World, uses: Uses
) -> None:
    uses.slow = True
    link = world.connect(ONCE)
    link.say(op="register", id=1, agent=AGENT)
    link.say(op="heartbeat", id=2)
    world.settle()
    assert link.sent == []
    uses.go_on()
    world.settle()
    assert [each["op"] for each in link.sent] == ["registered", "heartbeat_ack"]


def test_only_so_many_wait(world: World, uses: Uses) -> None:
    uses.slow = True
    outcomes: list[Any] = []
    spec = AgentSpec(name="a1", type="cost")
    for _ in range(MAX_TAKING + 1):
        world.supervisor.register(spec, None, outcomes.append, principal=ONCE)
    assert [each.code for each in outcomes] == ["rate_limited"]
    uses.go_on()
    world.settle()
    assert sum(not isinstance(each, ProtocolError) for each in outcomes) == 1
    assert world.http_register(principal=OTHER).epoch > 0
