"""Sessions of principals that were revoked, and of agents that belong to them."""

from __future__ import annotations

from actors.rules.permissions import Principal
from tests.support.records import agent_id
from tests.support.world import World

A = Principal(id="token:a", role="agent")
B = Principal(id="token:b", role="agent")
WATCHER = Principal(id="token:w", role="observer")
ID = agent_id(1)


def test_they_end_with_4401_and_others_go_on() -> None:
    world = World()
    links = [world.connect(A) for _ in range(250)]
    theirs, _ = world.agent("a1", principal=A)
    others, _ = world.agent("b1", principal=B)
    world.supervisor.end_sessions_of({"token:a"}, "the token was revoked")
    world.settle()
    assert {each.close_code for each in (*links, theirs)} == {4401}
    assert (theirs.close_reason, theirs.discarded) == ("the token was revoked", True)
    assert others.ask(op="heartbeat")["op"] == "heartbeat_ack"


def test_so_does_one_that_holds_an_agent_of_theirs_for_another_principal() -> None:
    world = World()
    link, lease = world.agent(agent_id=ID, principal=A)
    link.vanish()
    other = world.connect(B)
    other.ask(op="resume", agent_id=ID, session_token=lease["session_token"])
    world.supervisor.end_sessions_of({"token:a"}, "the token was revoked")
    world.settle()
    assert other.close_code == 4401
    world.advance(60)
    world.advance(60)
    assert len(world.supervisor.directory) == 0, "the agent ends as any that is lost"


def test_nothing_more_is_sent_and_nothing_that_waits_is_done() -> None:
    world = World()
    watcher = world.connect(WATCHER)
    watcher.watch()
    link = world.connect(A)
    watcher.take("snapshot")
    link.session.hold()
    link.say(op="register", id=1, agent={"name": "late", "type": "cost"})
    world.supervisor.end_sessions_of({"token:a", "token:w"}, "the token was revoked")
    world.agent("b1", principal=B)
    world.advance(1)
    assert (watcher.events(), link.sent) == ([], [])
    (only,) = world.supervisor.directory.ids()
    assert world.record(only)["name"] == "b1"


def test_one_that_is_registering_when_its_principal_is_revoked_is_not_answered() -> None:
    world = World()
    link = world.connect(A)
    link.say(op="register", id=1, agent_id=ID, agent={"name": "a", "type": "cost"})
    world.supervisor.end_sessions_of({"token:a"}, "the token was revoked")
    world.advance(1)
    assert (link.sent, link.close_code) == ([], 4401)
    assert world.record(ID)["health"]["connection"] == "lost"
