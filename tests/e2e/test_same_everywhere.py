"""One directory for each namespace, and one record on every surface."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.e2e.records import FIELDS, SOMEONE, assert_record
from tests.support.hub_process import Hub, Place
from tests.support.waiting import LIMIT
from tests.support.wire import Wire


def test_namespaces_see_nothing_of_each_other(shared_hub: Hub, place: Place, enter: Any) -> None:
    other = enter(shared_hub)
    _, mine = place.agent("mine")
    watcher = other.watcher()
    _, theirs = other.agent("theirs")
    assert mine["agent_id"] not in other.get("/agents").text
    assert [a["id"] for a in place.connect().ask("find")["agents"]] == [mine["agent_id"]]
    assert place.connect().ask("get", agent_id=theirs["agent_id"])["code"] == "not_found"
    assert place.record(theirs["agent_id"]) is None
    assert other.post(f"/agents/{mine['agent_id']}/heartbeat", json={}).status_code == 404
    other.post(f"/agents/{mine['agent_id']}/unregister")
    assert place.record(mine["agent_id"]) is not None
    assert [e["agent"]["id"] for e in watcher.said_by_now()] == [theirs["agent_id"]]
    assert mine["log"] != theirs["log"]
    assert mine["revision"] == theirs["revision"] == 1


def test_the_same_identity_may_live_in_two_namespaces(
    shared_hub: Hub, place: Place, enter: Any
) -> None:
    other = enter(shared_hub)
    mine, theirs = place.connect(), other.connect()
    mine.register("mine", agent_id=SOMEONE)
    theirs.register("theirs", agent_id=SOMEONE)
    assert mine.record(SOMEONE)["name"] == "mine"
    assert theirs.record(SOMEONE)["name"] == "theirs"
    mine.ping()


def test_header_and_query_parameter_name_the_same_namespace(place: Place) -> None:
    by_query = place.connect(namespace_in_query=True)
    registered = by_query.register("by-query")
    by_header = place.connect()
    assert by_header.record(registered["agent_id"])["name"] == "by-query"
    response = place.get("/agents", params={"namespace": place.namespace}, headers={})
    assert response.json()["count"] == 1
    found = Place(place.hub)
    try:
        response = found.get("/agents", params={"namespace": place.namespace})
        assert response.json()["count"] == 1
    finally:
        found.end()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?namespace=a&namespace=b", []),
        ("?namespace=a", ["b", "c"]),
        ("?namespace=a%20b", []),
        ("", ["-x"]),
        ("", [""]),
    ],
)
def test_both_transports_refuse_an_ambiguous_or_bad_namespace_in_the_same_words(
    shared_hub: Hub, query: str, names: list[str]
) -> None:
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    named = [("Homeport-Namespace", name) for name in names]
    answers = [
        answer_of(shared_hub, path + query, headers)
        for path, headers in (("/agents", named), ("/ws", [*upgrade, *named]))
    ]
    assert answers[0] == answers[1]
    status, body = answers[0]
    assert status == 400
    assert "namespace" in body["error"].lower()


def answer_of(hub: Hub, target: str, headers: list[tuple[str, str]]) -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", hub.port, timeout=LIMIT)) as connection:
        connection.putrequest("GET", target)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, json.load(response)


def test_default_is_the_namespace_where_none_is_given(shared_hub: Hub, enter: Any) -> None:
    nowhere, default = enter(shared_hub, None), enter(shared_hub, "default")
    wire, registered = nowhere.agent("of-default")
    assert default.connect().record(registered["agent_id"])["name"] == "of-default"
    assert default.record(registered["agent_id"]) is not None
    wire.ask("unregister")


# -- one record on every surface ------------------------------------------------------------------


def test_the_record_is_the_same_bytes_order_on_websocket_http_and_redis(
    stored_hub: Hub, shared_server: Any, enter: Any
) -> None:
    place = enter(stored_hub)
    wire, registered = place.agent(
        "everywhere", capabilities=["x"], metadata={"z": 1, "a": 2}, load=1, version="1"
    )
    agent_id = registered["agent_id"]
    by_websocket = wire.record(agent_id)
    by_find = wire.ask("find")["agents"][0]
    by_http = place.get(f"/agents/{agent_id}").json()
    by_list = place.get("/agents").json()["agents"][0]
    in_redis = json.loads(shared_server.record(agent_id, place.prefix))
    for record in (by_websocket, by_find, by_http, by_list, in_redis):
        assert list(record) == FIELDS
        assert list(record["health"]) == ["connection", "reported", "reason", "since"]
        # What differs at most is how fresh `last_seen` is, and who is told the revision.
        assert record | {"last_seen": ""} == by_websocket | {"last_seen": ""}
    ttl = shared_server.client.pttl(f"{place.prefix}agent:{agent_id}")
    assert 50_000 < ttl <= 60_000
    assert shared_server.active(place.prefix) == {agent_id}


def test_redis_holds_the_ordered_log_under_the_contracts_keys(
    stored_hub: Hub, shared_server: Any, enter: Any
) -> None:
    place = enter(stored_hub)
    wire, registered = place.agent("logged")
    revision = wire.ask("update", port=1)["revision"]
    client = shared_server.client
    assert client.get(f"{place.prefix}agents:log:name") == registered["log"]
    entries = client.xrange(f"{place.prefix}agents:log")
    assert [entry[0] for entry in entries] == [f"{registered['revision']}-0", f"{revision}-0"]
    wire.ask("unregister")
    assert shared_server.entries(place.prefix) == []
    assert shared_server.active(place.prefix) == set()
    assert client.xinfo_stream(f"{place.prefix}agents:log")["last-generated-id"] == (
        f"{revision + 1}-0"
    )


def test_the_default_namespace_uses_the_plain_legacy_keys(
    stored_hub: Hub, shared_server: Any, enter: Any
) -> None:
    place = enter(stored_hub, None)
    wire, registered = place.agent("plain")
    assert shared_server.record(registered["agent_id"]) is not None
    assert registered["agent_id"] in shared_server.active()
    assert shared_server.client.keys("hub:*"), "the hub's own lease"
    wire.ask("unregister")


def test_an_http_agent_and_a_websocket_agent_are_the_same_to_every_reader(place: Place) -> None:
    watcher = place.watcher()
    spec = {"name": "same", "type": "cost", "host": "h", "port": 1, "capabilities": ["x"]}
    by_http = place.register(**spec)
    wire = place.connect()
    by_websocket = wire.ask("register", agent=spec)["agent_id"]
    records = [place.record(agent_id) for agent_id in (by_http, by_websocket)]
    assert wire.record(by_http) == records[0]
    told = [watcher.event("registered")["agent"] for _ in range(2)]
    for record in [*records, *told]:
        assert record is not None
        assert_record(record)
    same = [name for name in FIELDS[:9] if name not in ("id", "registered_at")]
    for name in same:
        assert records[0] is not None
        assert records[1] is not None
        assert records[0][name] == records[1][name]
    assert records[0] is not None
    assert (records[0]["health"]["connection"], records[0]["hub"]) == ("http", "")
    assert {a["id"] for a in wire.ask("find", filter={"capabilities": ["x"]})["agents"]} == {
        by_http,
        by_websocket,
    }
    assert {wire.ask("pick")["agent"]["id"] for _ in range(2)} == {by_http, by_websocket}
    place.post(f"/agents/{by_http}/heartbeat", json={"status": "degraded"})
    assert watcher.event("status_changed")["agent"]["id"] == by_http
    place.post(f"/agents/{by_http}/unregister")
    assert watcher.event("unregistered")["agent"]["id"] == by_http


def test_a_websocket_agent_can_be_unregistered_over_http_with_its_token(place: Place) -> None:
    wire, registered = place.agent("removed")
    watcher = place.watcher()
    path = f"/agents/{registered['agent_id']}/unregister"
    assert place.post(path).status_code == 409, "who shows no token may be an older process"
    headers = {"Homeport-Session-Token": registered["session_token"]}
    assert place.post(path, headers=headers).status_code == 200
    assert watcher.event("unregistered")["agent"]["id"] == registered["agent_id"]
    assert isinstance(wire, Wire)
    assert wire.closing(LIMIT)[0] is not None


def test_an_http_agent_may_move_to_a_websocket_under_the_same_identity(place: Place) -> None:
    agent_id = place.register(name="moving")
    before = place.record(agent_id)
    wire = place.connect()
    registered = wire.register("moving", agent_id=agent_id)
    record = place.record(agent_id)
    assert before is not None
    assert record is not None
    assert registered["epoch"] > before["epoch"]
    assert record["health"]["connection"] == "websocket"
    assert wire.ask("find")["count"] == 1
