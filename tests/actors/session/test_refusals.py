"""What is refused, what is malformed, and when that ends the connection."""

from __future__ import annotations

import pytest

from actors.limits import Limits
from actors.session.session import MAX_MALFORMED
from tests.support.records import SPEC, agent_id
from tests.support.world import World

# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["heartbeat", "update", "unregister"])
def test_an_observer_has_no_agent(op: str) -> None:
    link = World().connect()
    assert link.ask(op=op)["code"] == "not_registered"
    assert link.ask(op="ping")["op"] == "pong"


def test_one_connection_registers_one_agent() -> None:
    world = World()
    link, first = world.agent()
    assert link.ask(op="register", agent=SPEC)["code"] == "already_registered"
    resume = {"agent_id": first["agent_id"], "session_token": first["session_token"]}
    assert link.ask(op="resume", **resume)["code"] == "already_registered"
    assert link.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert len(world.supervisor.directory) == 1


def test_registering_twice_at_once_registers_once() -> None:
    world = World()
    link = world.connect()
    link.say(op="register", id=1, agent=SPEC)
    link.say(op="register", id=2, agent=SPEC)
    world.settle()
    assert [each["op"] for each in link.sent] == ["registered", "error"]
    assert link.sent[1]["code"] == "already_registered"
    assert len(world.supervisor.directory) == 1


def test_a_wrong_token_is_unauthorized_and_changes_nothing() -> None:
    world = World()
    link, first = world.agent()
    other = world.connect()
    answer = other.ask(op="resume", agent_id=first["agent_id"], session_token="guess")
    assert (answer["code"], answer["field"]) == ("unauthorized", "session_token")
    assert link.close_code is None
    assert other.ask(op="heartbeat")["code"] == "not_registered"
    assert world.record(first["agent_id"])["epoch"] == 1
    assert other.ask(op="register", agent=SPEC)["op"] == "registered", "it may still register"


def test_resuming_one_that_is_gone_is_not_found() -> None:
    world = World()
    answer = world.connect().ask(op="resume", agent_id=agent_id(1), session_token="x")
    assert answer["code"] == "not_found"


def test_metadata_that_grows_past_its_bound_is_refused_and_the_rest_with_it() -> None:
    world = World()
    link, first = world.agent(metadata={"a": "x" * 10_000})
    for op in ("heartbeat", "update"):
        answer = link.ask(op=op, status="degraded", metadata={"b": "x" * 10_000})
        assert (answer["code"], answer["field"]) == ("too_large", "metadata")
    link.ask(op="heartbeat")
    assert world.record(first["agent_id"])["status"] == "healthy"
    refused = world.connect().ask(op="register", agent={**SPEC, "metadata": {"k": "x" * 17_000}})
    assert (refused["code"], refused["field"]) == ("too_large", "agent.metadata")
    assert len(world.supervisor.directory) == 1
    assert len(world.supervisor.registry.agents) == 1


def test_a_filter_that_cannot_be_understood_is_refused_by_all_three() -> None:
    link = World().connect()
    for op in ("find", "pick", "watch"):
        answer = link.ask(op=op, filter={"version": "nonsense"})
        assert (answer["code"], answer["field"]) == ("bad_request", "filter.version")
        answer = link.ask(op=op, filter={"stauts": "healthy"})
        assert (answer["code"], answer["field"]) == ("bad_request", "filter.stauts")
    assert link.ask(op="watch")["watch"] == 1


def test_since_and_log_go_together() -> None:
    link = World().connect()
    assert link.ask(op="watch", since=0)["code"] == "bad_request"
    assert link.ask(op="watch", log="log-1")["code"] == "bad_request"
    assert link.ask(op="watch", since=-1, log="log-1")["field"] == "since"


def test_there_is_no_such_watch() -> None:
    link = World().connect()
    answer = link.ask(op="unwatch", watch=1)
    assert (answer["code"], answer["field"]) == ("not_found", "watch")
    link.ask(op="watch")
    link.ask(op="unwatch", watch=1)
    assert link.ask(op="unwatch", watch=1)["code"] == "not_found"


def test_a_connection_holds_so_many_watches() -> None:
    world = World()
    link = world.connect()
    for number in range(64):
        assert link.ask(op="watch")["watch"] == number + 1
    refusal = link.ask(op="watch")
    assert (refusal["code"], refusal["retryable"]) == ("rate_limited", True)
    assert "max_watches" in refusal["message"]
    assert world.observer.limits["max_watches"] == 1
    link.ask(op="unwatch", watch=3)
    assert link.ask(op="watch")["op"] == "watching"
    assert world.supervisor.stats().watches == 64


def test_how_many_watches_a_connection_holds_is_a_setting() -> None:
    link = World(limits=Limits(max_watches=2)).connect()
    answers = [link.ask(op="watch") for _ in range(3)]
    assert [each["op"] for each in answers] == ["watching", "watching", "error"]


# --- malformed messages --------------------------------------------------------------------------

MALFORMED = [b"", b"{", b"[]", b"7", b"\xff", b'{"op":"ping"}', b"[" * 5000]


def test_a_malformed_message_is_answered_and_the_connection_lives() -> None:
    link = World().connect()
    for data in MALFORMED:
        link.say_raw(data)
        (error,) = link.take("error")
        assert (error["id"], error["code"]) == (None, "bad_request")
    assert link.ask(op="ping")["op"] == "pong"


def test_an_unknown_op_is_named_and_a_reserved_one_said_to_be() -> None:
    link = World().connect()
    answer = link.ask(op="dance")
    assert (answer["code"], answer["field"], answer["retryable"]) == ("unknown_op", "op", False)
    assert "dance" in answer["message"]
    for op in ("call", "invoke", "reply"):
        assert link.ask(op=op)["code"] == "unknown_op"


def test_a_wrong_field_is_named_and_the_id_given_back() -> None:
    link = World().connect()
    answer = link.ask(op="register", agent={"name": "a", "type": "cost", "port": 70000})
    assert (answer["code"], answer["field"]) == ("bad_request", "agent.port")
    assert link.ask(op="register", agent={"type": "cost"})["field"] == "agent.name"
    assert link.ask(op="get", agent_id="x")["field"] == "agent_id"


def test_unknown_fields_are_ignored() -> None:
    assert World().connect().ask(op="ping", future=[1, 2])["op"] == "pong"


@pytest.mark.parametrize("data", [b"{", b'{"op":"dance","id":1}', b'{"op":"get","id":1}'])
def test_ten_malformed_in_a_row_close_the_connection(data: bytes) -> None:
    link = World().connect()
    for _ in range(MAX_MALFORMED - 1):
        link.say_raw(data)
    assert link.close_code is None
    assert len(link.sent) == MAX_MALFORMED - 1
    link.say_raw(data)
    assert link.close_code == 4400
    assert not link.discarded


def test_a_good_message_between_them_counts_anew() -> None:
    link = World().connect()
    for _ in range(5):
        for _ in range(MAX_MALFORMED - 1):
            link.say_raw(b"{")
        link.say(op="ping", id=1)
    assert link.close_code is None


def test_a_request_that_is_refused_is_not_malformed() -> None:
    link = World().connect()
    for _ in range(3 * MAX_MALFORMED):
        link.ask(op="get", agent_id=agent_id(1))
        link.ask(op="heartbeat")
    assert link.close_code is None


def test_a_binary_message_closes_the_connection() -> None:
    world = World()
    link, answer = world.agent()
    link.session.received_binary()
    assert link.close_code == 4400
    world.settle()
    assert world.record(answer["agent_id"])["health"]["connection"] == "lost"


def test_after_the_end_nothing_is_heard_or_sent() -> None:
    world = World()
    link = world.watcher()
    link.session.received_binary()
    before = len(link.sent)
    link.say(op="ping", id=1)
    link.say_raw(b"{")
    link.session.received_binary()
    link.session.pong()
    link.session.drained()
    world.agent()
    world.advance(100)
    assert len(link.sent) == before
    assert link.pings == 0
    assert world.supervisor.stats().sessions == 1
