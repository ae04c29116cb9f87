"""Sessions: one answer to every request, in order; and what ends a connection."""

from __future__ import annotations

from typing import Any

import pytest

from actors.session.session import MAX_MALFORMED, MAX_PIPELINE
from actors.session.watches import MAX_WATCHES
from actors.watch.watch import HIGH_WATER
from tests.support.records import agent_id
from tests.support.world import FakeLink, ModelStore, VirtualScheduler, World

SPEC = {"name": "a1", "type": "cost"}


def ids(link: FakeLink) -> list[Any]:
    """The request each answer was for, in the order they came."""
    return [each["id"] for each in link.sent if "id" in each]


# --- the shape of every answer -------------------------------------------------------------------


def test_registered() -> None:
    world = World()
    answer = world.connect().ask(op="register", agent=SPEC)
    assert list(answer) == [
        "op",
        "id",
        "agent_id",
        "session_token",
        "epoch",
        "resumed",
        "registered_at",
        "heartbeat_interval",
        "heartbeat_timeout",
        "lease_ttl",
        "log",
        "revision",
    ]
    assert (answer["op"], answer["id"], answer["epoch"], answer["resumed"]) == (
        "registered",
        "q1",
        1,
        False,
    )
    assert (answer["heartbeat_interval"], answer["heartbeat_timeout"], answer["lease_ttl"]) == (
        30,
        45,
        60,
    )
    assert (answer["log"], answer["revision"]) == (world.supervisor.log, 1)
    assert answer["registered_at"] == world.record(answer["agent_id"])["registered_at"]


def test_resumed() -> None:
    world = World()
    link, first = world.agent()
    link.vanish()
    answer = world.connect().ask(
        op="resume",
        agent_id=first["agent_id"].upper(),
        session_token=first["session_token"],
        agent={"version": "2", "status": "degraded", "metadata": {"k": 1}},
    )
    assert (answer["op"], answer["resumed"], answer["epoch"]) == ("registered", True, 2)
    assert answer["agent_id"] == first["agent_id"]
    assert answer["registered_at"] == first["registered_at"]
    record = world.record(first["agent_id"])
    assert (record["version"], record["status"], record["metadata"]) == ("2", "degraded", {"k": 1})
    again = world.connect().ask(
        op="resume", agent_id=first["agent_id"], session_token=answer["session_token"]
    )
    assert again["op"] == "registered", "the newer token is as good"


def test_heartbeat_ack() -> None:
    world = World()
    link, _ = world.agent()
    answer = link.ask(op="heartbeat", status="degraded", metadata={"k": 1}, load=0.5)
    assert list(answer) == ["op", "id", "next_interval", "timestamp", "durable"]
    assert (answer["op"], answer["next_interval"], answer["durable"]) == ("heartbeat_ack", 30, True)
    assert answer["timestamp"].endswith("Z")


def test_updated() -> None:
    world = World()
    link, first = world.agent()
    answer = link.ask(op="update", version="2", capabilities=["x", "x"], host="h", port=9, load=1)
    assert answer == {"op": "updated", "id": "q2", "log": world.supervisor.log, "revision": 2}
    record = world.record(first["agent_id"])
    assert (record["version"], record["capabilities"], record["host"]) == ("2", ["x"], "h")
    assert (record["port"], record["load"], record["revision"]) == (9, 1, 2)
    assert link.ask(op="update")["revision"] == 2, "nothing changed, and that is durable too"


def test_unregistered() -> None:
    world = World()
    link, _ = world.agent()
    assert link.ask(op="unregister") == {"op": "unregistered", "id": "q2"}
    assert link.close_code == 1000


def test_agents() -> None:
    world = World()
    link, first = world.agent("a1")
    world.agent("a2")
    answer = link.ask(op="find", limit=1)
    assert list(answer) == ["op", "id", "agents", "count", "log", "revision", "next_cursor"]
    assert (answer["op"], answer["count"], len(answer["agents"])) == ("agents", 1, 1)
    last = link.ask(op="find", cursor=answer["next_cursor"])
    assert list(last) == ["op", "id", "agents", "count", "log", "revision"]
    found = {agent["id"]: agent for agent in answer["agents"] + last["agents"]}
    assert found[first["agent_id"]] == world.record(first["agent_id"])
    assert len(found) == 2
    nobody = link.ask(op="find", filter={"name": "nobody"})
    assert (nobody["agents"], nobody["count"], nobody["revision"]) == ([], 0, 2)


def test_agent() -> None:
    world = World()
    link, first = world.agent()
    answer = link.ask(op="get", agent_id=first["agent_id"].upper())
    assert answer == {"op": "agent", "id": "q2", "agent": world.record(first["agent_id"])}
    picked = link.ask(op="pick")
    assert picked == {"op": "agent", "id": "q3", "agent": world.record(first["agent_id"])}


def test_not_found_and_no_match() -> None:
    link = World().connect()
    missing = link.ask(op="get", agent_id=agent_id(1))
    assert list(missing) == ["op", "id", "code", "message", "retryable"]
    assert (missing["op"], missing["code"], missing["retryable"]) == ("error", "not_found", False)
    assert link.ask(op="pick")["code"] == "no_match"
    refused = link.ask(op="pick", strategy="sticky")
    assert (refused["code"], refused["field"]) == ("bad_request", "key")


def test_pong() -> None:
    link = World().connect()
    assert link.ask(op="ping") == {"op": "pong", "id": "q1"}


def test_ids_are_given_back_as_they_came() -> None:
    link = World().connect()
    for request_id in (0, -5, 2**63 - 1, "", 'ü"\\', "x" * 64):
        link.say(op="ping", id=request_id)
        link.say(op="find", id=request_id)
    assert ids(link)[::2] == ids(link)[1::2] == [0, -5, 2**63 - 1, "", 'ü"\\', "x" * 64]


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
    assert len(world.supervisor.population.agents) == 1


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
    for number in range(MAX_WATCHES):
        assert link.ask(op="watch")["watch"] == number + 1
    assert link.ask(op="watch")["code"] == "rate_limited"
    link.ask(op="unwatch", watch=3)
    assert link.ask(op="watch")["op"] == "watching"
    assert world.supervisor.stats().watches == MAX_WATCHES


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


# --- order ---------------------------------------------------------------------------------------


def test_a_query_behind_a_write_waits_for_it_and_sees_what_it_did() -> None:
    world = World()
    link = world.connect()
    link.say(op="register", id=1, agent=SPEC)
    link.say(op="find", id=2)
    link.say(op="update", id=3, version="2")
    link.say(op="update", id=4, version="3")
    link.say(op="find", id=5)
    link.say(op="ping", id=6)
    assert link.sent == []
    world.settle()
    assert ids(link) == [1, 2, 3, 4, 5, 6]
    assert link.sent[1]["count"] == 1
    assert link.sent[4]["agents"][0]["version"] == "3"
    assert link.sent[4]["revision"] == 3


def test_malformed_messages_between_others_keep_their_place() -> None:
    world = World()
    link = world.connect()
    link.say(op="register", id=1, agent=SPEC)
    link.say_raw(b"{")
    link.say(op="heartbeat", id=2)
    link.say_raw(b'{"op":"dance","id":3}')
    link.say(op="ping", id=4)
    world.settle()
    assert ids(link) == [1, None, 2, 3, 4]


def test_pipelined_heartbeats_are_all_answered_in_order() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    commits = len(world.store.batches)
    for number in range(200):
        link.say(op="heartbeat", id=number)
    world.settle()
    assert ids(link) == list(range(200))
    assert all(each["durable"] is True for each in link.sent)
    assert len(world.store.batches) - commits < 20, "one renewal answers many"


def test_pipelined_heartbeats_with_changes_are_each_applied() -> None:
    world = World()
    link, answer = world.agent()
    link.sent.clear()
    watcher = world.watcher()
    for number in range(20):
        link.say(op="heartbeat", id=2 * number, metadata={f"k{number}": number})
        link.say(op="heartbeat", id=2 * number + 1)
    world.settle()
    world.settle()
    assert ids(link) == list(range(40))
    assert len(world.record(answer["agent_id"])["metadata"]) == 20
    assert len(watcher.events()) == 20


def test_answers_keep_their_order_while_the_store_is_away() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    world.store.reachable = False
    link.say(op="update", id=1, version="2")
    link.say(op="heartbeat", id=2)
    link.say(op="find", id=3)
    link.say(op="heartbeat", id=4)
    world.advance(5)
    assert ids(link) == [1, 2, 3, 4]
    assert [each["op"] for each in link.sent] == [
        "error",
        "heartbeat_ack",
        "agents",
        "heartbeat_ack",
    ]


def test_what_waits_behind_a_registration_that_fails_is_answered_too() -> None:
    world = World()
    link = world.connect()
    link.say(op="register", id=1, agent={**SPEC, "metadata": {"k": "x" * 17_000}})
    link.say(op="heartbeat", id=2)
    link.say(op="ping", id=3)
    world.settle()
    assert ids(link) == [1, 2, 3]
    assert [each.get("code") for each in link.sent] == ["too_large", "not_registered", None]


def test_a_registration_behind_a_refused_resumption_holds() -> None:
    """A client that pipelines: a registration that is refused, a resumption of one that is gone,
    and then one that succeeds."""
    world = World()
    link = world.connect()
    link.say(op="register", id=1, agent={**SPEC, "metadata": {"k": "x" * 17_000}})
    link.say(op="resume", id=2, agent_id=agent_id(7), session_token="x")
    link.say(op="register", id=3, agent=SPEC)
    world.settle()
    assert [each["op"] for each in link.sent] == ["error", "error", "registered"]
    assert link.ask(op="heartbeat")["op"] == "heartbeat_ack"
    link.vanish()
    assert world.record(link.sent[2]["agent_id"])["health"]["connection"] == "lost"


def test_hundreds_of_refused_resumptions_in_a_row_are_just_answered() -> None:
    world = World()
    link = world.connect()
    link.say(op="register", id=-1, agent={**SPEC, "metadata": {"k": "x" * 17_000}})
    for number in range(MAX_PIPELINE):
        link.say(op="resume", id=number, agent_id=agent_id(7), session_token="x")
    world.settle()
    assert ids(link) == list(range(-1, MAX_PIPELINE))


# --- pipelining ----------------------------------------------------------------------------------


def test_a_peer_that_asks_faster_than_it_is_answered_is_not_read() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    for number in range(MAX_PIPELINE - 2):
        link.say(op="update", id=number, version=str(number))
    link.say(op="find", id="find")
    assert link.reading is True
    link.say(op="ping", id="ping")
    assert link.reading is False
    link.say(op="ping", id="already read")
    while link.reading is False:
        world.advance(0.001)
        unanswered = MAX_PIPELINE + 1 - len(link.sent)
    assert unanswered <= MAX_PIPELINE // 2 + 1
    world.advance(1)
    assert ids(link) == [*range(MAX_PIPELINE - 2), "find", "ping", "already read"]
    assert link.reading is True


def test_a_flood_of_heartbeats_alone_is_bounded_too() -> None:
    world = World()
    link, _ = world.agent()
    for number in range(MAX_PIPELINE):
        link.say(op="heartbeat", id=number)
    assert link.reading is False
    world.settle()
    assert link.reading is True


def test_queries_wait_for_a_peer_that_has_much_to_read() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    link.unsent = HIGH_WATER
    for number in range(MAX_PIPELINE):
        link.say(op="find", id=number)
        assert link.reading is (number < MAX_PIPELINE - 1)
    world.settle()
    assert link.sent == []
    link.unsent = HIGH_WATER - 1
    link.session.drained()
    assert ids(link) == list(range(MAX_PIPELINE))
    assert link.reading is True


def test_what_was_read_makes_room_for_one_query_after_the_other() -> None:
    world = World()
    link, _ = world.agent("a", metadata={"k": "x" * 16_000})
    link.reads = False
    link.sent.clear()
    link.unsent = HIGH_WATER - 16_000
    for number in range(10):
        link.say(op="find", id=number)
    assert ids(link) == [0]
    link.unsent -= 32_000
    link.session.drained()
    assert ids(link) == [0, 1, 2]
    assert link.most_unsent < HIGH_WATER + 20_000


def test_heartbeats_go_on_while_answers_wait_to_be_read() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    link.unsent = HIGH_WATER
    link.say(op="heartbeat", id=1)
    world.settle()
    assert ids(link) == [1]


def test_a_heartbeat_behind_a_query_that_waits_counts_when_it_comes() -> None:
    world = World()
    link, registered = world.agent()
    link.answers_pings = False
    link.unsent = HIGH_WATER
    link.say(op="find", id=1)

    def read_slowly(seconds: int) -> None:
        for _ in range(seconds):
            link.delivered += 1
            world.advance(1)

    timeout = int(world.supervisor.timing.heartbeat_timeout)
    read_slowly(timeout - 1)
    link.say(op="heartbeat", id=2)
    read_slowly(timeout - 1)
    assert world.record(registered["agent_id"])["status"] == "healthy"
    read_slowly(2)
    assert world.record(registered["agent_id"])["status"] == "unreachable"


# --- before the directory is loaded --------------------------------------------------------------


def unready_world() -> World:
    store = ModelStore(VirtualScheduler())
    store.reachable = False
    world = World(store=store)
    assert not world.supervisor.ready
    return world


def test_what_comes_before_the_directory_is_loaded_is_answered_after() -> None:
    world = unready_world()
    link = world.connect()
    link.say(op="ping", id=1)
    link.say(op="find", id=2)
    link.say_raw(b"{")
    link.say(op="register", id=3, agent=SPEC)
    link.say(op="heartbeat", id=4)
    world.advance(10)
    assert link.sent == []
    world.store.reachable = True
    world.advance(2)
    assert [each["op"] for each in link.sent] == [
        "pong",
        "agents",
        "error",
        "registered",
        "heartbeat_ack",
    ]


def test_a_flood_before_the_directory_is_loaded_is_not_read() -> None:
    world = unready_world()
    link = world.connect()
    for number in range(MAX_PIPELINE):
        link.say(op="ping", id=number)
    assert link.reading is False
    world.store.reachable = True
    world.advance(2)
    assert ids(link) == list(range(MAX_PIPELINE))
    assert link.reading is True


def test_one_that_left_before_the_directory_was_loaded_is_forgotten() -> None:
    world = unready_world()
    link = world.connect()
    link.say(op="register", id=1, agent=SPEC)
    link.vanish()
    world.store.reachable = True
    world.advance(2)
    assert len(world.supervisor.directory) == 0
    assert link.sent == []
    assert world.supervisor.stats().sessions == 0


def test_http_before_the_directory_is_loaded_is_unavailable_and_never_a_false_answer() -> None:
    world = World()
    registered = world.http_register()
    world.store.reachable = False
    world.supervisor.close()
    world = World(store=world.store)
    assert not world.supervisor.ready
    assert world.http_heartbeat(registered.agent_id).code == "unavailable"
    refused = world.http_unregister(registered.agent_id)
    assert getattr(refused, "code", "a false success") == "unavailable"
    assert world.http_register().code == "unavailable"


# --- signs of life -------------------------------------------------------------------------------


def test_an_observer_is_pinged_and_lives() -> None:
    world = World()
    link = world.connect()
    world.advance(300)
    assert link.close_code is None
    assert 15 <= link.pings <= 25


def test_a_silent_observer_is_closed() -> None:
    world = World()
    link = world.connect()
    link.answers_pings = False
    world.advance(44.9)
    assert link.close_code is None
    assert link.pings >= 2
    world.advance(0.2)
    assert link.close_code == 4408
    assert world.supervisor.stats().sessions == 0


def test_an_observer_that_asks_is_not_pinged() -> None:
    world = World()
    link = world.connect()
    for _ in range(20):
        world.advance(10)
        link.ask(op="ping")
    assert link.pings == 0


def test_observers_are_not_closed_for_the_hubs_own_absence() -> None:
    world = World()
    links = [world.connect() for _ in range(3)]
    world.advance(3)
    world.scheduler.sleep_through(100)
    world.advance(1)
    assert [link.close_code for link in links] == [None] * 3


@pytest.mark.parametrize("op", ["ping", "find", "update"])
def test_any_valid_message_of_an_agent_is_a_sign_of_life(op: str) -> None:
    world = World()
    link, answer = world.agent()
    for _ in range(20):
        world.advance(10)
        link.ask(op=op)
        assert world.record(answer["agent_id"])["status"] != "unreachable"
    assert link.close_code is None
    assert world.store.record(answer["agent_id"]) is not None, "and renews the lease"


def test_an_agent_that_sends_only_nonsense_is_pinged_and_judged_by_its_pongs() -> None:
    world = World()
    link, answer = world.agent()
    for _ in range(20):
        world.advance(10)
        link.say_raw(b"{")
        link.say(op="ping", id=1) if _ % 5 == 4 else None
        assert world.record(answer["agent_id"])["status"] != "unreachable"
    assert link.close_code is None


# --- the end of a connection ---------------------------------------------------------------------


def test_one_that_leaves_while_registering_is_lost_and_then_unreachable() -> None:
    world = World()
    watcher = world.watcher()
    link = world.connect()
    link.say(op="register", id=1, agent=SPEC)
    link.vanish()
    world.advance(5.2)
    assert watcher.events() == [
        ("registered", "a1", "healthy"),
        ("lost", "a1", "healthy"),
        ("status_changed", "a1", "unreachable"),
    ]
    world.advance(61)
    assert watcher.events() == [("expired", "a1", "unreachable")]
    assert link.sent == []
    assert world.supervisor.population.agents == {}


def test_one_that_leaves_while_resuming_is_lost_too() -> None:
    world = World()
    link, answer = world.agent()
    link.vanish()
    again = world.connect()
    again.say(op="resume", id=1, agent_id=answer["agent_id"], session_token=answer["session_token"])
    again.vanish()
    world.advance(5.2)
    record = world.record(answer["agent_id"])
    assert (record["status"], record["health"]["reason"]) == ("unreachable", "connection_lost")
    assert record["epoch"] == 2


def test_what_was_asked_before_leaving_is_done() -> None:
    world = World()
    link, answer = world.agent()
    link.say(op="update", id=1, version="2")
    link.say(op="unregister", id=2)
    link.vanish()
    assert answer["agent_id"] not in world.supervisor.directory
    assert [entry.kind for entry in world.store.log] == ["registered", "updated", "unregistered"]


def test_unregistering_behind_updates_answers_all_and_closes_last() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    link.say(op="update", id=1, version="2")
    link.say(op="unregister", id=2)
    link.say(op="ping", id=3)
    world.settle()
    assert [each["op"] for each in link.sent] == ["updated", "unregistered"]
    assert link.close_code == 1000


def test_a_fenced_session_hears_nothing_more_but_its_close() -> None:
    world = World()
    link, answer = world.agent()
    link.ask(op="watch")
    link.sent.clear()
    other = world.connect()
    other.say(op="register", id=1, agent_id=answer["agent_id"], agent=SPEC)
    link.say(op="update", id=2, version="late")
    world.settle()
    assert link.close_code == 4409
    assert world.record(answer["agent_id"])["version"] == ""
    assert world.record(answer["agent_id"])["epoch"] == 2
    assert world.supervisor.stats().fenced == 1


def test_unregistering_over_http_ends_the_websocket_too() -> None:
    world = World()
    link, answer = world.agent()
    world.http_unregister(answer["agent_id"])
    assert link.close_code == 1000
    assert answer["agent_id"] not in world.supervisor.directory


def test_registering_over_http_fences_off_the_websocket() -> None:
    world = World()
    link, answer = world.agent()
    lease = world.http_register("a1", answer["agent_id"])
    assert lease.epoch == 2
    assert link.close_code == 4409
    record = world.record(answer["agent_id"])
    assert (record["health"]["connection"], record["hub"]) == ("http", "")


def test_sessions_leave_no_deadline_behind() -> None:
    world = World()
    for _ in range(50):
        world.connect().vanish()
    world.advance(60)
    assert len(world.supervisor.population.deadlines) == 0
