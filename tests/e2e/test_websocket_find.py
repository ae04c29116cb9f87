"""Discovery: find, get and pick, by every key of the filter and every strategy."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.records import SOMEONE, assert_record, fields_of
from tests.support.hub_process import Place
from tests.support.programs import homeport


@pytest.fixture
def fleet(place: Place) -> dict[str, str]:
    """Four agents that differ in everything; name to id."""
    agents: dict[str, dict[str, Any]] = {
        "one": {
            "type": "cost",
            "capabilities": ["spot", "reserved"],
            "version": "1.5",
            "host": "a.example",
            "metadata": {"region": "eu", "gpu": {"model": "h100", "count": 8}},
        },
        "two": {
            "type": "cost",
            "capabilities": ["spot"],
            "version": "2.0",
            "host": "b.example",
            "metadata": {"region": "us", "gpu": {"model": "h100", "count": 4}},
        },
        "three": {
            "type": "resource",
            "capabilities": ["reserved", "scale"],
            "version": "1.10",
            "host": "a.example",
            "status": "degraded",
            "metadata": {"region": "eu", "gpu.model": "flat"},
        },
        "four": {"type": "resource", "version": "nightly", "status": "unhealthy"},
    }
    return {name: place.agent(name, **spec)[1]["agent_id"] for name, spec in agents.items()}


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "one two three four"),
    ({"type": "cost"}, "one two"),
    ({"type": "none"}, ""),
    ({"name": "three"}, "three"),
    ({"capabilities": ["spot"]}, "one two"),
    ({"capabilities": ["reserved", "spot"]}, "one"),
    ({"capabilities": []}, "one two three four"),
    ({"any_capability": ["scale", "spot"]}, "one two three"),
    ({"any_capability": ["none"]}, ""),
    ({"status": "healthy"}, "one two"),
    ({"status": ["degraded", "unhealthy"]}, "three four"),
    ({"host": "a.example"}, "one three"),
    ({"version": ">=1.2,<2"}, "one three"),
    ({"version": ">1.9"}, "two three"),
    ({"version": "==2.0"}, "two"),
    ({"metadata": {"region": "eu"}}, "one three"),
    ({"metadata": {"gpu.model": "h100"}}, "one two"),
    ({"metadata": {"gpu.count": 8}}, "one"),
    ({"metadata": {"gpu": {"model": "h100", "count": 4}}}, "two"),
    ({"metadata": {"gpu.count": "8"}}, ""),
    ({"metadata": {}}, "one two three four"),
    ({"type": "cost", "host": "a.example", "status": "healthy"}, "one"),
    ({"type": "cost", "capabilities": ["scale"]}, ""),
]


@pytest.mark.parametrize(("filter", "names"), FILTERS, ids=range(len(FILTERS)))
def test_every_given_key_of_a_filter_must_hold(
    place: Place, fleet: dict[str, str], filter: dict[str, Any], names: str
) -> None:
    wire = place.connect()
    found = wire.ask("find", filter=filter)
    assert fields_of(found) == {"op", "id", "agents", "count", "log", "revision"}
    assert sorted(agent["name"] for agent in found["agents"]) == sorted(names.split())
    assert found["count"] == len(found["agents"])
    wire.watch(filter)
    assert {agent["id"] for agent in wire.snapshot()} == {fleet[name] for name in names.split()}


def test_1_10_is_newer_than_1_9_and_a_version_that_is_none_never_matches(
    place: Place, fleet: dict[str, str]
) -> None:
    found = place.connect().ask("find", filter={"version": ">=0"})
    assert "four" not in [agent["name"] for agent in found["agents"]]


def test_all_pages_together_are_all_agents_each_once(place: Place) -> None:
    ids = {place.register(name=f"n{number}") for number in range(25)}
    wire = place.connect()
    seen: list[str] = []
    page = wire.ask("find", limit=10)
    sizes = [page["count"]]
    seen += [agent["id"] for agent in page["agents"]]
    while "next_cursor" in page:
        assert isinstance(page["next_cursor"], str)
        page = wire.ask("find", limit=10, cursor=page["next_cursor"])
        sizes.append(page["count"])
        seen += [agent["id"] for agent in page["agents"]]
    assert sizes == [10, 10, 5]
    assert len(seen) == 25
    assert set(seen) == ids


def test_there_is_no_next_cursor_when_there_is_no_more(place: Place) -> None:
    for number in range(5):
        place.register(name=f"n{number}")
    wire = place.connect()
    assert "next_cursor" not in wire.ask("find", limit=5)
    assert "next_cursor" in wire.ask("find", limit=4)
    assert "next_cursor" not in wire.ask("find")


def test_pages_keep_to_their_filter_while_agents_come_and_go(place: Place) -> None:
    stay = {place.register(name="stay") for _ in range(12)}
    wire = place.connect()
    seen: list[str] = []
    page = wire.ask("find", limit=3, filter={"name": "stay"})
    while True:
        seen += [agent["id"] for agent in page["agents"]]
        place.post(f"/agents/{place.register(name='other')}/unregister")
        place.register(name="other")
        if "next_cursor" not in page:
            break
        page = wire.ask("find", limit=3, filter={"name": "stay"}, cursor=page["next_cursor"])
    assert sorted(seen) == sorted(stay)


def test_get_answers_with_the_one_agent_or_not_found(place: Place, fleet: dict[str, str]) -> None:
    wire = place.connect()
    answer = wire.ask("get", agent_id=fleet["two"])
    assert fields_of(answer) == {"op", "id", "agent"}
    assert answer["op"] == "agent"
    assert_record(answer["agent"])
    assert answer["agent"]["name"] == "two"
    missing = wire.ask("get", agent_id=SOMEONE)
    assert (missing["op"], missing["code"], missing["retryable"]) == ("error", "not_found", False)


def test_round_robin_gives_every_healthy_agent_its_turn(place: Place) -> None:
    ids = [place.register(name=f"n{number}") for number in range(4)]
    wire = place.connect()
    picked = [wire.ask("pick")["agent"]["id"] for _ in range(8)]
    assert sorted(picked) == sorted(ids * 2)
    assert picked[:4] == picked[4:]


def test_only_healthy_agents_are_picked_unless_the_filter_names_a_status(
    place: Place, fleet: dict[str, str]
) -> None:
    wire = place.connect()
    for strategy in ("round_robin", "random", "least_loaded"):
        picked = {wire.ask("pick", strategy=strategy)["agent"]["name"] for _ in range(12)}
        assert picked <= {"one", "two"}
    answer = wire.ask("pick", filter={"status": "degraded"})
    assert answer["op"] == "agent"
    assert answer["agent"]["name"] == "three"


def test_least_loaded_picks_who_says_the_least(place: Place) -> None:
    loads = {place.agent(f"n{load}", load=load)[1]["agent_id"]: load for load in (3, 0.5, 7)}
    wire = place.connect()
    for _ in range(3):
        assert loads[wire.ask("pick", strategy="least_loaded")["agent"]["id"]] == 0.5


def test_sticky_gives_the_same_agent_for_the_same_key_while_it_lives(place: Place) -> None:
    ids = {place.register(name=f"n{number}") for number in range(6)}
    wire = place.connect()

    def pick(key: str) -> str:
        return str(wire.ask("pick", strategy="sticky", key=key)["agent"]["id"])

    first = {f"key-{n}": pick(f"key-{n}") for n in range(30)}
    assert len(set(first.values())) > 1, "keys are spread over agents"
    assert {key: pick(key) for key in first} == first
    gone = first["key-0"]
    place.post(f"/agents/{gone}/unregister")
    second = {key: pick(key) for key in first}
    assert gone not in second.values()
    kept = {key: agent for key, agent in first.items() if agent != gone}
    assert {key: second[key] for key in kept} == kept, "a death moves only its own keys"
    assert set(second.values()) <= ids


def test_random_picks_any_of_them(place: Place) -> None:
    ids = {place.register(name=f"n{number}") for number in range(3)}
    wire = place.connect()
    assert {wire.ask("pick", strategy="random")["agent"]["id"] for _ in range(60)} == ids


def test_pick_never_returns_an_agent_whose_connection_is_lost(place: Place) -> None:
    wire, registered = place.agent("lost")
    other = place.connect()
    watcher = place.watcher()
    wire.reset()
    watcher.event("lost")
    assert other.record(registered["agent_id"])["health"]["connection"] == "lost"
    for filter_ in ({}, {"status": "healthy"}, {"status": ["healthy", "unreachable"]}):
        answer = other.ask("pick", filter=filter_)
        assert (answer["op"], answer["code"]) == ("error", "no_match")
    assert other.ask("find")["count"] == 1, "it can still be found"


def test_nothing_to_pick_is_no_match(place: Place) -> None:
    answer = place.connect().ask("pick", filter={"type": "none"})
    assert (answer["op"], answer["code"]) == ("error", "no_match")


def test_more_than_may_wait_is_answered_as_it_is_read(place: Place) -> None:
    for number in range(65):  # nearly 1 MiB, the most that one answer has
        place.register(name=f"large-{number}", metadata={"pad": "x" * 15_000})
    wire = place.connect()
    for number in range(60):  # some 60 MiB of answers
        wire.send({"op": "find", "id": number})
    for number in range(60):
        answer = wire.answer()
        assert (answer["id"], answer["count"]) == (number, 65)
        assert "next_cursor" not in answer


def test_a_large_answer_is_read_page_by_page(place: Place) -> None:
    ids = {place.register(name=f"large-{n}", metadata={"pad": "x" * 15_000}) for n in range(150)}
    wire = place.connect()
    page = wire.ask("find", limit=10_000)
    assert page["count"] < 100
    found = [each["id"] for each in page["agents"]]
    while "next_cursor" in page:
        page = wire.ask("find", limit=10_000, cursor=page["next_cursor"])
        found += [each["id"] for each in page["agents"]]
    assert len(found) == 150
    assert set(found) == ids
    assert {each["id"] for each in place.get("/agents").json()["agents"]} == ids
    listed = subprocess.check_output(
        [*homeport(), "agents", "--json", "--url", place.hub.url, "--namespace", place.namespace]
    )
    assert {each["id"] for each in json.loads(listed)["agents"]} == ids
