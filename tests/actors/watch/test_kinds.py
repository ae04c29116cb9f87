"""Watches with `kinds`: only the events of these kinds, over any filter."""

from __future__ import annotations

from typing import Any

import pytest

from actors.watch.watch import HIGH_WATER
from homeport_protocol.bounds import KINDS
from tests.support.world import FakeLink, World

BIG = "x" * 15_000


def watcher_of(world: World, *kinds: str, **filter: Any) -> FakeLink:
    link = world.connect()
    link.watch(kinds=[*kinds], filter=filter)
    link.take("snapshot")
    return link


def live(world: World, name: str = "a1") -> None:
    """A life with an event of every kind but `expired`, and one that expires."""
    link, answer = world.agent(name)
    link.ask(op="update", version="2")
    link.ask(op="heartbeat", status="degraded")
    link.vanish()
    again = world.connect()
    again.ask(op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"])
    again.ask(op="unregister")
    lost, _ = world.agent(f"{name}-lost")
    lost.vanish()
    world.advance(200)


def test_each_kind_alone_is_just_the_events_of_that_kind() -> None:
    world = World()
    everything = world.watcher()
    watchers = {kind: watcher_of(world, kind) for kind in KINDS}
    live(world)
    told = everything.take("event")
    assert {each["kind"] for each in told} == set(KINDS)
    for kind, watcher in watchers.items():
        expected = [each for each in told if each["kind"] == kind]
        assert [{**each, "watch": 1} for each in watcher.take("event")] == expected


def test_forty_changes_of_no_interest_are_no_event_for_who_wants_status() -> None:
    world = World()
    link, _ = world.agent()
    watcher = watcher_of(world, "registered", "status_changed", "unregistered", "expired")
    for number in range(40):
        link.ask(op="update", version=str(number))
    link.ask(op="heartbeat", status="degraded")
    assert watcher.events() == [("status_changed", "a1", "degraded")]


def test_the_snapshot_has_all_agents_whatever_the_kinds() -> None:
    world = World()
    world.agent("a1")
    link = world.connect()
    link.watch(kinds=["expired"])
    (snapshot,) = link.take("snapshot")
    assert [each["name"] for each in snapshot["agents"]] == ["a1"]


def test_kinds_and_filter_both_hold() -> None:
    world = World()
    watcher = watcher_of(world, "registered", "unregistered", type="resource")
    link, _ = world.agent("a1")
    other, _ = world.agent("a2", type="resource")
    other.ask(op="update", version="2")
    link.ask(op="unregister")
    other.ask(op="unregister")
    assert watcher.events() == [("registered", "a2", "healthy"), ("unregistered", "a2", "healthy")]


def test_leaving_the_filter_is_told_by_an_event_of_a_kind_that_is_asked_for_only() -> None:
    world = World()
    link, _ = world.agent()
    told = watcher_of(world, "status_changed", status="healthy")
    untold = watcher_of(world, "updated", status="healthy")
    link.ask(op="heartbeat", status="degraded")
    assert told.events() == [("status_changed", "a1", "degraded")]
    assert untold.events() == []


def test_resuming_brings_the_missed_events_of_these_kinds_and_moves_on_behind_the_others() -> None:
    world = World()
    link, _ = world.agent()
    log = world.supervisor.log
    link.ask(op="update", version="2")
    link.ask(op="heartbeat", status="degraded")
    link.ask(op="update", version="3")
    again = world.connect()
    watching = again.watch(kinds=["status_changed"], since=1, log=log)
    assert (watching["resumed"], watching["revision"]) == (True, 4)
    assert again.event_revisions() == [3]
    link.ask(op="heartbeat", status="healthy")
    assert again.event_revisions() == [3, 5]


def test_a_change_of_another_kind_does_not_replace_one_that_waits() -> None:
    """A slow reader that asks for `status_changed` gets it in that state, not in a later one."""
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    agent, _ = world.agent("a1")
    watcher = world.connect()
    watcher.watch()
    watcher.watch(kinds=["status_changed"], filter={"name": "a1"})
    watcher.stop_reading()
    for number in range(90):
        noisy.ask(op="update", version=str(number))
    assert watcher.unsent >= HIGH_WATER
    agent.ask(op="heartbeat", status="degraded")
    agent.ask(op="update", version="later")
    watcher.sent.clear()
    watcher.read_on()
    (event,) = [each for each in watcher.take("event") if each["watch"] == 2]
    assert (event["kind"], event["agent"]["version"]) == ("status_changed", "")
    assert "coalesced" not in event


@pytest.mark.parametrize("kinds", [[], ["gone"], "expired", [1], {"expired": True}])
def test_kinds_that_are_none_are_refused_by_name(kinds: Any) -> None:
    answer = World().connect().ask(op="watch", kinds=kinds)
    assert (answer["code"], answer["field"]) == ("bad_request", "kinds")


def test_a_kind_that_does_not_exist_is_answered_with_those_that_do() -> None:
    answer = World().connect().ask(op="watch", kinds=["removed"])
    assert answer["message"] == (
        "kinds: invalid enum value 'removed'; one of registered, lost, resumed, updated, "
        "status_changed, unregistered, expired is expected"
    )
