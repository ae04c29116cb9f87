"""The legacy registry's routes, bodies and examples work as before."""

from __future__ import annotations

import re
import socket
import uuid
from typing import Any

import pytest

from tests.support.hub_process import Place
from tests.support.waiting import LIMIT

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SOMEONE = "550e8400-e29b-41d4-a716-446655440000"
FULL = {
    "name": "cost-agent-1",
    "type": "cost",
    "host": "localhost",
    "port": 8001,
    "capabilities": ["spot_migration", "reserved_instances"],
    "version": "1.0.0",
    "metadata": {"region": "eu"},
}
TWELVE = "id name type host port capabilities status version registered_at last_seen metadata"


def test_the_documented_registration_is_answered_as_documented(place: Place) -> None:
    response = place.post("/agents/register", json=FULL)
    assert response.status_code == 201
    assert response.headers["content-type"].startswith("application/json")
    answer = response.json()
    agent_id = answer["agent_id"]
    assert str(uuid.UUID(agent_id)) == agent_id
    assert TIME.fullmatch(answer["registered_at"])
    assert answer == {
        "agent_id": agent_id,
        "registered_at": answer["registered_at"],
        "heartbeat_url": f"/agents/{agent_id}/heartbeat",
        "heartbeat_interval_seconds": 30,
        "session_token": answer["session_token"],
    }
    assert isinstance(answer["heartbeat_interval_seconds"], int), "the legacy field is an int"
    record = place.record(agent_id)
    assert record is not None
    assert list(record)[:11] == TWELVE.split()
    assert {name: record[name] for name in FULL} == FULL
    assert record["status"] == "healthy"
    assert record["registered_at"] == answer["registered_at"]


def test_the_documented_example_with_host_and_port_in_one_is_taken(place: Place) -> None:
    example = {
        "name": "cost-agent-1",
        "type": "cost",
        "capabilities": ["spot_migration", "reserved_instances"],
        "host": "cost-agent:8001",
        "status": "healthy",
    }
    response = place.post("/agents/register", json=example)
    assert response.status_code == 201, response.text
    record = place.record(response.json()["agent_id"])
    assert record is not None
    assert (record["host"], record["port"]) == ("cost-agent", 8001)


def test_a_host_with_a_colon_stays_as_it_is_when_a_port_is_given(place: Place) -> None:
    record = place.record(place.register(host="cost-agent:8001", port=9))
    assert record is not None
    assert (record["host"], record["port"]) == ("cost-agent:8001", 9)


def test_what_gos_json_leaves_empty_is_taken_as_absent(place: Place) -> None:
    """Go writes `null` for a slice or map that was never filled."""
    empty = {"capabilities": None, "metadata": None, "version": ""}
    record = place.record(place.register(**empty))
    assert record is not None
    assert record["capabilities"] == []
    assert "metadata" not in record
    assert record["version"] == ""


def test_the_documented_heartbeat_is_answered_as_documented(place: Place) -> None:
    agent_id = place.register(metadata={"a": 1, "b": 2})
    body = {"status": "degraded", "metadata": {"b": 3, "a": None, "c": 4}}
    response = place.post(f"/agents/{agent_id}/heartbeat", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert TIME.fullmatch(answer["timestamp"])
    assert answer == {
        "received": True,
        "next_interval_seconds": 30,
        "timestamp": answer["timestamp"],
    }
    assert isinstance(answer["next_interval_seconds"], int)
    record = place.record(agent_id)
    assert record is not None
    assert record["status"] == "degraded"
    assert record["metadata"] == {"b": 3, "c": 4}


@pytest.mark.parametrize("body", [{}, {"status": "healthy"}, {"metadata": {}}, {"status": ""}])
def test_every_part_of_a_heartbeat_may_be_left_out(place: Place, body: dict[str, Any]) -> None:
    agent_id = place.register(metadata={"a": 1})
    before = place.record(agent_id)
    assert place.post(f"/agents/{agent_id}/heartbeat", json=body).status_code == 200
    after = place.record(agent_id)
    assert before is not None
    assert after is not None
    assert after["last_seen"] > before["last_seen"]
    assert after | {"last_seen": ""} == before | {"last_seen": ""}


def test_a_heartbeat_of_an_unknown_agent_is_a_404_with_an_error(place: Place) -> None:
    response = place.post(f"/agents/{SOMEONE}/heartbeat", json={"status": "healthy"})
    assert response.status_code == 404
    assert list(response.json()) == ["error"]


def test_unregistering_is_answered_alike_for_known_and_unknown_ids(place: Place) -> None:
    agent_id = place.register()
    for each in (agent_id, agent_id, SOMEONE, "no-uuid"):
        response = place.post(f"/agents/{each}/unregister")
        assert response.status_code == 200
        assert response.json() == {"message": "Agent unregistered successfully"}
    assert place.record(agent_id) is None
    assert place.get("/agents").json() == {"agents": [], "count": 0}
    assert place.post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 404


def test_listing_all_and_by_type(place: Place) -> None:
    assert place.get("/agents").json() == {"agents": [], "count": 0}
    cost = [place.register(name=f"c{n}") for n in range(3)]
    other = place.register(name="r", type="resource")
    everything = place.get("/agents").json()
    assert list(everything) == ["agents", "count"]
    assert everything["count"] == 4
    assert {agent["id"] for agent in everything["agents"]} == {*cost, other}
    by_type = place.get("/agents/type/cost").json()
    assert list(by_type) == ["agents", "count"]
    assert by_type["count"] == 3
    assert {agent["id"] for agent in by_type["agents"]} == set(cost)
    assert place.get("/agents/type/unheard-of").json() == {"agents": [], "count": 0}
    assert place.get(f"/agents/{other}").json() in everything["agents"]


def test_without_a_limit_all_are_listed_however_many(place: Place) -> None:
    wire = place.connect()
    body = b'{"name":"n","type":"cost","host":"h","port":1}'
    head = b"POST /agents/register HTTP/1.1\r\nHost: localhost\r\nHomeport-Namespace: %s\r\n"
    head = head % str(place.namespace).encode() + b"Content-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", place.hub.port), timeout=LIMIT) as connection:
        for _ in range(11):
            connection.sendall((head + body) * 100)
            said = b""
            while said.count(b"heartbeat_url") < 100:
                said += connection.recv(65536)
    listed = place.get("/agents").json()
    assert listed["count"] == len(listed["agents"]) == 1100
    assert len({agent["id"] for agent in listed["agents"]}) == 1100
    assert "next_cursor" not in listed
    found = wire.ask("find")
    assert found["count"] == 1000, "a websocket's default limit"
    assert "next_cursor" in found


def test_health_is_answered_as_documented(place: Place) -> None:
    response = place.get("/health")
    assert response.status_code == 200
    answer = response.json()
    assert TIME.fullmatch(answer["timestamp"])
    assert answer == {
        "status": "healthy",
        "service": "orchestrator",
        "timestamp": answer["timestamp"],
    }


# -- what the contract adds ---------------------------------------------------------------------


@pytest.fixture
def fleet(place: Place) -> dict[str, str]:
    specs: list[dict[str, Any]] = [
        {"name": "one", "capabilities": ["spot", "reserved"], "version": "1.5"},
        {"name": "two", "capabilities": ["spot"], "version": "2.0", "status": "degraded"},
        {"name": "three", "type": "resource", "version": "1.10", "host": "b.example"},
    ]
    for number, spec in enumerate(specs):
        spec["metadata"] = {"region": ["eu", "us", "eu"][number], "gpu": {"count": number}}
    return {spec["name"]: place.register(**spec) for spec in specs}


QUERIES = [
    ("", "one two three"),
    ("type=cost", "one two"),
    ("name=three", "three"),
    ("capability=spot", "one two"),
    ("capability=spot&capability=reserved", "one"),
    ("status=degraded", "two"),
    ("status=degraded&status=healthy", "one two three"),
    ("host=b.example", "three"),
    ("version=%3E%3D1.2%2C%3C2", "one three"),
    ("meta.region=eu", "one three"),
    ("meta.region=eu&type=cost", "one"),
    ("meta.gpu.count=2", "three"),
    ("type=none", ""),
]


@pytest.mark.parametrize(("query", "names"), QUERIES, ids=[q[0] or "all" for q in QUERIES])
def test_the_filters_keys_are_query_parameters_too(
    place: Place, fleet: dict[str, str], query: str, names: str
) -> None:
    answer = place.get(f"/agents?{query}").json()
    assert sorted(agent["name"] for agent in answer["agents"]) == sorted(names.split())
    assert answer["count"] == len(names.split())


def test_pages_by_limit_and_cursor(place: Place) -> None:
    ids = {place.register(name=f"n{n}") for n in range(7)}
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = place.get("/agents", params=params).json()
        seen += [agent["id"] for agent in page["agents"]]
        assert page["count"] == len(page["agents"]) <= 3
        if "next_cursor" not in page:
            break
        params["cursor"] = page["next_cursor"]
    assert len(seen) == 7
    assert set(seen) == ids


def test_picking_takes_the_filter_and_the_strategy(place: Place, fleet: dict[str, str]) -> None:
    for _ in range(3):
        record = place.get("/agents/pick?type=cost").json()
        assert record["id"] == fleet["one"], "the only healthy one"
    assert place.get("/agents/pick?status=degraded").json()["id"] == fleet["two"]
    picked = {place.get("/agents/pick").json()["id"] for _ in range(4)}
    assert picked == {fleet["one"], fleet["three"]}
    sticky = {place.get("/agents/pick?strategy=sticky&key=k").json()["id"] for _ in range(4)}
    assert len(sticky) == 1
    response = place.get("/agents/pick?type=none")
    assert response.status_code == 404
    assert list(response.json()) == ["error"]


def test_the_pages_for_machines_are_there(place: Place) -> None:
    assert place.get("/ready").status_code == 200
    metrics = place.get("/metrics")
    assert metrics.status_code == 200
    assert metrics.headers["content-type"].startswith("text/plain")
    place.register()
    assert "# TYPE" in metrics.text
    openapi = place.get("/openapi.json").json()
    assert openapi["openapi"].startswith("3.")
    for path in (
        "/agents/register",
        "/agents/{id}/heartbeat",
        "/agents/{id}/unregister",
        "/agents",
        "/agents/{id}",
        "/agents/type/{type}",
        "/agents/pick",
        "/health",
        "/ready",
        "/metrics",
    ):
        assert path in openapi["paths"]
    asyncapi = place.get("/asyncapi.json").json()
    assert asyncapi["asyncapi"].startswith("3.")


def test_metrics_never_carry_an_agents_id(place: Place) -> None:
    agent_id = place.register(name="very-particular-name")
    wire, registered = place.agent("very-particular-name")
    wire.ask("heartbeat")
    text = place.get("/metrics").text
    assert agent_id not in text
    assert registered["agent_id"] not in text
    assert registered["session_token"] not in text
    assert "very-particular-name" not in text
