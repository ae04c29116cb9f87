"""Requests that are well formed and out of turn, or that ask for more than may be."""

from __future__ import annotations

import json

import pytest

from tests.support.bad_values import BAD, BIG
from tests.support.hub_process import Place
from tests.support.neighbours import Neighbour, assert_error
from tests.support.wire import Wire

pytestmark = pytest.mark.usefixtures("noticed_nothing")


@pytest.mark.parametrize("op", ["heartbeat", "update", "unregister"])
def test_before_registering_there_is_nothing_to_keep_alive(wire: Wire, op: str) -> None:
    wire.send({"op": op, "id": 7})
    assert_error(wire.answer(), "not_registered", None, 7)
    wire.ping()
    assert wire.register("late")["op"] == "registered"


def test_registering_twice_is_refused_and_the_first_stays(wire: Wire) -> None:
    first = wire.register("twice")
    wire.send({"op": "register", "id": 7, "agent": {"name": "second", "type": "cost"}})
    assert_error(wire.answer(), "already_registered", None, 7)
    same = {"name": "second", "type": "cost"}
    wire.send({"op": "register", "id": 8, "agent": same, "agent_id": first["agent_id"]})
    assert_error(wire.answer(), "already_registered", None, 8)
    assert wire.ask("heartbeat")["op"] == "heartbeat_ack"
    assert wire.record(first["agent_id"])["name"] == "twice"


def test_two_registrations_sent_at_once_are_answered_in_order(wire: Wire) -> None:
    for number in (1, 2):
        wire.send({"op": "register", "id": number, "agent": {"name": "at-once", "type": "cost"}})
    assert wire.answer()["op"] == "registered"
    assert_error(wire.answer(), "already_registered", None, 2)
    assert wire.ask("find", filter={"name": "at-once"})["count"] == 1


def test_resuming_on_a_connection_that_has_an_agent_is_refused(
    wire: Wire, neighbour: Neighbour
) -> None:
    other, registered = neighbour.place.agent("other")
    wire.register("mine")
    answer = wire.ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    assert answer["code"] == "already_registered", answer
    other.ping()
    wire.ping()


@pytest.mark.parametrize("token", ["", "x", "0" * 256, "🔑", None])
def test_a_wrong_session_token_is_unauthorized_and_fences_nobody(
    wire: Wire, neighbour: Neighbour, token: str | None
) -> None:
    _, registered = neighbour.place.agent("thief")
    answer = wire.ask(
        "resume",
        agent_id=neighbour.id,
        # None: the token of another agent, valid for that one.
        session_token=registered["session_token"] if token is None else token,
    )
    assert_error(answer, "unauthorized", None, answer["id"])
    assert str(registered["session_token"]) not in answer["message"]
    wire.ping()


def test_the_token_of_an_agent_in_another_namespace_finds_no_agent(
    wire: Wire, place: Place
) -> None:
    _, registered = place.agent("elsewhere")
    answer = wire.ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    assert answer["code"] == "not_found", answer
    wire.ping()


def test_the_session_token_is_told_to_nobody_else(wire: Wire, neighbour: Neighbour) -> None:
    registered = wire.register("secretive")
    other = neighbour.place.connect()
    everything = json.dumps([other.ask("find"), other.record(registered["agent_id"])])
    everything += neighbour.place.get("/agents").text
    assert registered["session_token"] not in everything


def test_an_unknown_watch_is_not_found(wire: Wire) -> None:
    assert wire.ask("unwatch", watch=12345)["code"] in ("not_found", BAD)
    wire.ping()


def test_a_stranger_to_the_log_gets_a_snapshot_and_no_error(wire: Wire) -> None:
    assert wire.watch(since=5, log="no such log")["resumed"] is False
    assert wire.snapshot()
    assert wire.watch(since=2**62, log="")["resumed"] is False


# -- metadata that grows -------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["heartbeat", "update"])
def test_metadata_may_not_grow_past_its_bound_by_merging(wire: Wire, op: str) -> None:
    registered = wire.register("growing", metadata={"a": "x" * 9_000})
    before = wire.record(registered["agent_id"])
    answer = wire.ask(op, metadata={"b": "x" * 9_000}, load=1.0)
    assert_error(answer, BIG, "metadata", answer["id"])
    after = wire.record(registered["agent_id"])
    assert after["metadata"] == before["metadata"]
    assert after.get("load") is None, "a refused request changes nothing"
    assert wire.ask(op, metadata={"a": None, "b": "x" * 9_000})["op"] != "error"
    assert list(wire.record(registered["agent_id"])["metadata"]) == ["b"]


def test_metadata_of_exactly_16_kibibytes_fits_and_one_byte_more_does_not(wire: Wire) -> None:
    fits = {"k": "x" * (16_384 - len('{"k":""}'))}
    registered = wire.register("full", metadata=fits)
    assert wire.record(registered["agent_id"])["metadata"] == fits
    answer = wire.ask("heartbeat", metadata={"k": fits["k"] + "x"})
    assert_error(answer, BIG, "metadata", answer["id"])


def test_a_resume_may_not_grow_metadata_past_its_bound(wire: Wire, neighbour: Neighbour) -> None:
    agent, registered = neighbour.place.agent("growing", metadata={"a": "x" * 9_000})
    answer = wire.ask(
        "resume",
        agent_id=registered["agent_id"],
        session_token=registered["session_token"],
        agent={"metadata": {"b": "x" * 9_000}},
    )
    assert_error(answer, BIG, "agent.metadata", answer["id"])
    assert agent.ask("heartbeat")["op"] == "heartbeat_ack", "a refused resume fences nobody"


# -- what fits -----------------------------------------------------------------------------------


def test_everything_at_its_bound_is_accepted_and_kept(wire: Wire) -> None:
    spec = {
        "name": "é" * 128,
        "type": "x" * 64,
        "host": "h" * 255,
        "port": 65535,
        "capabilities": ["c" * 128, *(f"c{n}" for n in range(255))],
        "version": "v" * 64,
        "metadata": {"k": {"deep": [1, 2.5, None, True, "é", "\u0000"]}, "big": 2**63},
        "status": "degraded",
        "load": 0,
    }
    registered = wire.ask("register", agent=spec)
    assert registered["op"] == "registered", registered
    record = wire.record(registered["agent_id"])
    assert {key: record[key] for key in spec} == spec


def test_names_that_look_like_code_are_only_names(wire: Wire, neighbour: Neighbour) -> None:
    name = '"}\\ {{${jndi}} <script> %s %00 🤖 agent:* KEYS'
    registered = wire.register(name, metadata={"__proto__": 1, "": 2, "a.b": 3, "id": "x"})
    record = wire.record(registered["agent_id"])
    assert record["name"] == name
    assert record["metadata"] == {"__proto__": 1, "": 2, "a.b": 3, "id": "x"}
    assert wire.ask("find", filter={"name": name})["count"] == 1
    assert neighbour.place.record(registered["agent_id"]) == record


def test_a_malformed_message_in_the_middle_of_many_is_answered_in_its_place(wire: Wire) -> None:
    wire.send('{"op":"ping","id":1}')
    wire.send('{"op":"get","id":2}')
    wire.send("nonsense")
    wire.send('{"op":"find","id":4,"filter":{"type":"none"}}')
    wire.send('{"op":"ping","id":5}')
    ids = [wire.answer()["id"] for _ in range(5)]
    assert ids == [1, 2, None, 4, 5]
