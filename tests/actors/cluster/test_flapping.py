"""Agents that change often are found, the worst first; one that does not change costs nothing."""

from __future__ import annotations

import pytest

from actors.cluster.flapping import KEPT, REMEMBERED
from actors.timing import Timing
from homeport_protocol.timestamps import parse_timestamp
from tests.support.world import FakeLink, World


def flap(world: World, agent_id: str, token: str, link: FakeLink) -> FakeLink:
    """Lose an agent's connection and resume it on another: two changes."""
    link.vanish()
    world.advance(0.5)
    link = world.connect()
    answer = link.ask(op="resume", agent_id=agent_id, session_token=token)
    assert answer["resumed"], answer
    return link


def flapping(link: FakeLink, **fields: object) -> list[tuple[str, int]]:
    answer = link.ask(op="flapping", **fields)
    assert answer["op"] == "flapping", answer
    return [(each["name"], each["changes"]) for each in answer["agents"]]


def fleet() -> tuple[World, FakeLink, dict[str, tuple[str, str]]]:
    """Three agents: one flaps four times, one twice, one not at all; and a caller."""
    world = World()
    caller, known = world.connect(), {}
    for name, times in (("quiet", 0), ("bad", 2), ("worst", 4)):
        link, registered = world.agent(name)
        known[name] = registered["agent_id"], registered["session_token"]
        for _ in range(times):
            link = flap(world, *known[name], link)
    return world, caller, known


def test_the_agents_that_change_often_are_found_the_worst_first() -> None:
    _, caller, _ = fleet()
    assert flapping(caller) == [("worst", 8), ("bad", 4)]
    assert flapping(caller, changes=5) == [("worst", 8)]
    assert flapping(caller, limit=1) == [("worst", 8)]
    assert flapping(caller, filter={"name": "bad"}) == [("bad", 4)]
    assert flapping(caller, filter={"type": "other"}) == []


def test_a_flapping_agent_is_told_with_its_last_change_and_reason() -> None:
    world, caller, known = fleet()
    answer = caller.ask(op="flapping", changes=8)
    (agent,) = answer["agents"]
    assert agent["agent_id"] == known["worst"][0]
    assert (agent["type"], agent["status"]) == ("cost", "healthy")
    assert (agent["last_kind"], agent["last_reason"]) == ("resumed", "connection_lost")
    last_seen = parse_timestamp(world.record(agent["agent_id"])["last_seen"])
    assert parse_timestamp(agent["last_change"]) == pytest.approx(last_seen, abs=0.01)
    assert answer["since"] < agent["last_change"]


def test_only_changes_within_the_time_asked_for_count() -> None:
    world, caller, _ = fleet()
    world.advance(30)
    assert flapping(caller, within=30, changes=1) == []
    assert flapping(caller, within=33, changes=1)[0] == ("worst", 8)


def test_a_changed_status_counts_and_an_update_does_not() -> None:
    world = World()
    link, _ = world.agent("moody")
    for number in range(3):
        link.ask(op="heartbeat", status="degraded" if number % 2 == 0 else "healthy")
        link.ask(op="update", version=str(number))
    (agent,) = world.connect().ask(op="flapping")["agents"]
    assert (agent["changes"], agent["last_kind"]) == (3, "status_changed")
    assert agent["last_reason"] == "self_reported"


def test_two_programs_that_take_one_identity_from_each_other_flap() -> None:
    world = World()
    _, registered = world.agent("twin")
    for _ in range(2):  # a third time is refused
        world.agent("twin", agent_id=registered["agent_id"])
    assert flapping(world.connect(), changes=2) == [("twin", 2)]


def test_every_hub_counts_what_happens_in_the_whole_cluster() -> None:
    first = World()
    second = World(store=first.store, seed=1, hub_id="hub-2")
    first.advance(2.5)
    link, registered = first.agent("a1")
    for _ in range(2):
        link = flap(first, registered["agent_id"], registered["session_token"], link)
    first.advance(2.5)
    assert flapping(second.connect()) == [("a1", 4)]


def test_what_is_remembered_is_bounded_for_each_agent_and_in_time() -> None:
    timing = Timing(heartbeat_timeout=REMEMBERED * 3, lease_ttl=REMEMBERED * 4)
    world = World(timing)
    link, registered = world.agent("a1")
    for _ in range(KEPT):
        link = flap(world, registered["agent_id"], registered["session_token"], link)
    caller = world.connect()
    assert flapping(caller, within=REMEMBERED) == [("a1", KEPT)]
    assert len(world.supervisor.replica.flapping) == 1
    world.advance(REMEMBERED)
    assert flapping(caller, within=REMEMBERED) == []
    assert len(world.supervisor.replica.flapping) == 0


def test_an_agent_that_is_gone_is_forgotten() -> None:
    world = World()
    link, registered = world.agent("a1")
    link = flap(world, registered["agent_id"], registered["session_token"], link)
    assert len(world.supervisor.replica.flapping) == 1
    link.ask(op="unregister")
    assert len(world.supervisor.replica.flapping) == 0


def test_bounds_and_filters_are_refused_by_their_field() -> None:
    caller = World().connect()
    for fields, field in (
        ({"changes": 0}, "changes"),
        ({"changes": KEPT + 1}, "changes"),
        ({"within": 0}, "within"),
        ({"within": REMEMBERED + 1}, "within"),
        ({"limit": 1001}, "limit"),
        ({"filter": {"typ": "cost"}}, "filter.typ"),
        ({"filter": {"version": "abc"}}, "filter.version"),
    ):
        answer = caller.ask(op="flapping", **fields)
        assert (answer["code"], answer["field"]) == ("bad_request", field), answer
