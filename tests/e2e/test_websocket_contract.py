"""Every operation of the websocket, from register to unregister, answered as the contract says."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import pytest

from .hubs import Hub, Place
from .wire import LIMIT, Wire

LEGACY_FIELDS = ["id", "name", "type", "host", "port", "capabilities", "status", "version"]
LEGACY_FIELDS += ["registered_at", "last_seen", "metadata"]
FIELDS = [*LEGACY_FIELDS, "load", "health", "epoch", "hub", "revision"]
OPTIONAL = {"metadata", "load"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SOMEONE = "550e8400-e29b-41d4-a716-446655440000"


def fields_of(message: dict[str, Any]) -> set[str]:
    return set(message) - {"_at"}


def assert_record(record: dict[str, Any]) -> None:
    """All fields, in the contract's order, each of its type."""
    names = list(record)
    assert names == [name for name in FIELDS if name in names]
    assert set(FIELDS) - set(names) <= OPTIONAL
    assert str(uuid.UUID(record["id"])) == record["id"]
    assert isinstance(record["capabilities"], list)
    assert TIME.fullmatch(record["registered_at"])
    assert TIME.fullmatch(record["last_seen"])
    assert list(record["health"]) == ["connection", "reported", "reason", "since"]
    assert TIME.fullmatch(record["health"]["since"])
    assert isinstance(record["epoch"], int)
    assert isinstance(record["revision"], int)
    assert isinstance(record["hub"], str)


# -- the connection -----------------------------------------------------------------------------


def test_the_subprotocol_is_chosen_when_offered_and_not_demanded(place: Place) -> None:
    chosen = place.connect(subprotocols=["other.v9", "homeport.v1"])
    assert chosen.response is not None
    assert chosen.response.headers["Sec-WebSocket-Protocol"] == "homeport.v1"
    chosen.ping()
    plain = place.connect()
    assert plain.response is not None
    assert "Sec-WebSocket-Protocol" not in plain.response.headers
    plain.ping()


def test_only_foreign_subprotocols_offered_means_none_chosen(place: Place) -> None:
    wire = place.connect(subprotocols=["other.v9"])
    assert wire.response is not None
    assert "Sec-WebSocket-Protocol" not in wire.response.headers
    wire.ping()


def test_compression_is_not_used_even_when_offered(place: Place) -> None:
    wire = place.connect(headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
    assert wire.response is not None
    assert "Sec-WebSocket-Extensions" not in wire.response.headers
    wire.ping()


@pytest.mark.parametrize("id", [0, -1, 7, 2**53, "a", "ü-1", ""])
def test_an_answer_carries_the_id_of_its_request(place: Place, id: int | str) -> None:
    wire = place.connect()
    wire.send({"op": "ping", "id": id})
    assert wire.answer() | {"_at": 0} == {"op": "pong", "id": id, "_at": 0}


def test_requests_sent_at_once_are_answered_in_order(place: Place) -> None:
    wire = place.connect()
    wire.register("ordered")
    ops = ["heartbeat", "find", "ping", "update", "get", "pick", "watch", "ping"] * 10
    for number, op in enumerate(ops):
        wire.send({"op": op, "id": number, "agent_id": SOMEONE, "load": number})
    assert [wire.answer()["id"] for _ in ops] == list(range(len(ops)))


def test_a_websocket_ping_is_answered_with_the_same_payload(place: Place) -> None:
    wire = place.connect()
    pong = wire._protocol
    pong.send_ping(b"payload")
    wire._flush()
    wire.ping()


# -- register -----------------------------------------------------------------------------------


def test_registering_answers_with_the_lease_and_its_terms(place: Place) -> None:
    answer = place.connect().register("a")
    assert fields_of(answer) == {
        "op", "id", "agent_id", "session_token", "epoch", "resumed", "registered_at",
        "heartbeat_interval", "heartbeat_timeout", "lease_ttl", "log", "revision",
    }  # fmt: skip
    assert str(uuid.UUID(answer["agent_id"])) == answer["agent_id"]
    assert len(answer["session_token"]) >= 16
    assert answer["epoch"] >= 1
    assert answer["resumed"] is False
    assert TIME.fullmatch(answer["registered_at"])
    terms = [answer[name] for name in ("heartbeat_interval", "heartbeat_timeout", "lease_ttl")]
    assert terms == [30, 45, 60]
    assert answer["log"]
    assert answer["revision"] >= 1


def test_a_record_says_what_the_agent_said_in_the_contracts_order(place: Place) -> None:
    wire, registered = place.agent(
        "full",
        host="h.example",
        port=8001,
        capabilities=["b", "a", "b", "a"],
        version="1.2",
        metadata={"z": 1, "a": {"k": [None]}},
        status="degraded",
        load=0.5,
    )
    record = wire.record(registered["agent_id"])
    assert_record(record)
    assert list(record) == FIELDS
    assert record | {"last_seen": "", "health": 0, "hub": ""} == {
        "id": registered["agent_id"],
        "name": "full",
        "type": "cost",
        "host": "h.example",
        "port": 8001,
        "capabilities": ["b", "a"],
        "status": "degraded",
        "version": "1.2",
        "registered_at": registered["registered_at"],
        "last_seen": "",
        "metadata": {"z": 1, "a": {"k": [None]}},
        "load": 0.5,
        "health": 0,
        "epoch": registered["epoch"],
        "hub": "",
        "revision": registered["revision"],
    }
    assert record["health"]["connection"] == "websocket"
    assert record["health"]["reported"] == "degraded"
    assert record["health"]["reason"] == "self_reported"
    assert record["hub"], "the hub that owns the session"


def test_an_agent_that_says_little_is_healthy_and_listens_nowhere(place: Place) -> None:
    wire, registered = place.agent("little")
    record = wire.record(registered["agent_id"])
    assert_record(record)
    assert "metadata" not in record
    assert "load" not in record
    assert (record["port"], record["capabilities"], record["version"]) == (0, [], "")
    assert (record["status"], record["health"]["reason"]) == ("healthy", "ok")


@pytest.mark.parametrize("type_", ["cost", "performance", "resource", "application", "my-own.v2"])
def test_known_types_and_any_other_slug_are_accepted(place: Place, type_: str) -> None:
    wire = place.connect()
    registered = wire.register("typed", type=type_)
    assert wire.record(registered["agent_id"])["type"] == type_


def test_an_identity_may_be_the_agents_own_and_stable(place: Place) -> None:
    mine = str(uuid.uuid4())
    first = place.connect()
    registered = first.register("stable", agent_id=mine)
    assert registered["agent_id"] == mine
    first.ask("unregister")
    again = place.connect().register("stable", agent_id=mine)
    assert again["agent_id"] == mine


def test_registering_a_living_identity_again_fences_the_older_session_off(place: Place) -> None:
    mine = str(uuid.uuid4())
    old = place.connect()
    first = old.register("old", agent_id=mine)
    new = place.connect()
    second = new.register("new", agent_id=mine)
    assert second["epoch"] > first["epoch"]
    assert old.closing()[0] == 4409
    record = new.record(mine)
    assert (record["name"], record["epoch"], record["status"]) == (
        "new",
        second["epoch"],
        "healthy",
    )
    assert new.ask("heartbeat")["op"] == "heartbeat_ack"
    assert new.ask("find")["count"] == 1


def test_a_fenced_sessions_end_changes_nothing_of_the_new_one(place: Place) -> None:
    mine = str(uuid.uuid4())
    old = place.connect()
    old.register("old", agent_id=mine)
    watcher = place.watcher()
    new = place.connect()
    new.register("new", agent_id=mine)
    old.closing()
    old.reset()
    new.ask("heartbeat")
    kinds = [event["kind"] for event in watcher.said_by_now()]
    assert "lost" not in kinds
    assert "unregistered" not in kinds
    assert new.record(mine)["health"]["connection"] == "websocket"


# -- resume -------------------------------------------------------------------------------------


def test_a_lost_connection_is_resumed_with_its_token(place: Place) -> None:
    wire, first = place.agent("resumed", metadata={"k": 1})
    watcher = place.watcher()
    wire.reset()
    lost = watcher.event("lost")
    assert lost["agent"]["health"]["connection"] == "lost"
    again = place.connect()
    answer = again.ask("resume", agent_id=first["agent_id"], session_token=first["session_token"])
    assert answer["op"] == "registered", answer
    assert answer["resumed"] is True
    assert answer["agent_id"] == first["agent_id"]
    assert answer["registered_at"] == first["registered_at"]
    assert answer["epoch"] > first["epoch"]
    assert answer["log"] == first["log"]
    event = watcher.event("resumed")
    assert event["agent"]["health"]["connection"] == "websocket"
    assert event["agent"]["status"] == "healthy"
    assert event["agent"]["metadata"] == {"k": 1}
    assert event["revision"] == answer["revision"] > lost["revision"]


def test_a_resume_brings_changes_along(place: Place) -> None:
    wire, first = place.agent("resumed", capabilities=["old"], metadata={"a": 1, "b": 2})
    wire.drop()
    again = place.connect()
    answer = again.ask(
        "resume",
        agent_id=first["agent_id"],
        session_token=first["session_token"],
        agent={
            "capabilities": ["new"],
            "status": "degraded",
            "metadata": {"b": None, "c": 3},
            "load": 2,
            "version": "2",
            "host": "n",
            "port": 5,
        },
    )
    assert answer["resumed"] is True
    record = again.record(first["agent_id"])
    assert record["capabilities"] == ["new"]
    assert record["status"] == "degraded"
    assert record["metadata"] == {"a": 1, "c": 3}
    assert (record["load"], record["version"], record["host"], record["port"]) == (2, "2", "n", 5)


def test_resuming_while_the_old_connection_still_stands_fences_it_off(place: Place) -> None:
    old, first = place.agent("doubled")
    new = place.connect()
    answer = new.ask("resume", agent_id=first["agent_id"], session_token=first["session_token"])
    assert answer["resumed"] is True
    assert old.closing()[0] == 4409
    assert new.ask("heartbeat")["op"] == "heartbeat_ack"


def test_a_session_may_be_resumed_again_and_again(place: Place) -> None:
    wire, answer = place.agent("again")
    epochs = [answer["epoch"]]
    for _ in range(5):
        wire.drop()
        wire = place.connect()
        answer = wire.ask(
            "resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
        )
        assert answer["resumed"] is True, answer
        epochs.append(answer["epoch"])
    assert epochs == sorted(set(epochs))


def test_resuming_what_is_gone_is_not_found_and_registering_anew_works(place: Place) -> None:
    wire, first = place.agent("gone")
    wire.ask("unregister")
    again = place.connect()
    answer = again.ask("resume", agent_id=first["agent_id"], session_token=first["session_token"])
    assert answer["op"] == "error"
    assert answer["code"] == "not_found"
    assert again.register("gone", agent_id=first["agent_id"])["resumed"] is False


# -- heartbeat, update, unregister --------------------------------------------------------------


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


# -- find, get, pick ----------------------------------------------------------------------------


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


# -- watch --------------------------------------------------------------------------------------


def test_a_watch_begins_with_a_snapshot_that_matches_its_revision(
    place: Place, fleet: dict[str, str]
) -> None:
    wire = place.connect()
    watching = wire.watch({"type": "cost"})
    assert fields_of(watching) == {"op", "id", "watch", "resumed", "log", "revision"}
    assert isinstance(watching["watch"], int)
    assert watching["resumed"] is False
    message = wire.tell()
    assert fields_of(message) == {"op", "watch", "agents", "log", "revision", "last"}
    assert message["op"] == "snapshot"
    assert message["watch"] == watching["watch"]
    assert message["log"] == watching["log"]
    assert message["last"] is True
    assert {agent["id"] for agent in message["agents"]} == {fleet["one"], fleet["two"]}
    for agent in message["agents"]:
        assert_record(agent)


def test_an_empty_snapshot_is_told_too(place: Place) -> None:
    wire = place.connect()
    wire.watch()
    assert wire.snapshot() == []


def test_a_large_snapshot_comes_in_chunks_and_only_the_final_one_is_last(place: Place) -> None:
    metadata = {"k": "x" * 10_000}
    ids = {place.register(name=f"n{n}", metadata=metadata) for n in range(60)}
    wire = place.connect()
    wire.watch()
    chunks = [wire.tell()]
    while not chunks[-1]["last"]:
        chunks.append(wire.tell())
    assert len(chunks) > 1
    assert len({chunk["revision"] for chunk in chunks}) == 1
    seen = [agent["id"] for chunk in chunks for agent in chunk["agents"]]
    assert len(seen) == 60
    assert set(seen) == ids
    wire.ping()
    assert wire.said == []


def test_events_have_their_fields_and_the_whole_record(place: Place) -> None:
    wire = place.connect()
    watching = wire.watch()
    wire.snapshot()
    _, registered = place.agent("newcomer")
    event = wire.event("registered")
    assert fields_of(event) == {"op", "watch", "revision", "kind", "agent"}
    assert event["watch"] == watching["watch"]
    assert event["revision"] == registered["revision"]
    assert_record(event["agent"])
    assert event["agent"]["id"] == registered["agent_id"]


def test_an_agents_life_is_told_in_order_and_nothing_twice(place: Place) -> None:
    watcher = place.watcher()
    wire, registered = place.agent("living")
    wire.ask("heartbeat", status="degraded")
    wire.ask("update", version="2")
    wire.reset()
    watcher_kinds = [watcher.event()["kind"] for _ in range(4)]
    wire = place.connect()
    wire.ask(
        "resume",
        agent_id=registered["agent_id"],
        session_token=registered["session_token"],
    )
    wire.ask("unregister")
    events = [watcher.event() for _ in range(2)]
    watcher_kinds += [event["kind"] for event in events]
    assert watcher_kinds == [
        "registered", "status_changed", "updated", "lost", "resumed", "unregistered",
    ]  # fmt: skip
    assert watcher.said_by_now() == []


def test_revisions_of_events_grow_one_by_one_for_a_watcher_of_everything(place: Place) -> None:
    watcher = place.connect()
    revision = watcher.watch()["revision"]
    watcher.snapshot()
    wires = [place.agent(f"n{number}")[0] for number in range(5)]
    for round_ in range(5):
        for wire in wires:
            wire.ask("heartbeat", load=round_)
    for wire in wires:
        wire.ask("unregister")
    revisions = [event["revision"] for event in watcher.said_by_now()]
    assert revisions == list(range(revision + 1, revision + 1 + 5 + 25 + 5))


def test_an_agent_that_leaves_the_filter_is_told_with_its_new_record(place: Place) -> None:
    wire, registered = place.agent("moody")
    watcher = place.watcher({"status": "healthy"})
    wire.ask("heartbeat", status="degraded")
    event = watcher.event("status_changed")
    assert event["agent"]["status"] == "degraded"
    wire.ask("heartbeat", load=1)
    wire.ask("heartbeat", load=2)
    assert watcher.said_by_now() == [], "outside the filter it is nobody's business"
    wire.ask("heartbeat", status="healthy")
    event = watcher.event("status_changed")
    assert event["agent"]["status"] == "healthy"
    assert event["agent"]["load"] == 2
    wire.ask("unregister")
    assert watcher.event("unregistered")["agent"]["id"] == registered["agent_id"]


def test_a_watch_tells_nothing_of_agents_that_never_match(place: Place) -> None:
    watcher = place.watcher({"type": "cost"})
    wire = place.connect()
    wire.register("other", type="resource")
    wire.ask("heartbeat", status="degraded")
    wire.ask("unregister")
    assert watcher.said_by_now() == []


def test_several_watches_of_one_connection_are_told_apart(place: Place) -> None:
    watcher = place.connect()
    cost = watcher.watch({"type": "cost"})["watch"]
    everything = watcher.watch()["watch"]
    assert cost != everything
    watcher.said_by_now()
    place.connect().register("c", type="cost")
    place.connect().register("r", type="resource")
    told = [(event["watch"], event["agent"]["name"]) for event in watcher.said_by_now()]
    assert sorted(told) == sorted([(cost, "c"), (everything, "c"), (everything, "r")])


def test_after_unwatch_nothing_more_is_told(place: Place) -> None:
    watcher = place.connect()
    number = watcher.watch()["watch"]
    kept = watcher.watch({"name": "kept"})["watch"]
    watcher.said_by_now()
    answer = watcher.ask("unwatch", watch=number)
    assert answer | {"_at": 0} == {"op": "unwatched", "id": answer["id"], "_at": 0}
    place.agent("unheard")
    place.agent("kept")
    assert [event["watch"] for event in watcher.said_by_now()] == [kept]
    assert watcher.ask("unwatch", watch=number)["op"] == "error", "it is gone"


def test_a_watcher_may_be_an_agent_and_sees_itself(place: Place) -> None:
    wire = place.connect()
    wire.watch()
    wire.snapshot()
    registered = wire.register("both")
    assert wire.event("registered")["agent"]["id"] == registered["agent_id"]
    wire.ask("heartbeat", load=3)
    assert wire.event("updated")["agent"]["load"] == 3


def test_a_watch_resumes_after_a_reconnect_with_just_the_missed_events(place: Place) -> None:
    watcher = place.connect()
    watching = watcher.watch()
    watcher.snapshot()
    wire, _ = place.agent("busy")
    last = watcher.event("registered")["revision"]
    watcher.drop()
    revisions = [wire.ask("update", load=n)["revision"] for n in range(1, 6)]
    again = place.connect()
    resumed = again.watch(since=last, log=watching["log"])
    assert resumed["resumed"] is True
    assert resumed["log"] == watching["log"]
    missed = [again.event("updated") for _ in range(5)]
    assert [event["revision"] for event in missed] == revisions
    assert [event["agent"]["load"] for event in missed] == [1, 2, 3, 4, 5]
    wire.ask("update", load=9)
    assert again.event("updated")["agent"]["load"] == 9


@pytest.mark.parametrize("source", ["registered", "updated", "agents", "snapshot", "watching"])
def test_a_revision_from_any_answer_is_good_to_resume_from(place: Place, source: str) -> None:
    wire = place.connect()
    answers = {"registered": wire.register("source")}
    answers["updated"] = wire.ask("update", load=1)
    answers["agents"] = wire.ask("find")
    answers["watching"] = wire.watch()
    answers["snapshot"] = wire.tell()
    position = answers[source]
    watcher = place.connect()
    watching = watcher.watch({"name": "target"}, since=position["revision"], log=position["log"])
    assert watching["resumed"] is True
    _, target = place.agent("target")
    event = watcher.event("registered")
    assert event["agent"]["id"] == target["agent_id"]


def test_a_resumed_watch_tells_of_agents_that_left_the_filter_meanwhile(place: Place) -> None:
    watcher = place.connect()
    watching = watcher.watch({"status": "healthy"})
    watcher.snapshot()
    wire, registered = place.agent("left")
    last = watcher.event("registered")["revision"]
    watcher.drop()
    wire.ask("heartbeat", status="unhealthy")
    gone, gone_registered = place.agent("came and went")
    gone.ask("unregister")
    again = place.connect()
    assert again.watch({"status": "healthy"}, since=last, log=watching["log"])["resumed"] is True
    told = [(e["kind"], e["agent"]["id"]) for e in again.said_by_now()]
    assert told == [
        ("status_changed", registered["agent_id"]),
        ("registered", gone_registered["agent_id"]),
        ("unregistered", gone_registered["agent_id"]),
    ]


def test_a_foreign_log_means_a_snapshot(place: Place) -> None:
    _, registered = place.agent("here")
    watcher = place.connect()
    watching = watcher.watch(since=registered["revision"], log="of another life")
    assert watching["resumed"] is False
    assert watching["log"] == registered["log"]
    assert [agent["id"] for agent in watcher.snapshot()] == [registered["agent_id"]]


def test_a_revision_from_the_future_means_a_snapshot(place: Place) -> None:
    _, registered = place.agent("here")
    watcher = place.connect()
    watching = watcher.watch(since=registered["revision"] + 1000, log=registered["log"])
    assert watching["resumed"] is False
    assert len(watcher.snapshot()) == 1


def test_since_zero_of_the_same_log_tells_everything_from_the_beginning(place: Place) -> None:
    wire, registered = place.agent("first")
    wire.ask("update", load=1)
    watcher = place.connect()
    watching = watcher.watch(since=0, log=registered["log"])
    told = watcher.said_by_now()
    # From the first change on, or a snapshot if the log does not reach back that far.
    if watching["resumed"]:
        assert [event["kind"] for event in told] == ["registered", "updated"]
    else:
        assert [message["op"] for message in told] == ["snapshot"]


def test_a_log_that_does_not_reach_back_that_far_means_a_snapshot(
    start_hub: Any, enter: Any
) -> None:
    hub = start_hub("--redis", "memory://", "--log-length", "10")
    place = enter(hub)
    wire, registered = place.agent("busy")
    answer = registered
    for burst in range(10):
        for number in range(200):
            wire.send({"op": "update", "id": number, "load": 200 * burst + number})
        for _ in range(200):
            answer = wire.answer()
            assert answer["op"] == "updated", answer
    watcher = place.connect()
    watching = watcher.watch(since=registered["revision"], log=registered["log"])
    assert watching["resumed"] is False
    assert watcher.snapshot()[0]["load"] == 1999
    near = place.connect().watch(since=answer["revision"] - 2, log=registered["log"])
    assert near["resumed"] is True


def test_a_watcher_that_does_not_read_hurts_nobody_and_gets_the_newest_state(
    place: Place,
) -> None:
    """Past 1 MiB unsent it gets only the newest state of each agent, and is told so."""
    sluggish = place.connect()
    sluggish.watch()
    sluggish.snapshot()
    brisk = place.watcher()
    wire, registered = place.agent("chatty", metadata={"pad": "x" * 15_000})
    brisk.event("registered")
    count = 1200
    slowest = 0.0
    for number in range(count):
        began = time.monotonic()
        wire.ask("update", load=number)
        assert brisk.event("updated")["agent"]["load"] == number
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 5
    events = [sluggish.event()]
    while events[-1]["agent"].get("load") != count - 1:
        events.append(sluggish.event())
    revisions = [event["revision"] for event in events]
    assert revisions == sorted(set(revisions))
    assert len(events) < count, "some were left out"
    assert any(event.get("coalesced") is True for event in events)
    assert all(event.get("coalesced", True) is True for event in events), "or absent"
    assert events[-1]["agent"]["id"] == registered["agent_id"]
    wire.ask("update", load=0.25)
    event = sluggish.event("updated")
    assert event["agent"]["load"] == 0.25
    assert "coalesced" not in event


# -- namespaces ---------------------------------------------------------------------------------


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


def test_default_is_the_namespace_where_none_is_given(shared_hub: Hub, enter: Any) -> None:
    nowhere, default = enter(shared_hub, None), enter(shared_hub, "default")
    wire, registered = nowhere.agent("of-default")
    assert default.connect().record(registered["agent_id"])["name"] == "of-default"
    assert default.record(registered["agent_id"]) is not None
    wire.ask("unregister")


# -- one record on every surface ----------------------------------------------------------------


def test_the_record_is_the_same_bytes_order_on_websocket_http_and_redis(
    stored_hub: Hub, shared_server: Any, enter: Any
) -> None:
    import json  # noqa: PLC0415

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
    revision = wire.ask("update", load=1)["revision"]
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


def test_a_websocket_agent_can_be_unregistered_over_http(place: Place) -> None:
    wire, registered = place.agent("removed")
    watcher = place.watcher()
    response = place.post(f"/agents/{registered['agent_id']}/unregister")
    assert response.status_code == 200
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
