"""Watches: the snapshot, the events in order, and resuming after a reconnect without a gap."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.records import assert_record, fields_of
from tests.support.hub_process import Place


def test_a_watch_begins_with_a_snapshot_that_matches_its_revision(place: Place) -> None:
    ids = {place.register(name=name) for name in ("one", "two")}
    place.register(name="other", type="resource")
    wire = place.connect()
    watching = wire.watch({"type": "cost"})
    assert fields_of(watching) == {"op", "id", "watch", "resumed", "log", "revision", "position"}
    assert isinstance(watching["watch"], int)
    assert watching["resumed"] is False
    message = wire.tell()
    assert fields_of(message) == {"op", "watch", "agents", "log", "revision", "last", "position"}
    assert message["op"] == "snapshot"
    assert message["watch"] == watching["watch"]
    assert message["log"] == watching["log"]
    assert message["last"] is True
    assert {agent["id"] for agent in message["agents"]} == ids
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
    assert fields_of(event) == {"op", "watch", "revision", "position", "kind", "agent"}
    assert event["watch"] == watching["watch"]
    assert event["revision"] == registered["revision"]
    assert_record(event["agent"])
    assert event["agent"]["id"] == registered["agent_id"]


def test_a_watch_goes_on_from_the_position_of_any_event(place: Place) -> None:
    watcher = place.watcher()
    wire, _ = place.agent("positions")
    position = watcher.event("registered")["position"]
    updates = [wire.ask("update", port=n)["revision"] for n in range(1, 4)]
    again = place.connect()
    assert again.watch(position=position)["resumed"] is True
    assert [again.event("updated")["revision"] for _ in updates] == updates
    forged = place.connect()
    assert forged.watch(position=position[:-16] + "0" * 16)["resumed"] is False
    forged.snapshot()
    other = place.connect().ask("watch", position="none of a hub's")
    assert (other["code"], other["field"]) == ("bad_request", "position")


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
            wire.ask("heartbeat", metadata={"n": round_})
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
    wire.ask("heartbeat", metadata={"n": 1})
    wire.ask("heartbeat", metadata={"n": 2})
    assert watcher.said_by_now() == [], "outside the filter it is nobody's business"
    wire.ask("heartbeat", status="healthy")
    event = watcher.event("status_changed")
    assert event["agent"]["status"] == "healthy"
    assert event["agent"]["metadata"]["n"] == 2
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


def test_a_watch_of_some_kinds_tells_of_no_others_also_after_it_resumed(place: Place) -> None:
    kinds = ["registered", "status_changed", "unregistered"]
    watcher = place.connect()
    log = watcher.watch(kinds=kinds)["log"]
    watcher.snapshot()
    wire, _ = place.agent("busy")
    last = watcher.event("registered")["revision"]
    for number in range(40):
        wire.ask("update", version=str(number))
    assert watcher.said_by_now() == []
    watcher.drop()
    wire.ask("heartbeat", status="degraded")
    wire.ask("update", version="last")
    again = place.connect()
    assert again.watch(kinds=kinds, since=last, log=log)["resumed"] is True
    assert again.event("status_changed")["agent"]["status"] == "degraded"
    wire.ask("unregister")
    assert again.event("unregistered")["agent"]["version"] == "last"


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
    wire.ask("heartbeat", metadata={"n": 3})
    assert wire.event("updated")["agent"]["metadata"]["n"] == 3


def test_a_watch_resumes_after_a_reconnect_with_just_the_missed_events(place: Place) -> None:
    watcher = place.connect()
    watching = watcher.watch()
    watcher.snapshot()
    wire, _ = place.agent("busy")
    last = watcher.event("registered")["revision"]
    watcher.drop()
    revisions = [wire.ask("update", port=n)["revision"] for n in range(1, 6)]
    again = place.connect()
    resumed = again.watch(since=last, log=watching["log"])
    assert resumed["resumed"] is True
    assert resumed["log"] == watching["log"]
    missed = [again.event("updated") for _ in range(5)]
    assert [event["revision"] for event in missed] == revisions
    assert [event["agent"]["port"] for event in missed] == [1, 2, 3, 4, 5]
    wire.ask("update", port=9)
    assert again.event("updated")["agent"]["port"] == 9


@pytest.mark.parametrize("source", ["registered", "updated", "agents", "snapshot", "watching"])
def test_a_revision_from_any_answer_is_good_to_resume_from(place: Place, source: str) -> None:
    wire = place.connect()
    answers = {"registered": wire.register("source")}
    answers["updated"] = wire.ask("update", port=1)
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
    wire.ask("update", port=1)
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
            wire.send({"op": "update", "id": number, "port": 200 * burst + number})
        for _ in range(200):
            answer = wire.answer()
            assert answer["op"] == "updated", answer
    watcher = place.connect()
    watching = watcher.watch(since=registered["revision"], log=registered["log"])
    assert watching["resumed"] is False
    assert watcher.snapshot()[0]["port"] == 1999
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
    for number in range(1, count + 1):
        began = time.monotonic()
        wire.ask("update", port=number)
        assert brisk.event("updated")["agent"]["port"] == number
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 5
    events = [sluggish.event()]
    while events[-1]["agent"].get("port") != count:
        events.append(sluggish.event())
    revisions = [event["revision"] for event in events]
    assert revisions == sorted(set(revisions))
    assert len(events) < count, "some were left out"
    assert any(event.get("coalesced") is True for event in events)
    assert all(event.get("coalesced", True) is True for event in events), "or absent"
    assert events[-1]["agent"]["id"] == registered["agent_id"]
    wire.ask("update", port=25)
    event = sluggish.event("updated")
    assert event["agent"]["port"] == 25
    assert "coalesced" not in event
