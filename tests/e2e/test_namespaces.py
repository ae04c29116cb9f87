"""Namespaces: what naming one costs, who makes one, and what its watchers see of that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.hub_process import Hub, Place, new_namespace, running_hub
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import wait_until

NAMES = 150


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running(RedisServer()) as server:
        yield server


@pytest.fixture(scope="module")
def hubs(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Hub]]:
    with ExitStack() as hubs:

        def start(number: int) -> Hub:
            options = ("--redis", server.url, "--hub-id", f"names-{number}")
            return hubs.enter_context(running_hub(tmp_path_factory.mktemp("hub"), *options))

        yield [start(number) for number in range(2)]


@pytest.fixture
def places(hubs: list[Hub]) -> Iterator[list[Place]]:
    """A namespace that does not exist, at each hub."""
    namespace = new_namespace()
    places = [Place(hub, namespace) for hub in hubs]
    yield places
    for place in places:
        place.end()


def open_files(hub: Hub) -> int:
    return len(os.listdir(f"/proc/{hub.pid}/fd"))


def test_a_namespace_that_does_not_exist_answers_as_an_empty_one(places: list[Place]) -> None:
    place = places[0]
    unknown = "550e8400-e29b-41d4-a716-446655440000"
    assert place.get("/agents").json() == {"agents": [], "count": 0}
    assert place.get(f"/agents/{unknown}").status_code == 404
    assert place.get("/agents/pick").status_code == 404
    assert place.post(f"/agents/{unknown}/heartbeat", json={}).status_code == 404
    assert place.post(f"/agents/{unknown}/unregister").status_code == 200
    assert place.request("DELETE", f"/agents/{unknown}").status_code == 404
    wire = place.connect()
    assert wire.ask("find")["count"] == 0
    assert wire.ask("get", agent_id=unknown)["code"] == "not_found"
    assert wire.ask("pick")["code"] == "no_match"
    assert wire.ask("resume", agent_id=unknown, session_token="x" * 20)["code"] == "not_found"
    assert [each["hub_id"] for each in wire.ask("hubs")["hubs"]] == ["names-0", "names-1"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="files are counted on Linux")
def test_made_up_names_leave_no_file_key_client_or_metric(
    hubs: list[Hub], server: RedisServer
) -> None:
    hub, client = hubs[0], server.client
    Place(hub, new_namespace()).get("/agents")  # what answers for all of them is there from now on
    keys, clients, files = set(client.keys("*")), len(client.client_list()), open_files(hub)
    names = [new_namespace() for _ in range(NAMES)]
    places = [Place(hub, name) for name in names]
    for place in places:
        assert place.get("/agents").json()["count"] == 0
        place.http.close()
        assert place.watcher().said == []
    assert {key for key in client.keys("*") if not key.startswith("hub:")} <= keys
    assert len(client.client_list()) <= clients + 1
    assert open_files(hub) <= files + NAMES + 4  # the websockets
    metrics = Place(hub).get("/metrics").text
    assert not any(name in metrics for name in names)
    for place in places:
        place.end()


def test_who_watched_before_an_agent_came_misses_nothing_and_need_not_start_over(
    places: list[Place],
) -> None:
    here, there = (place.watcher() for place in places)
    log = places[0].connect().ask("find")["log"]
    wire, registered = places[0].agent("first")
    assert registered["log"] == log
    for watcher in (here, there):
        event = watcher.event("registered")
        assert (event["agent"]["id"], event["revision"]) == (registered["agent_id"], 1)
    wire.ask("update", version="2")
    for watcher in (here, there):
        assert watcher.event("updated")["revision"] == 2


def test_both_hubs_may_make_the_namespace_at_once(places: list[Place]) -> None:
    watchers = [place.watcher() for place in places]
    wires = [place.connect() for place in places]
    for number, wire in enumerate(wires):
        wire.send(
            {"op": "register", "id": f"r{number}", "agent": {"name": f"a{number}", "type": "cost"}}
        )
    ids = {wire.answer()["agent_id"] for wire in wires}
    for place in places:
        wait_until(lambda place=place: set(place.listed()) == {"a0", "a1"})
    for watcher in watchers:
        assert {watcher.event("registered")["agent"]["id"] for _ in ids} == ids


def test_callers_without_a_token_make_so_many_and_others_go_on(start_hub: Any) -> None:
    hub = start_hub("--redis", "memory://", "--open-namespaces", "1")
    first, second = Place(hub, "first"), Place(hub, "second")
    agent = first.register()
    words = "callers without a token can make 1 (open_namespaces)"
    body = {"name": "h", "type": "cost", "host": "h.example", "port": 1}
    refused = second.post("/agents/register", json=body)
    assert refused.status_code == 403
    assert words in refused.json()["error"]
    wire = second.connect()
    error = wire.ask("register", agent={"name": "a", "type": "cost"})
    assert (error["code"], error["retryable"]) == ("forbidden", False)
    assert words in error["message"]
    assert wire.ask("find")["count"] == 0
    assert first.post(f"/agents/{agent}/heartbeat", json={}).status_code == 200
    metrics = Place(hub).get("/metrics").text
    assert 'homeport_limits_applied_total{setting="open_namespaces"} 2.0' in metrics
    for place in (first, second):
        place.end()


def test_a_hub_starts_with_more_stored_namespaces_than_it_serves(
    start_hub: Any, start_server: Any
) -> None:
    server = start_server()
    full = start_hub("--redis", server.url, "--hub-id", "full")
    for number in range(5):
        Place(full, f"n{number}").register()
    small = start_hub("--redis", server.url, "--hub-id", "small", "--max-namespaces", "3")
    ready = Place(small).get("/ready")
    assert ready.status_code == 200
    assert any("3 namespaces are not served" in each for each in ready.json()["warnings"])
    assert Place(small, "n0").get("/agents").json()["count"] == 1
    assert "max_namespaces" in Place(small, "n4").get("/agents").json()["error"]
