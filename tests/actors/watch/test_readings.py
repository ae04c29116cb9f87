"""Watches with `readings`: loads that move, at most once a second, the newest of each agent."""

from __future__ import annotations

from typing import Any

import pytest

from actors.watch.readings import MOST_LOADS
from actors.watch.watch import HIGH_WATER
from homeport_protocol.codec import encode
from tests.support.cluster_world import Cluster
from tests.support.records import agent_id
from tests.support.world import FakeLink, World

BIG = "x" * 15_000


def reader_of(world: World, **fields: Any) -> FakeLink:
    """A watch with readings; its snapshot has been taken away."""
    link = world.connect()
    link.watch(readings=True, **fields)
    link.take("snapshot")
    return link


def loads(link: FakeLink) -> list[dict[str, float]]:
    """The loads of each reading so far, taken away."""
    taken = link.take("reading")
    assert all(list(each) == ["op", "watch", "loads"] and each["watch"] == 1 for each in taken)
    return [each["loads"] for each in taken]


def test_loads_that_move_come_as_one_reading_with_the_newest_of_each() -> None:
    world = World()
    one, held = world.agent("one")
    two, other = world.agent("two", load=5)
    world.agent("silent", load=9)
    reader = reader_of(world)
    one.ask(op="heartbeat", load=0.4)
    assert loads(reader) == [{held["agent_id"]: 0.4}]
    for load in (1, 2, 3):
        one.ask(op="heartbeat", load=load)
        two.ask(op="update", load=load + 10)
    assert loads(reader) == []
    world.advance(1)
    assert loads(reader) == [{held["agent_id"]: 3, other["agent_id"]: 13}]
    world.advance(30)
    assert loads(reader) == [], "nothing has moved"
    assert reader.events() == []


def test_readings_come_at_most_once_a_second() -> None:
    world = World()
    link, _ = world.agent()
    reader = reader_of(world)
    began = world.scheduler.now()
    for number in range(200):
        link.ask(op="heartbeat", load=number)
    took = world.scheduler.now() - began
    assert took - 1 < len(loads(reader)) <= took + 1


def test_the_same_load_again_is_no_reading_and_neither_is_anything_else() -> None:
    world = World()
    link, _ = world.agent(load=1)
    reader = reader_of(world)
    for says in ({}, {"load": 1}, {"status": "healthy"}, {"metadata": {"k": 1}}):
        link.ask(op="heartbeat", **says)
    link.ask(op="update", version="2")
    world.advance(5)
    assert loads(reader) == []
    assert len(reader.events()) == 2


@pytest.mark.parametrize("asked", [{}, {"readings": False}])
def test_who_did_not_ask_gets_none(asked: dict[str, Any]) -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.connect()
    watcher.watch(**asked)
    reader_of(world)
    link.ask(op="heartbeat", load=1)
    world.advance(5)
    assert loads(watcher) == []


def test_a_filter_leaves_other_agents_out() -> None:
    world = World()
    one, held = world.agent("one")
    two, _ = world.agent("two")
    reader = reader_of(world, filter={"name": "one", "status": "healthy"})
    for link in (one, two):
        link.ask(op="heartbeat", load=1)
    world.advance(1)
    assert loads(reader) == [{held["agent_id"]: 1}]
    one.ask(op="heartbeat", load=2, status="degraded")
    one.ask(op="heartbeat", load=3)
    world.advance(2)
    assert loads(reader) == []


def test_a_load_that_moved_by_an_event_of_another_kind_is_read_too() -> None:
    world = World()
    link, held = world.agent()
    reader = reader_of(world, kinds=["registered", "unregistered"])
    link.ask(op="heartbeat", load=2, metadata={"k": 1})
    world.advance(1)
    assert loads(reader) == [{held["agent_id"]: 2}]
    assert reader.events() == []


def test_an_agent_that_has_left_is_not_read() -> None:
    world = World()
    link, _ = world.agent()
    reader = reader_of(world)
    link.ask(op="heartbeat", load=1)
    loads(reader)
    link.ask(op="heartbeat", load=2)
    link.ask(op="unregister")
    world.advance(3)
    assert loads(reader) == []


def test_a_watch_that_resumes_is_read_the_loads_as_they_are() -> None:
    world = World()
    link, held = world.agent()
    _, other = world.agent("other", load=7)
    at = world.watcher().ask(op="watch")["position"]
    link.ask(op="heartbeat", load=1)
    reader = world.connect()
    assert reader.watch(readings=True, position=at)["resumed"] is True
    world.advance(1)
    assert loads(reader) == [{held["agent_id"]: 1, other["agent_id"]: 7}]
    world.advance(5)
    assert loads(reader) == []


def test_an_ended_watch_gets_no_more() -> None:
    world = World()
    link, _ = world.agent()
    reader = reader_of(world)
    reader.ask(op="unwatch", watch=1)
    link.ask(op="heartbeat", load=1)
    world.advance(3)
    assert loads(reader) == []
    gone = reader_of(world)
    gone.vanish()
    link.ask(op="heartbeat", load=2)
    world.advance(3)
    assert loads(gone) == []


def test_a_slow_reader_holds_nothing_and_gets_the_newest_loads_once_it_reads() -> None:
    world = World()
    link, held = world.agent(metadata={"pad": BIG})
    _, other = world.agent("other", load=7)
    slow, brisk = reader_of(world), reader_of(world)
    slow.stop_reading()
    for number in range(2 * HIGH_WATER // len(BIG)):
        link.ask(op="update", version=str(number))
    before = slow.unsent
    for number in range(10):
        link.ask(op="heartbeat", load=number)
        world.advance(1)
    assert slow.unsent == before, "readings do not add to what waits"
    assert loads(brisk) == [{held["agent_id"]: number} for number in range(10)]
    slow.read_on()
    world.advance(1)
    assert loads(slow) == [{held["agent_id"]: 9, other["agent_id"]: 7}]


def test_no_message_is_larger_than_a_frame() -> None:
    world = World()
    count = 2 * MOST_LOADS + 1
    for number in range(count):
        world.http_register(f"h{number}", agent_id(number))
    reader = reader_of(world, filter={"name": "h1"})
    everybody = reader_of(world)
    for number in range(count):
        world.supervisor.registry.get(agent_id(number))
        world.http_heartbeat(agent_id(number), load=1.2345678901234567e-300)
    world.advance(3)
    sizes = [len(encode(each)) for each in everybody.sent if each["op"] == "reading"]
    assert max(sizes) <= 64 * 1024
    told: dict[str, float] = {}
    for each in loads(everybody):
        told |= each
    assert len(told) == count
    assert loads(reader) == [{agent_id(1): 1.2345678901234567e-300}]


def test_the_loads_of_another_hub_s_agents_are_read_within_two_seconds() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent()
    cluster.settle()
    reader = reader_of(cluster["b"])
    for load in (1, 2, 3):
        link.ask(op="heartbeat", load=load)
        cluster.advance(2)
        assert loads(reader)[-1] == {held["agent_id"]: load}


def test_a_reading_never_comes_before_a_change_that_it_is_newer_than() -> None:
    """A watcher that takes both as they come ends with the newest load."""
    world = World()
    links = [world.agent(f"n{number}", load=0)[0] for number in range(20)]
    readers = [reader_of(world) for _ in range(20)]
    believed: list[dict[str, float]] = [{} for _ in readers]
    for round_ in range(1, 40):
        for number, link in enumerate(links):
            fields = {"metadata": {"k": round_}} if (round_ + number) % 3 else {}
            link.say(op="heartbeat", id=round_, load=round_, **fields)
        world.advance(0.13)
    world.advance(2)
    for reader, belief in zip(readers, believed, strict=True):
        for each in reader.sent:
            if each["op"] == "event":
                belief[each["agent"]["id"]] = each["agent"]["load"]
            elif each["op"] == "reading":
                belief.update(each["loads"])
        assert set(belief.values()) == {39}
