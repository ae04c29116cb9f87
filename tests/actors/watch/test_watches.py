"""Watches: snapshot, then every change in order, of what matches."""

from __future__ import annotations

from typing import Any

from actors.watch.watch import CHUNK_AGENTS
from tests.support.world import World

# --- snapshot, then events -----------------------------------------------------------------------


def test_first_the_answer_then_the_snapshot_then_the_events() -> None:
    world = World()
    world.agent("a1")
    link = world.connect()
    watching = link.watch()
    world.agent("a2")
    assert [each["op"] for each in link.sent] == ["watching", "snapshot", "event"]
    _, snapshot, event = link.sent
    assert list(watching) == ["op", "id", "watch", "resumed", "log", "revision", "position"]
    assert (watching["watch"], watching["resumed"]) == (1, False)
    assert list(snapshot) == ["op", "watch", "agents", "log", "revision", "last", "position"]
    assert snapshot["last"] is True
    assert [agent["name"] for agent in snapshot["agents"]] == ["a1"]
    assert watching["revision"] == snapshot["revision"] == 1
    assert watching["log"] == snapshot["log"] == world.supervisor.log
    assert watching["position"] == snapshot["position"] != event["position"]
    assert list(event) == ["op", "watch", "revision", "position", "kind", "agent"]
    assert (event["watch"], event["revision"], event["kind"]) == (1, 2, "registered")
    assert event["agent"] == world.record(event["agent"]["id"])
    assert event["agent"]["revision"] == 2


def test_an_empty_directory_has_an_empty_last_snapshot() -> None:
    link = World().connect()
    link.watch()
    assert link.sent[1]["agents"] == []
    assert link.sent[1]["last"] is True


def test_a_large_snapshot_comes_in_chunks_and_holds_every_agent_once() -> None:
    world = World()
    world.populate(2 * CHUNK_AGENTS + 50)
    link = world.connect()
    link.watch()
    chunks = link.take("snapshot")
    assert len(chunks) >= 3
    assert [chunk["last"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(0 < len(chunk["agents"]) <= CHUNK_AGENTS for chunk in chunks)
    assert {chunk["revision"] for chunk in chunks} == {world.supervisor.revision}
    ids = [agent["id"] for chunk in chunks for agent in chunk["agents"]]
    assert ids == world.supervisor.directory.ids()


def test_chunks_of_large_records_stay_below_what_a_frame_may_hold() -> None:
    world = World()
    world.populate(30, metadata={"k": "x" * 15_000})
    link = world.connect()
    sizes: list[int] = []
    send = link.send
    link.send = lambda payload: (sizes.append(len(payload)), send(payload))[1]  # type: ignore[method-assign]
    link.watch()
    assert max(sizes) <= 64 * 1024 + 1024
    assert sum(len(chunk["agents"]) for chunk in link.take("snapshot")) == 30


def test_events_come_in_revision_order_none_twice_none_missing() -> None:
    world = World()
    watcher = world.watcher()
    links = [world.agent(f"a{number}")[0] for number in range(5)]
    for turn in range(10):
        for link in links:
            link.say(op="update", id=turn, version=str(turn))
    world.settle()
    links[0].vanish()
    world.advance(200)
    assert watcher.event_revisions() == list(range(1, world.supervisor.revision + 1))
    assert len(watcher.sent) > 55


def test_a_heartbeat_that_changes_nothing_is_no_event() -> None:
    world = World()
    link, _ = world.agent(status="degraded", load=1)
    watcher = world.watcher()
    for says in (
        {},
        {"status": "degraded"},
        {"load": 1},
        {"metadata": {}},
        {"metadata": {"k": None}},
    ):
        link.ask(op="heartbeat", **says)
    assert watcher.events() == []
    link.ask(op="heartbeat", load=2)
    assert watcher.events() == []
    link.ask(op="heartbeat", load=3, metadata={"k": 1})
    assert watcher.events() == [("updated", "a1", "degraded")]


def test_all_watchers_get_the_same_bytes() -> None:
    world = World()
    payloads: list[bytes] = []
    for _ in range(3):
        link = world.watcher()
        send = link.send

        def sending(payload: bytes, send: Any = send) -> None:
            payloads.append(payload)
            send(payload)

        link.send = sending  # type: ignore[method-assign]
    world.agent()
    assert len(payloads) == 3
    assert len({id(payload) for payload in payloads}) == 1


# --- filters -------------------------------------------------------------------------------------


def test_only_what_matches_is_sent() -> None:
    world = World()
    watcher = world.watcher(type="resource")
    world.agent("a1")
    world.agent("a2", type="resource")
    assert watcher.events() == [("registered", "a2", "healthy")]


def test_an_agent_that_leaves_the_filter_comes_once_more_with_its_new_record() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher(status="healthy")
    link.ask(op="heartbeat", status="degraded")
    assert watcher.events() == [("status_changed", "a1", "degraded")]
    link.ask(op="update", version="2")
    assert watcher.events() == [], "outside of the filter it is silent"
    link.ask(op="heartbeat", status="healthy")
    assert watcher.events() == [("status_changed", "a1", "healthy")]


def test_an_agent_that_goes_while_outside_of_the_filter_is_no_event() -> None:
    world = World()
    link, _ = world.agent(status="degraded")
    watcher = world.watcher(status="healthy")
    link.ask(op="unregister")
    assert watcher.events() == []


def test_an_agent_that_goes_while_in_the_filter_is_an_event() -> None:
    world = World()
    link, _ = world.agent(capabilities=["x"])
    watcher = world.watcher(capabilities=["x"])
    link.ask(op="unregister")
    assert watcher.events() == [("unregistered", "a1", "healthy")]


def test_leaving_by_capability_version_and_metadata_is_an_event_too() -> None:
    world = World()
    link, _ = world.agent(capabilities=["x"], version="1.0", metadata={"k": "v"})
    watchers = [
        world.watcher(any_capability=["x"]),
        world.watcher(version="<2"),
        world.watcher(metadata={"k": "v"}),
    ]
    link.ask(op="update", capabilities=[], version="2.0", metadata={"k": "w"})
    for watcher in watchers:
        assert watcher.events() == [("updated", "a1", "healthy")]
    link.ask(op="update", load=1)
    for watcher in watchers:
        assert watcher.events() == []


def test_the_same_identity_registered_anew_as_another_type_leaves_the_filter() -> None:
    world = World()
    _, answer = world.agent()
    watcher = world.watcher(type="cost")
    other = world.connect()
    spec = {"name": "a1", "type": "resource"}
    other.ask(op="register", agent_id=answer["agent_id"], agent=spec)
    (event,) = watcher.take("event")
    assert (event["kind"], event["agent"]["type"]) == ("registered", "resource")


# --- several watches -----------------------------------------------------------------------------


def test_several_watches_of_one_connection_have_their_own_numbers() -> None:
    world = World()
    link = world.connect()
    assert [link.watch(filter={"type": kind})["watch"] for kind in ("cost", "resource")] == [1, 2]
    assert link.watch()["watch"] == 3
    link.sent.clear()
    world.agent("a1", type="resource")
    assert sorted(each["watch"] for each in link.take("event")) == [2, 3]


def test_after_unwatch_nothing_of_it_follows() -> None:
    world = World()
    link = world.connect()
    link.watch()
    link.watch()
    assert link.ask(op="unwatch", watch=1)["op"] == "unwatched"
    link.sent.clear()
    world.agent("a1")
    assert [each["watch"] for each in link.take("event")] == [2]
    assert link.watch()["watch"] == 3, "numbers are not used again"
    assert world.supervisor.stats().watches == 2


def test_a_connection_that_ends_leaves_no_watch_behind() -> None:
    world = World()
    link = world.connect()
    link.watch()
    link.watch()
    link.vanish()
    assert world.supervisor.stats().watches == 0
    assert world.supervisor.stats().sessions == 0
    world.agent("a1")
