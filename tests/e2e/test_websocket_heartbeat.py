"""What a registered agent says: heartbeat, update, unregister."""

from __future__ import annotations

from tests.e2e.records import TIME, fields_of
from tests.support.hub_process import Place


def test_a_heartbeat_is_acknowledged_with_the_next_interval(place: Place) -> None:
    wire, registered = place.agent("beating")
    before = wire.record(registered["agent_id"])
    ack = wire.ask("heartbeat")
    assert fields_of(ack) == {"op", "id", "next_interval", "timestamp", "durable"}
    assert ack["op"] == "heartbeat_ack"
    assert ack["next_interval"] == 30
    assert ack["durable"] is True
    assert TIME.fullmatch(ack["timestamp"])
    after = wire.record(registered["agent_id"])
    assert after["last_seen"] > before["last_seen"]
    assert after | {"last_seen": ""} == before | {"last_seen": ""}


def test_a_heartbeat_that_changes_nothing_but_last_seen_is_no_event(place: Place) -> None:
    wire, _ = place.agent("beating", metadata={"k": {"a": 1}}, load=1)
    watcher = place.watcher()
    for fields in (
        {},
        {"status": "healthy"},
        {"metadata": {}},
        {"metadata": {"k": {"a": 1}}},
        {"metadata": {"never was": None}},
        {"load": 1},
    ):
        assert wire.ask("heartbeat", **fields)["op"] == "heartbeat_ack"
    assert watcher.said_by_now() == []


def test_a_heartbeat_merges_metadata_key_by_key_and_null_deletes(place: Place) -> None:
    wire, registered = place.agent("merging", metadata={"a": 1, "b": {"x": 1}, "c": 3})
    watcher = place.watcher()
    wire.ask("heartbeat", metadata={"b": {"y": 2}, "c": None, "d": [1]})
    event = watcher.event("updated")
    assert event["agent"]["metadata"] == {"a": 1, "b": {"y": 2}, "d": [1]}
    wire.ask("heartbeat", metadata={"a": None, "b": None, "d": None})
    event = watcher.event("updated")
    assert "metadata" not in event["agent"], "absent when empty"
    assert wire.record(registered["agent_id"]) == event["agent"]


def test_a_heartbeats_status_is_the_agents_verdict_with_its_facts(place: Place) -> None:
    wire, _ = place.agent("ailing")
    watcher = place.watcher()
    for status, reason in [
        ("degraded", "self_reported"),
        ("unhealthy", "self_reported"),
        ("healthy", "ok"),
    ]:
        wire.ask("heartbeat", status=status)
        agent = watcher.event("status_changed")["agent"]
        assert agent["status"] == agent["health"]["reported"] == status
        assert agent["health"]["reason"] == reason
        assert agent["health"]["connection"] == "websocket"


def test_a_heartbeat_without_status_leaves_the_status_as_it_was(place: Place) -> None:
    wire, registered = place.agent("ailing", status="degraded")
    wire.ask("heartbeat")
    assert wire.record(registered["agent_id"])["status"] == "degraded"


def test_since_tells_when_the_status_last_changed(place: Place) -> None:
    wire, registered = place.agent("since")
    first = wire.record(registered["agent_id"])["health"]["since"]
    wire.ask("heartbeat", load=5)
    assert wire.record(registered["agent_id"])["health"]["since"] == first
    wire.ask("heartbeat", status="degraded")
    assert wire.record(registered["agent_id"])["health"]["since"] > first


def test_an_update_changes_the_record_and_names_its_revision(place: Place) -> None:
    wire, registered = place.agent("updating", metadata={"a": 1})
    watcher = place.watcher()
    changes = {
        "capabilities": ["x", "y", "x"],
        "version": "3",
        "host": "new.example",
        "port": 9,
        "load": 1.5,
        "metadata": {"b": 2},
    }
    answer = wire.ask("update", **changes)
    assert fields_of(answer) == {"op", "id", "log", "revision"}
    assert answer["op"] == "updated"
    event = watcher.event("updated")
    assert event["revision"] == answer["revision"] == event["agent"]["revision"]
    assert answer["revision"] > registered["revision"]
    expected = {**changes, "capabilities": ["x", "y"], "metadata": {"a": 1, "b": 2}}
    assert {name: event["agent"][name] for name in changes} == expected
    assert wire.record(registered["agent_id"]) == event["agent"]


def test_unregistering_answers_closes_with_1000_and_leaves_nothing(place: Place) -> None:
    wire, registered = place.agent("leaving")
    watcher = place.watcher()
    answer = wire.ask("unregister")
    assert answer | {"_at": 0} == {"op": "unregistered", "id": answer["id"], "_at": 0}
    assert wire.closing()[0] == 1000
    event = watcher.event("unregistered")
    assert event["agent"]["id"] == registered["agent_id"]
    assert watcher.ask("get", agent_id=registered["agent_id"])["code"] == "not_found"
    assert watcher.ask("find")["count"] == 0
    assert watcher.said_by_now() == [], "no lost and no expired after it"


def test_an_orderly_close_without_unregister_is_a_lost_connection(place: Place) -> None:
    wire, registered = place.agent("closing")
    watcher = place.watcher()
    wire._protocol.send_close(1000)
    wire._flush()
    assert watcher.event("lost")["agent"]["id"] == registered["agent_id"]
