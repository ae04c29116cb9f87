"""Watches with `since`: the missed events, or a snapshot."""

from __future__ import annotations

import pytest

from actors.limits import Limits
from tests.support.world import World


def test_since_brings_just_what_was_missed() -> None:
    world = World()
    link, _ = world.agent("a1")
    position = world.connect().ask(op="find")
    link.ask(op="update", version="2")
    world.agent("a2")
    again = world.connect()
    watching = again.watch(since=position["revision"], log=position["log"])
    assert watching["resumed"] is True
    assert again.take("snapshot") == []
    assert again.event_revisions() == [2, 3]
    world.agent("a3")
    assert again.event_revisions() == [2, 3, 4]


def test_since_now_brings_nothing_and_then_what_comes() -> None:
    world = World()
    world.agent("a1")
    again = world.connect()
    watching = again.watch(since=world.supervisor.revision, log=world.supervisor.log)
    assert watching["resumed"] is True
    assert again.take("snapshot") == again.take("event") == []
    world.agent("a2")
    assert again.event_revisions() == [2]


def test_since_zero_is_the_whole_log_while_it_reaches_back() -> None:
    world = World()
    world.agent("a1")
    again = world.connect()
    assert again.watch(since=0, log=world.supervisor.log)["resumed"] is True
    assert again.event_revisions() == [1]


def test_missed_events_pass_through_the_filter() -> None:
    world = World()
    link, _ = world.agent("a1")
    log = world.supervisor.log
    world.agent("a2", type="resource")
    link.ask(op="heartbeat", status="degraded")
    link.ask(op="update", version="2")
    again = world.connect()
    again.watch(filter={"status": "healthy", "type": "cost"}, since=1, log=log)
    assert again.events() == [("status_changed", "a1", "degraded")]


@pytest.mark.parametrize("since", [3, 2**62])
def test_since_from_the_future_is_answered_with_a_snapshot(since: int) -> None:
    world = World()
    world.agent("a1")
    world.agent("a2")
    again = world.connect()
    assert again.watch(since=since, log=world.supervisor.log)["resumed"] is False
    assert len(again.take("snapshot")) == 1
    assert again.take("event") == []


def test_since_too_long_ago_is_answered_with_a_snapshot() -> None:
    world = World(limits=Limits(log_length=5))
    link, _ = world.agent("a1")
    for number in range(10):
        link.ask(op="update", version=str(number))
    log = world.supervisor.log
    early = world.connect()
    assert early.watch(since=5, log=log)["resumed"] is False
    assert len(early.take("snapshot")) == 1
    late = world.connect()
    assert late.watch(since=6, log=log)["resumed"] is True
    assert late.event_revisions() == [7, 8, 9, 10, 11]


def test_since_before_what_its_bytes_leave_is_answered_with_a_snapshot() -> None:
    world = World(limits=Limits(max_log_bytes=50_000))
    link, _ = world.agent("a1", metadata={"k": "x" * 12_000})
    for number in range(10):
        link.ask(op="update", version=str(number))
    log = world.supervisor.log
    assert 37_000 < world.supervisor.stats().log_bytes <= 50_000
    early = world.connect()
    assert early.watch(since=6, log=log)["resumed"] is False
    assert len(early.take("snapshot")) == 1
    late = world.connect()
    assert late.watch(since=7, log=log)["resumed"] is True
    assert late.event_revisions() == [8, 9, 10, 11]
    assert world.observer.limits["max_log_bytes"] == 7


def test_another_log_is_answered_with_a_snapshot() -> None:
    world = World()
    world.agent("a1")
    again = world.connect()
    assert again.watch(since=1, log="another")["resumed"] is False
    assert len(again.take("snapshot")) == 1


def test_a_new_log_comes_to_every_watch_as_a_snapshot() -> None:
    world = World()
    link, _ = world.agent("a1")
    watcher = world.watcher()
    filtered = world.watcher(name="nobody")
    old = world.supervisor.log
    world.store.lose_everything()
    link.say(op="heartbeat", id=1)
    world.advance(1)
    for each, count in ((watcher, 1), (filtered, 0)):
        first, *rest = each.sent
        assert (first["op"], first["last"]) == ("snapshot", True)
        assert first["log"] == world.supervisor.log != old
        assert len(first["agents"]) == count
        assert first["revision"] == world.supervisor.revision, "once every agent is back in the log"
        assert rest == []


def test_a_new_log_forgets_what_was_pending() -> None:
    world = World()
    link, _ = world.agent("a1", metadata={"k": "x" * 15_000})
    watcher = world.watcher()
    watcher.stop_reading()
    for number in range(200):
        link.ask(op="update", version=str(number))
    world.store.lose_everything()
    link.say(op="heartbeat", id="last")
    world.advance(1)
    watcher.read_on()
    ops = [each["op"] for each in watcher.sent]
    begin = ops.index("snapshot")
    assert all(
        each["revision"] > watcher.sent[begin]["revision"] for each in watcher.sent[begin + 1 :]
    )
    assert watcher.sent[begin]["log"] == world.supervisor.log
