"""A hub reads the data that the legacy service left in Redis, and writes data that it can read."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from tests.support.redis_servers import RedisServer
from tests.support.waiting import wait_until

# What Go's time.Time accepts from JSON, and what its Unmarshal demands of each field.
GO_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
    r"(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
)
FULL = "11111111-1111-4111-8111-111111111111"
BARE = "22222222-2222-4222-8222-222222222222"
SILENT = "33333333-3333-4333-8333-333333333333"
GHOST = "44444444-4444-4444-8444-444444444444"

RECORDS: dict[str, str] = {
    FULL: (
        f'{{"id":"{FULL}","name":"cost-agent-1","type":"cost","host":"localhost","port":8001,'
        '"capabilities":["spot_migration","reserved_instances"],"status":"degraded",'
        '"version":"1.0.0","registered_at":"2025-10-20T12:30:00.123456789+02:00",'
        '"last_seen":"2025-10-20T23:59:59.999999999-05:30","metadata":{"n":1,"s":"x<\\u003e"}}'
    ),
    # capabilities null, no metadata, and an empty status: a heartbeat without one left it so.
    BARE: (
        f'{{"id":"{BARE}","name":"bare","type":"resource","host":"10.0.0.1","port":1,'
        '"capabilities":null,"status":"","version":"","registered_at":"2025-10-20T10:30:00Z",'
        '"last_seen":"2025-10-20T10:30:00.5Z"}'
    ),
    # Names that no hub would take, and one in the form that it would bring into another.
    SILENT: (
        f'{{"id":"{SILENT}","name":"silent\u200b","type":"Zu\u0308rich","host":" ","port":2,'
        '"capabilities":["\u202e"],"status":"unreachable","version":"",'
        '"registered_at":"2025-10-20T10:30:00.1+00:00","last_seen":"2025-10-20T10:30:00Z"}'
    ),
}


def leave_behind(server: RedisServer, ttl: int = 60) -> None:
    """What the legacy service writes: SET with 60 s to live, SADD."""
    for agent_id, text in RECORDS.items():
        server.client.set(f"agent:{agent_id}", text, ex=ttl)
        server.client.sadd("agents:active", agent_id)
    server.client.sadd("agents:active", GHOST)


def read_as_legacy(text: str) -> dict[str, Any]:
    """Parse as strictly as Go's Unmarshal into the legacy struct does; unknown keys are ignored."""
    record = json.loads(text)
    kinds: dict[str, type] = dict.fromkeys(("id", "name", "type", "host", "status", "version"), str)
    for name, kind in kinds.items():
        assert type(record[name]) is kind, (name, record)
    assert type(record["port"]) is int
    assert isinstance(record["capabilities"], list), "null would do for Go, not for its callers"
    assert all(type(item) is str for item in record["capabilities"])
    for name in ("registered_at", "last_seen"):
        assert GO_TIME.fullmatch(record[name]), record[name]
    assert isinstance(record.get("metadata", {}), dict)
    assert record["status"] in ("healthy", "degraded", "unhealthy", "unreachable")
    return {
        name: record.get(name)
        for name in [*kinds, "port", "capabilities", "registered_at", "last_seen", "metadata"]
    }


def test_a_starting_hub_finds_the_agents_and_drops_the_ghosts(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    leave_behind(server)
    place = enter(start_hub("--redis", server.url), None)
    listed = {agent["id"]: agent for agent in place.get("/agents").json()["agents"]}
    assert set(listed) == set(RECORDS)
    full = listed[FULL]
    assert full["capabilities"] == ["spot_migration", "reserved_instances"]
    assert full["status"] == "degraded"
    assert full["metadata"] == {"n": 1, "s": "x<>"}
    assert (full["host"], full["port"], full["version"]) == ("localhost", 8001, "1.0.0")
    assert full["registered_at"].startswith("2025-10-20T10:30:00.123456")
    assert full["registered_at"].endswith("Z")
    assert full["epoch"] >= 1
    assert full["hub"] == ""
    assert full["health"]["connection"] == "http"
    bare = listed[BARE]
    assert bare["capabilities"] == []
    assert "metadata" not in bare
    assert bare["status"] == "healthy"
    assert bare["last_seen"] == "2025-10-20T10:30:00.500000Z"
    assert [a["id"] for a in place.get("/agents/type/resource").json()["agents"]] == [BARE]
    assert listed[SILENT]["name"] == "silent\u200b"
    assert listed[SILENT]["capabilities"] == ["\u202e"]
    for type_ in ("Zürich", "Zu\u0308rich"):
        found = place.get(f"/agents/type/{type_}").json()["agents"]
        assert [agent["id"] for agent in found] == [SILENT]
    found = place.get("/agents", params={"name": "silent\u200b"}).json()["agents"]
    assert [agent["id"] for agent in found] == [SILENT]
    wait_until(lambda: server.active() == set(RECORDS))
    watcher = place.connect()
    watcher.watch()
    assert {agent["id"] for agent in watcher.snapshot()} == set(RECORDS)


def test_agents_that_are_found_heartbeat_on_under_their_ids(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    leave_behind(server)
    place = enter(start_hub("--redis", server.url), None)
    for agent_id in RECORDS:
        body = {"status": "healthy", "metadata": {"beat": 1}}
        response = place.post(f"/agents/{agent_id}/heartbeat", json=body)
        assert response.status_code == 200, response.text
        record = place.record(agent_id)
        assert record is not None
        assert record["status"] == "healthy"
        assert record["metadata"]["beat"] == 1
        text = server.record(agent_id)
        assert text is not None
        assert read_as_legacy(text)["id"] == agent_id
        assert json.loads(text) | {"last_seen": ""} == record | {"last_seen": ""}
        assert 55_000 < server.client.pttl(f"agent:{agent_id}") <= 60_000  # type: ignore[operator]
    place.post(f"/agents/{FULL}/unregister")
    assert server.record(FULL) is None
    assert server.active() == set(RECORDS) - {FULL}


@pytest.mark.parametrize("over", ["http", "websocket"])
def test_what_a_hub_writes_is_the_legacy_record(
    stored_hub: Any, shared_server: Any, enter: Any, over: str
) -> None:
    place = enter(stored_hub, None)
    spec = {"name": "n", "type": "cost", "host": "h", "port": 1, "metadata": {"k": [1, None]}}
    if over == "http":
        agent_id = place.register(**spec)
    else:
        agent_id = place.connect().ask("register", agent=spec)["agent_id"]
    record = read_as_legacy(shared_server.record(agent_id))
    assert {name: record[name] for name in spec} == spec
    assert record["capabilities"] == []
    assert record["status"] == "healthy"
    place.post(f"/agents/{agent_id}/unregister")


def test_agents_that_are_found_have_a_heartbeat_timeout_to_come_back(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    leave_behind(server)
    hub = start_hub(
        *("--redis", server.url, "--heartbeat-interval", "1"),
        *("--heartbeat-timeout", "2", "--lease-ttl", "2"),
    )
    place = enter(hub, None)
    watcher = place.connect()
    watcher.watch()
    assert {agent["id"] for agent in watcher.snapshot()} == set(RECORDS)
    assert watcher.said_by_now() == [], "none is judged at once, however old its last_seen"
    assert place.post(f"/agents/{FULL}/heartbeat", json={}).status_code == 200
    event = watcher.event()
    while event["agent"]["id"] != BARE:
        event = watcher.event()
    assert event["kind"] == "status_changed"
    assert event["agent"]["health"]["reason"] == "heartbeat_timeout"
    wait_until(lambda: server.active() == set(), 15)
    assert server.entries() == []


BROKEN = {
    "no JSON": "{",
    "not an object": "[]",
    "empty": "",
    "of another shape": '{"id":5,"name":null}',
    "of another id": RECORDS[FULL],
    "with times that are none": RECORDS[FULL].replace("2025-10-20T12", "yesterday"),
    "binary": "\x00\ufffe\x7f",
}


def test_entries_that_cannot_be_read_keep_no_hub_from_starting(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    broken = {str(uuid.uuid4()): text for text in BROKEN.values()}
    for agent_id, text in {**broken, BARE: RECORDS[BARE]}.items():
        server.client.set(f"agent:{agent_id}", text, ex=60)
    server.client.hset("agent:a-hash", "k", "v")
    server.client.sadd("agents:active", BARE, *broken, "a-hash", "not a uuid")
    place = enter(start_hub("--redis", server.url), None)
    ids = [agent["id"] for agent in place.get("/agents").json()["agents"]]
    assert BARE in ids
    assert len(ids) == len(set(ids))
    assert place.post(f"/agents/{BARE}/heartbeat", json={}).status_code == 200
    for agent_id in broken:
        # Its agent registers again, or the answer says that another kind of value is stored there.
        spec = {"name": "again", "type": "cost"}
        answer = place.connect().ask("register", agent=spec, agent_id=agent_id)
        assert answer["op"] == "registered" or answer["code"] == "conflict", answer
