"""An agent belongs to the principal that registered it, over both transports."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.agent.outcomes import Lease
from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.record import AgentSpec
from tests.support.authority import OpenAuthority
from tests.support.records import agent_id
from tests.support.world import FakeLink, World

A = Principal(id="token:a", role="agent")
B = Principal(id="token:b", role="agent")
OPERATOR = Principal(id="token:o", role="operator")
ID = agent_id(1)
AGENT = {"name": "cost-1", "type": "cost"}


class Revocations(OpenAuthority):
    """Some principals were revoked."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def revoked(self, principal_id: str) -> bool:
        return principal_id in self.ids


@pytest.fixture
def authority() -> Revocations:
    return Revocations()


@pytest.fixture
def world(authority: Revocations) -> World:
    return World(authority=authority)


def is_refused(answer: Any) -> bool:
    code = answer.get("code") if isinstance(answer, dict) else getattr(answer, "code", None)
    return code == "forbidden"


def register(link: FakeLink, agent_id: str = ID, **more: Any) -> dict[str, Any]:
    return link.ask(op="register", agent_id=agent_id, agent=AGENT, **more)


def test_another_principal_changes_nothing_over_a_websocket(world: World) -> None:
    link, lease = world.agent(agent_id=ID, principal=A)
    before = world.supervisor.get(ID)
    thief = world.connect(B)
    for more in ({}, {"exclusive": True}):
        assert is_refused(register(thief, **more))
    for token in ("made up", f"{lease['registered_at']}.1.{'0' * 32}"):
        assert is_refused(thief.ask(op="resume", agent_id=ID, session_token=token))
    assert world.supervisor.get(ID) == before
    assert link.close_code is None, "its session goes on"
    assert thief.ask(op="ping")["op"] == "pong", "and so does the other connection"
    world.check_store()


def test_another_principal_changes_nothing_over_http(world: World) -> None:
    polled = world.http_register(agent_id=ID, principal=A)
    before = world.supervisor.get(ID)
    for token in (None, "made up"):
        assert is_refused(world.http_heartbeat(ID, token, principal=B, metadata={"k": 1}))
        assert is_refused(world.http_unregister(ID, token, principal=B))
    assert is_refused(world.http_register("cost-1", ID, principal=B))
    assert world.supervisor.get(ID) == before
    assert world.http_heartbeat(ID, principal=A).durable is True
    assert world.http_heartbeat(ID, polled.session_token, principal=A).durable is True


def test_a_refused_caller_does_not_keep_an_agent_alive(world: World) -> None:
    world.http_register(agent_id=ID, principal=A)
    for _ in range(10):
        world.advance(5)
        world.http_heartbeat(ID, principal=B)
    assert world.record(ID)["status"] == "unreachable"


@pytest.mark.parametrize("principal", [A, OPERATOR], ids=["its own", "an operator"])
def test_its_own_principal_may_and_so_may_an_operator(world: World, principal: Principal) -> None:
    world.agent(agent_id=ID, principal=A)
    assert register(world.connect(principal))["op"] == "registered"
    assert world.http_unregister(ID, principal=principal).code == "conflict", "a session has it"
    world.http_register("cost-1", ID, principal=principal)
    assert world.supervisor.replica.owners.of(ID) == principal.id
    assert world.http_heartbeat(ID, principal=principal).durable is True
    assert world.http_unregister(ID, principal=principal).durable is True
    assert world.supervisor.replica.owners.of(ID) == ""


def test_who_shows_the_session_token_may_whoever_it_acts_for(world: World) -> None:
    link, lease = world.agent(agent_id=ID, principal=A)
    token = lease["session_token"]
    link.vanish()
    other = world.connect(B)
    assert other.ask(op="resume", agent_id=ID, session_token=token)["op"] == "registered"
    assert other.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert world.http_heartbeat(ID, token, principal=B).durable is True
    assert world.supervisor.replica.owners.of(ID) == "token:a", "it belongs to A all the same"
    assert is_refused(register(world.connect(B)))
    assert other.ask(op="unregister")["op"] == "unregistered"


def test_nobody_may_once_its_principal_was_revoked(world: World, authority: Revocations) -> None:
    link, lease = world.agent(agent_id=ID, principal=A)
    polled = world.http_register(agent_id=agent_id(2), principal=A)
    link.vanish()
    authority.ids.add("token:a")
    resumed = world.connect(B).ask(op="resume", agent_id=ID, session_token=lease["session_token"])
    assert is_refused(resumed)
    assert "revoked" in resumed["message"]
    assert is_refused(world.http_heartbeat(agent_id(2), polled.session_token, principal=B))
    assert is_refused(world.http_unregister(agent_id(2), polled.session_token, principal=B))
    world.advance(60)
    assert world.record(agent_id(2))["status"] == "unreachable"
    world.advance(60)
    assert len(world.supervisor.directory) == 0
    assert register(world.connect(B))["op"] == "registered", "then its id is free"


def test_an_agent_of_nobody_may_be_taken_by_who_may_have_its_name(world: World) -> None:
    world.http_register("cost-1", ID)
    other = Principal(id="token:b", role="agent", names=("spot-*",))
    link = world.connect(other)
    answer = link.ask(op="register", agent_id=ID, agent={"name": "spot-1", "type": "cost"})
    assert is_refused(answer)
    assert is_refused(world.http_heartbeat(ID, principal=other))
    assert world.http_heartbeat(ID, principal=A).durable is True
    assert register(world.connect(A))["op"] == "registered"
    assert world.supervisor.replica.owners.of(ID) == "token:a"
    assert is_refused(register(world.connect(B)))


def test_where_nobody_is_asked_everybody_takes_every_agent(world: World) -> None:
    world.agent(agent_id=ID, principal=A)
    assert register(world.connect(ANYBODY))["op"] == "registered"
    assert world.supervisor.replica.owners.of(ID) == ""
    assert world.store.owners == {}


def test_whose_it_is_outlives_the_hub_and_the_data_of_the_store(world: World) -> None:
    world.agent(agent_id=ID, principal=A)
    assert world.store.owners == {ID: "token:a"}
    again = World(store=world.store)
    assert is_refused(register(again.connect(B)))
    assert register(again.connect(A))["op"] == "registered"
    again.store.lose_everything()
    again.advance(5)
    assert again.store.owners == {ID: "token:a"}, "it was put back"
    assert is_refused(register(again.connect(B)))


def test_its_readers_do_not_see_whose_it_is(world: World) -> None:
    watcher = world.watcher()
    world.agent(agent_id=ID, principal=A)
    watcher.ask(op="get", agent_id=ID)
    watcher.ask(op="find")
    assert "token:a" not in repr(watcher.sent)


def test_heartbeats_of_two_principals_are_answered_apart(world: World) -> None:
    world.http_register(agent_id=ID, principal=A)
    outcomes: list[Any] = []
    for principal in (A, B, A):
        world.supervisor.heartbeat(
            ID, "healthy", {}, outcomes.append, principal=principal, token=None
        )
    world.settle()
    assert [getattr(each, "code", "ok") for each in outcomes] == ["ok", "forbidden", "ok"]


def test_nothing_is_left_of_agents_that_are_gone(world: World) -> None:
    for number in range(1, 6):
        world.http_register(agent_id=agent_id(number), principal=A)
    world.agent(agent_id=agent_id(6), principal=B)[0].ask(op="unregister")
    assert len(world.supervisor.replica.owners) == 5
    world.advance(300)
    assert len(world.supervisor.directory) == 0
    assert len(world.supervisor.replica.owners) == 0
    assert world.store.owners == {}


def test_an_agent_whose_principal_was_revoked_is_nobodys(
    world: World, authority: Revocations
) -> None:
    link, _ = world.agent(agent_id=ID, name="cost-1", principal=A)
    over_http = agent_id(2)
    spec = msgspec.convert({**AGENT, "host": "h", "port": 1}, AgentSpec)
    world.supervisor.register(spec, over_http, lambda _: None, principal=A)
    world.settle()
    authority.ids.add("token:a")
    world.supervisor.end_sessions_of({"token:a"}, "revoked")
    world.settle()
    assert link.close_code == 4401
    other_names = Principal(id="token:c", role="agent", names=("web-*",))
    assert is_refused(register(world.connect(other_names)))
    again = world.connect(B)
    assert register(again)["op"] == "registered"
    assert world.supervisor.replica.owners.of(ID) == "token:b"
    outcomes: list[Any] = []
    world.supervisor.register(spec, over_http, outcomes.append, principal=B)
    world.settle()
    assert isinstance(outcomes[0], Lease)
    third = Principal(id="token:d", role="agent")
    assert is_refused(register(world.connect(third))), "it is somebody's again"
