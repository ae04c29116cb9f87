"""The end of a connection: closed, lost, fenced, unregistered."""

from __future__ import annotations

from tests.support.records import SPEC
from tests.support.world import World


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
    assert world.supervisor.registry.agents == {}


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
    world.http_unregister(answer["agent_id"], answer["session_token"])
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
    assert len(world.supervisor.registry.deadlines) == 0
