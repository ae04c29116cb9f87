"""The audit log is told of what begins and ends an agent's session, and of what is refused."""

from __future__ import annotations

import msgspec

from actors.ports.audit import Audited
from actors.rules.permissions import Principal
from tests.support.records import agent_id
from tests.support.world import World

A = Principal(id="token:a", role="agent")
B = Principal(id="token:b", role="agent")
OPERATOR = Principal(id="token:o", role="operator")
OBSERVER = Principal(id="token:v", role="observer")
ID = agent_id(1)


def told(world: World) -> list[dict[str, object]]:
    """What was told, without what does not apply; and forget it."""
    acts = [
        {key: value for key, value in msgspec.structs.asdict(act).items() if value not in ("", 0)}
        for act in world.observer.acts
    ]
    world.observer.acts.clear()
    assert all(act.pop("address") == "192.0.2.7" for act in acts)
    return acts


def test_registering_heartbeating_and_ending() -> None:
    world = World()
    link, lease = world.agent("a", agent_id=ID, principal=A)
    begun = {"outcome": "ok", "principal": "token:a", "agent_id": ID}
    assert told(world) == [
        {**begun, "what": "register", "name": "a", "epoch": 1, "revision": lease["revision"]}
    ]
    link.ask(op="heartbeat", status="degraded")
    link.ask(op="update", metadata={"k": "v"})
    link.ask(op="find", filter={})
    assert told(world) == []
    link.ask(op="unregister")
    assert [(act["what"], act["agent_id"]) for act in told(world)] == [("end", ID)]


def test_taking_over_from_a_session_that_lives_and_resuming_after_a_loss() -> None:
    world = World()
    first, lease = world.agent("a", agent_id=ID, principal=A)
    second, newer = world.agent("a", agent_id=ID, principal=A)
    assert first.close_code == 4409
    assert [(act["what"], act["epoch"]) for act in told(world)] == [
        ("register", 1),
        ("take_over", newer["epoch"]),
    ]
    thief = world.connect(B)
    resumed = thief.ask(op="resume", agent_id=ID, session_token=newer["session_token"])
    assert resumed["op"] == "registered"
    assert second.close_code == 4409
    thief.vanish()
    again = world.connect(A)
    again.ask(op="resume", agent_id=ID, session_token=newer["session_token"])
    assert [(act["what"], act["principal"]) for act in told(world)] == [
        ("take_over", "token:b"),
        ("resume", "token:a"),
    ], "who holds the session token"
    assert lease["session_token"] != newer["session_token"]


def test_acts_of_operators() -> None:
    world = World()
    world.agent("a", agent_id=ID, principal=A)
    told(world)
    operator = world.connect(OPERATOR)
    operator.ask(op="remove", agent_id=ID)
    operator.ask(op="acknowledge_loss")
    assert [(act["what"], act["principal"], act.get("agent_id")) for act in told(world)] == [
        ("remove", "token:o", ID),
        ("acknowledge_loss", "token:o", None),
    ]


def test_what_is_refused_because_of_who_asks() -> None:
    world = World()
    world.agent("a", agent_id=ID, principal=A)
    told(world)
    other = world.connect(B)
    other.ask(op="register", agent_id=ID, agent={"name": "x", "type": "cost"})
    other.ask(op="resume", agent_id=ID, session_token="made up")
    other.ask(op="remove", agent_id=ID)
    watcher = world.connect(OBSERVER)
    watcher.ask(op="pick", filter={})
    watcher.ask(op="register", agent={"name": "x", "type": "cost"})
    own = world.connect(A)
    own.ask(op="resume", agent_id=ID, session_token="made up")
    acts = told(world)
    assert [(act["what"], act["outcome"], act["principal"]) for act in acts] == [
        ("register", "forbidden", "token:b"),
        ("resume", "forbidden", "token:b"),
        ("remove", "forbidden", "token:b"),
        ("pick", "forbidden", "token:v"),
        ("register", "forbidden", "token:v"),
        ("resume", "unauthorized", "token:a"),
    ]
    assert [act.get("agent_id") for act in acts] == [ID, ID, ID, None, None, ID]


def test_a_removal_is_an_act_of_the_hub_that_makes_it() -> None:
    world = World()
    link, _ = world.agent("a", principal=A)
    link.vanish()
    told(world)
    world.advance(300)
    assert world.observer.made_here[-1] == ("expired", "a")
    assert world.observer.acts == [], "the observer of the hub tells of it by itself"


def test_nothing_else_is_told_of_a_request_that_fails() -> None:
    world = World()
    link = world.connect(A)
    link.ask(op="resume", agent_id=ID, session_token="t")
    link.ask(op="heartbeat")
    assert told(world) == []
    assert Audited(what="read").principal == ""
