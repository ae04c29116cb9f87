"""What is asked about the cluster itself: which hubs live, and that a loss is acknowledged."""

from __future__ import annotations

import pytest
from msgspec import structs

from actors.timing import Timing
from tests.support.world import World


def two_hubs() -> tuple[World, World]:
    """Two hubs on one store that have heard of each other."""
    first = World()
    second = World(store=first.store, seed=1, hub_id="hub-2")
    first.advance(2.5)
    return first, second


def test_a_hub_alone_lists_itself() -> None:
    world = World()
    world.agent()
    world.advance(1.5)
    answer = world.connect().ask(op="hubs")
    assert list(answer) == ["op", "id", "hubs", "answered_by", "log", "revision"]
    assert (answer["op"], answer["answered_by"], answer["revision"]) == ("hubs", "hub-1", 1)
    assert answer["log"] == world.supervisor.log
    (hub,) = answer["hubs"]
    assert list(hub) == [
        "hub_id",
        "url",
        "version",
        "started",
        "agents",
        "sessions",
        "revision",
        "lag",
    ]
    assert (hub["hub_id"], hub["agents"], hub["sessions"]) == ("hub-1", 1, 1)
    assert (hub["revision"], hub["lag"]) == (1, 0)


def test_each_hub_lists_all_in_the_order_of_their_ids_and_says_who_it_is() -> None:
    first, second = two_hubs()
    for world, hub_id in ((second, "hub-2"), (first, "hub-1")):
        answer = world.connect().ask(op="hubs")
        assert [each["hub_id"] for each in answer["hubs"]] == ["hub-1", "hub-2"]
        assert answer["answered_by"] == hub_id


def test_lag_is_what_a_hub_has_not_folded_of_what_the_furthest_has() -> None:
    first, second = two_hubs()
    link = second.connect()
    _, registered = first.agent()
    for version in "234":
        first.links[-1].ask(op="update", version=version)
    first.advance(2.5)
    assert [each["lag"] for each in link.ask(op="hubs")["hubs"]] == [0, 0]
    assert registered["revision"] == 1
    # A hub that no longer follows the log, and says how far it is.
    hubs = second.supervisor.roster
    hubs[1] = structs.replace(hubs[1], revision=1)
    assert [each["lag"] for each in link.ask(op="hubs")["hubs"]] == [0, 3]


def test_a_loss_is_acknowledged_with_how_many_were_held_back() -> None:
    first = World(Timing(loss_share=0.15))
    second = World(Timing(loss_share=0.15), store=first.store, seed=1, hub_id="hub-2")
    links = [first.agent(f"a{n}")[0] for n in range(12)]
    first.advance(2.5)
    for link in links:
        link.vanish()
    first.advance(10)
    answer = second.connect().ask(op="acknowledge_loss")
    assert list(answer) == ["op", "id", "agents", "revision"]
    assert (answer["op"], answer["agents"]) == ("loss_acknowledged", 12)
    assert answer["revision"] == second.supervisor.revision
    assert second.connect().ask(op="acknowledge_loss")["agents"] == 0
    first.advance(2.5)
    assert first.supervisor.loss is None


def test_when_nothing_was_lost_an_acknowledgement_changes_nothing() -> None:
    world = World()
    link, registered = world.agent()
    answer = link.ask(op="acknowledge_loss")
    assert (answer["agents"], answer["revision"]) == (0, registered["revision"])
    assert link.ask(op="ping")["op"] == "pong"


@pytest.mark.parametrize("slow", ["get", "watch"])
def test_what_the_store_is_asked_for_is_answered_before_what_comes_behind_it(slow: str) -> None:
    first, second = two_hubs()
    _, registered = first.agent()
    link, answer = second.agent("a2")
    link.sent.clear()
    read, held = second.port.read, []
    second.port.read = lambda *asked: held.append(asked)  # type: ignore[method-assign]
    if slow == "get":
        link.say(op="get", id=1, agent_id=registered["agent_id"])
    else:
        link.say(op="watch", id=1, filter={}, since=answer["revision"] + 1, log=answer["log"])
    link.say(op="heartbeat", id=2)
    link.say(op="update", id=3, version="2")
    second.settle()
    for asked in held:
        read(*asked)
    second.settle()
    assert [each["id"] for each in link.sent if "id" in each] == [1, 2, 3]
