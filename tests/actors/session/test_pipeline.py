"""Answers keep the order of requests; a peer with too many unanswered requests is not read."""

from __future__ import annotations

from actors.session.pipeline import MAX_PIPELINE
from actors.watch.watch import HIGH_WATER
from tests.support.clock import VirtualClock
from tests.support.records import SPEC, agent_id
from tests.support.world import ModelStore, World

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
    assert link.answered_ids() == [1, 2, 3, 4, 5, 6]
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
    assert link.answered_ids() == [1, None, 2, 3, 4]


def test_pipelined_heartbeats_are_all_answered_in_order() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    commits = len(world.store.batches)
    for number in range(200):
        link.say(op="heartbeat", id=number)
    world.settle()
    assert link.answered_ids() == list(range(200))
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
    assert link.answered_ids() == list(range(40))
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
    assert link.answered_ids() == [1, 2, 3, 4]
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
    assert link.answered_ids() == [1, 2, 3]
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
    assert link.answered_ids() == list(range(-1, MAX_PIPELINE))


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
    assert link.answered_ids() == [*range(MAX_PIPELINE - 2), "find", "ping", "already read"]
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
    assert link.answered_ids() == list(range(MAX_PIPELINE))
    assert link.reading is True


def test_what_was_read_makes_room_for_one_query_after_the_other() -> None:
    world = World()
    link, _ = world.agent("a", metadata={"k": "x" * 16_000})
    link.reads = False
    link.sent.clear()
    link.unsent = HIGH_WATER - 16_000
    for number in range(10):
        link.say(op="find", id=number)
    assert link.answered_ids() == [0]
    link.unsent -= 32_000
    link.session.drained()
    assert link.answered_ids() == [0, 1, 2]
    assert link.most_unsent < HIGH_WATER + 20_000


def test_heartbeats_go_on_while_answers_wait_to_be_read() -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    link.unsent = HIGH_WATER
    link.say(op="heartbeat", id=1)
    world.settle()
    assert link.answered_ids() == [1]


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
    store = ModelStore(VirtualClock())
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
    assert link.answered_ids() == list(range(MAX_PIPELINE))
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


def test_a_connection_with_many_bytes_under_way_is_not_read_until_all_are_answered() -> None:
    world = World()
    link, _ = world.agent()
    world.store.reachable = False
    for number in range(20):
        link.say(op="update", id=number, metadata={"k": "x" * 15_000})
        if not link.reading:
            break
    assert number == 17, "18 messages of 15 KB are 256 KiB"
    world.store.reachable = True
    world.advance(5)
    assert link.reading
    assert link.answered_ids()[-18:] == [*range(18)]
    assert link.ask(op="update", metadata={"k": "x" * 15_000})["op"] == "updated"
    assert link.reading


def test_large_messages_that_are_answered_in_between_are_read_on() -> None:
    world = World()
    link, _ = world.agent()
    for number in range(40):
        assert link.ask(op="update", metadata={"k": f"{number:015000}"})["op"] == "updated"
        assert link.reading
