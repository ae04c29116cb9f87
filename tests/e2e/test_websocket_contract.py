"""The connection, register and resume."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import pytest

from tests.e2e.records import FIELDS, SOMEONE, TIME, assert_record, fields_of
from tests.support.hub_process import Place

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


KNOWN_TYPES = ["cost", "performance", "resource", "application"]


@pytest.mark.parametrize("type_", [*KNOWN_TYPES, "my-own.v2", "two words", "übermäßig/1"])
def test_known_types_and_all_others_are_accepted_and_found(place: Place, type_: str) -> None:
    wire = place.connect()
    registered = wire.register("typed", type=type_)
    assert wire.record(registered["agent_id"])["type"] == type_
    listed = place.get(f"/agents/type/{quote(type_, safe='')}").json()
    assert [agent["id"] for agent in listed["agents"]] == [registered["agent_id"]]
    assert place.get("/agents", params={"type": type_}).json() == listed
    assert wire.ask("find", filter={"type": type_})["count"] == 1


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


def test_a_fenced_session_cannot_steal_its_agent_back(place: Place) -> None:
    mine = str(uuid.uuid4())
    old = place.connect()
    first = old.register("old", agent_id=mine)
    new = place.connect()
    new.register("new", agent_id=mine)
    old.closing()
    answer = place.connect().ask("resume", agent_id=mine, session_token=first["session_token"])
    assert answer["op"] == "error"
    assert answer["code"] in ("fenced", "unauthorized")
    assert new.ask("heartbeat")["op"] == "heartbeat_ack", "the new one never notices"


def test_epochs_grow_over_unregistering_too(place: Place) -> None:
    """Otherwise a write of the first session could pass for one of the second."""
    mine = str(uuid.uuid4())
    epochs = []
    for _ in range(3):
        wire = place.connect()
        epochs.append(wire.register("again", agent_id=mine)["epoch"])
        wire.ask("unregister")
    assert epochs == sorted(set(epochs))


def test_registering_a_living_websocket_agent_over_http_fences_it_off(place: Place) -> None:
    wire, registered = place.agent("moving")
    place.register(name="moved", agent_id=registered["agent_id"])
    assert wire.closing()[0] == 4409
    record = place.record(registered["agent_id"])
    assert record is not None
    assert record["health"]["connection"] == "http"
    assert record["epoch"] > registered["epoch"]


def test_a_heartbeat_over_http_counts_for_a_websocket_agent_too(place: Place) -> None:
    wire, registered = place.agent("both ways")
    body = {"status": "degraded", "metadata": {"k": 1}}
    headers = {"Homeport-Session-Token": registered["session_token"]}
    response = place.post(f"/agents/{registered['agent_id']}/heartbeat", json=body, headers=headers)
    assert response.status_code == 200
    record = wire.record(registered["agent_id"])
    assert (record["status"], record["metadata"]) == ("degraded", {"k": 1})
    assert record["health"]["connection"] == "websocket"
    assert record["epoch"] == registered["epoch"]


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
