"""Every field that an agent may say reaches its record, whatever way it is said.

The brain lists some of the fields again, for speed. One that is forgotten fails here: mypy would
pass, the agent would be answered `updated`, and nothing would have changed.
"""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.records import CHANGEABLE, amend, kind_of
from homeport_protocol.record import AgentChanges, AgentRecord, AgentSpec
from homeport_protocol.requests import Heartbeat, Update
from tests.support.records import record
from tests.support.world import World

VALUES: dict[str, Any] = {
    "name": "cost-1",
    "type": "other",
    "host": "10.0.0.1",
    "port": 8001,
    "capabilities": ["spot"],
    "version": "1.2",
    "metadata": {"zone": "a"},
    "status": "degraded",
    "load": 0.5,
}
"""A value other than the default for everything that an agent says of itself: add new fields."""

GIVEN_BY_THE_HUB = {"id", "registered_at", "last_seen", "health", "epoch", "hub", "revision"}


def fields(of: type) -> set[str]:
    return set(of.__struct_fields__)  # type: ignore[attr-defined]


CHANGES = sorted(fields(AgentChanges))
REPORTS = sorted(fields(Heartbeat) - {"id"})


def test_the_contract_s_lists_of_fields_agree() -> None:
    assert fields(AgentRecord) == fields(AgentSpec) | GIVEN_BY_THE_HUB
    assert fields(AgentSpec) == set(VALUES)
    assert fields(AgentChanges) == fields(AgentSpec) - {"name", "type"}, "those two never change"
    assert fields(Update) == fields(AgentChanges) | {"id"}
    assert fields(Heartbeat) <= fields(Update)
    assert fields(AgentChanges) == {*CHANGEABLE, "status"}


def said(stored: dict[str, Any]) -> dict[str, Any]:
    """What of a record the agent said itself."""
    return {name: stored.get(name) for name in VALUES}


def test_a_registration_s_fields_reach_the_record() -> None:
    world = World()
    answer = world.connect().ask(op="register", agent=VALUES)
    assert said(world.record(answer["agent_id"])) == VALUES


def test_a_registration_s_fields_reach_the_record_over_http() -> None:
    world = World()
    lease = world.http_register(**VALUES)
    assert said(world.record(lease.agent_id)) == VALUES


@pytest.mark.parametrize("field", CHANGES)
def test_each_field_of_an_update_reaches_the_record_and_is_an_event(field: str) -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    assert link.ask(op="update", **{field: VALUES[field]})["op"] == "updated"
    assert world.record(answer["agent_id"])[field] == VALUES[field]
    assert len(watcher.events()) == (field != "load"), "a load is a reading, no change"


@pytest.mark.parametrize("field", CHANGES)
def test_each_field_of_a_resumption_reaches_the_record(field: str) -> None:
    world = World()
    link, answer = world.agent()
    link.vanish()
    ids = {"agent_id": answer["agent_id"], "session_token": answer["session_token"]}
    changes = {field: VALUES[field]}
    assert world.connect().ask(op="resume", agent=changes, **ids)["op"] == "registered"
    assert world.record(answer["agent_id"])[field] == VALUES[field]


@pytest.mark.parametrize("field", REPORTS)
def test_each_field_of_a_heartbeat_reaches_the_record(field: str) -> None:
    world = World()
    link, answer = world.agent()
    assert link.ask(op="heartbeat", **{field: VALUES[field]})["durable"] is True
    assert world.record(answer["agent_id"])[field] == VALUES[field]


@pytest.mark.parametrize("field", REPORTS)
def test_each_field_of_a_heartbeat_is_kept_while_the_store_is_away(field: str) -> None:
    world = World()
    link, answer = world.agent()
    world.store.reachable = False
    link.say(op="heartbeat", id=1, **{field: VALUES[field]})
    link.say(op="heartbeat", id=2)
    world.advance(3)
    world.store.reachable = True
    world.advance(3)
    assert [each["durable"] for each in link.take("heartbeat_ack")] == [False, False]
    assert world.record(answer["agent_id"])[field] == VALUES[field]


@pytest.mark.parametrize("field", CHANGEABLE)
def test_each_field_makes_an_update(field: str) -> None:
    before = record()
    made = amend(before, AgentChanges(**{field: VALUES[field]}))
    assert kind_of(before, made) == (None if field == "load" else "updated")
