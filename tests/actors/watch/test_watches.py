"""Watches: snapshot, then every change in order, at each watcher's own pace."""

from __future__ import annotations

from typing import Any

import pytest

from actors.watch.watch import CHUNK_AGENTS, HIGH_WATER
from tests.support.records import agent_id
from tests.support.world import FakeLink, World

BIG = "x" * 15_000


def revisions(link: FakeLink) -> list[int]:
    return [each["revision"] for each in link.sent if each["op"] == "event"]


def watch(link: FakeLink, **fields: Any) -> dict[str, Any]:
    answer = link.ask(op="watch", **fields)
    assert answer["op"] == "watching", answer
    return answer


def populate(world: World, count: int, **fields: Any) -> list[str]:
    """So many agents over HTTP; their ids."""
    return [
        world.http_register(f"h{number}", agent_id(number), **fields).agent_id
        for number in range(count)
    ]


# --- snapshot, then events -----------------------------------------------------------------------


def test_first_the_answer_then_the_snapshot_then_the_events() -> None:
    world = World()
    world.agent("a1")
    link = world.connect()
    watching = watch(link)
    world.agent("a2")
    assert [each["op"] for each in link.sent] == ["watching", "snapshot", "event"]
    _, snapshot, event = link.sent
    assert list(watching) == ["op", "id", "watch", "resumed", "log", "revision"]
    assert (watching["watch"], watching["resumed"]) == (1, False)
    assert list(snapshot) == ["op", "watch", "agents", "log", "revision", "last"]
    assert snapshot["last"] is True
    assert [agent["name"] for agent in snapshot["agents"]] == ["a1"]
    assert watching["revision"] == snapshot["revision"] == 1
    assert watching["log"] == snapshot["log"] == world.supervisor.log
    assert list(event) == ["op", "watch", "revision", "kind", "agent"]
    assert (event["watch"], event["revision"], event["kind"]) == (1, 2, "registered")
    assert event["agent"] == world.record(event["agent"]["id"])
    assert event["agent"]["revision"] == 2


def test_an_empty_directory_has_an_empty_last_snapshot() -> None:
    link = World().connect()
    watch(link)
    assert link.sent[1]["agents"] == []
    assert link.sent[1]["last"] is True


def test_a_large_snapshot_comes_in_chunks_and_holds_everyone_once() -> None:
    world = World()
    populate(world, 2 * CHUNK_AGENTS + 50)
    link = world.connect()
    watch(link)
    chunks = link.take("snapshot")
    assert len(chunks) >= 3
    assert [chunk["last"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(0 < len(chunk["agents"]) <= CHUNK_AGENTS for chunk in chunks)
    assert {chunk["revision"] for chunk in chunks} == {world.supervisor.revision}
    ids = [agent["id"] for chunk in chunks for agent in chunk["agents"]]
    assert ids == world.supervisor.directory.ids()


def test_chunks_of_large_records_stay_below_what_a_frame_may_hold() -> None:
    world = World()
    populate(world, 30, metadata={"k": BIG})
    link = world.connect()
    sizes: list[int] = []
    send = link.send
    link.send = lambda payload: (sizes.append(len(payload)), send(payload))[1]  # type: ignore[method-assign]
    watch(link)
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
    assert revisions(watcher) == list(range(1, world.supervisor.revision + 1))
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


def test_only_what_matches_is_told() -> None:
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


def test_one_that_goes_while_outside_of_the_filter_is_not_told() -> None:
    world = World()
    link, _ = world.agent(status="degraded")
    watcher = world.watcher(status="healthy")
    link.ask(op="unregister")
    assert watcher.events() == []


def test_one_that_goes_while_in_the_filter_is_told() -> None:
    world = World()
    link, _ = world.agent(capabilities=["x"])
    watcher = world.watcher(capabilities=["x"])
    link.ask(op="unregister")
    assert watcher.events() == [("unregistered", "a1", "healthy")]


def test_leaving_by_capability_version_and_metadata_is_told_too() -> None:
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


# --- since ---------------------------------------------------------------------------------------


def test_since_brings_just_what_was_missed() -> None:
    world = World()
    link, _ = world.agent("a1")
    position = world.connect().ask(op="find")
    link.ask(op="update", version="2")
    world.agent("a2")
    again = world.connect()
    watching = watch(again, since=position["revision"], log=position["log"])
    assert watching["resumed"] is True
    assert again.take("snapshot") == []
    assert revisions(again) == [2, 3]
    world.agent("a3")
    assert revisions(again) == [2, 3, 4]


def test_since_now_brings_nothing_and_then_what_comes() -> None:
    world = World()
    world.agent("a1")
    again = world.connect()
    watching = watch(again, since=world.supervisor.revision, log=world.supervisor.log)
    assert watching["resumed"] is True
    assert again.take("snapshot") == again.take("event") == []
    world.agent("a2")
    assert revisions(again) == [2]


def test_since_zero_is_the_whole_log_while_it_reaches_back() -> None:
    world = World()
    world.agent("a1")
    again = world.connect()
    assert watch(again, since=0, log=world.supervisor.log)["resumed"] is True
    assert revisions(again) == [1]


def test_missed_events_pass_through_the_filter() -> None:
    world = World()
    link, _ = world.agent("a1")
    log = world.supervisor.log
    world.agent("a2", type="resource")
    link.ask(op="heartbeat", status="degraded")
    link.ask(op="update", version="2")
    again = world.connect()
    watch(again, filter={"status": "healthy", "type": "cost"}, since=1, log=log)
    assert again.events() == [("status_changed", "a1", "degraded")]


@pytest.mark.parametrize("since", [3, 2**62])
def test_since_from_the_future_is_answered_with_a_snapshot(since: int) -> None:
    world = World()
    world.agent("a1")
    world.agent("a2")
    again = world.connect()
    assert watch(again, since=since, log=world.supervisor.log)["resumed"] is False
    assert len(again.take("snapshot")) == 1
    assert again.take("event") == []


def test_since_too_long_ago_is_answered_with_a_snapshot() -> None:
    world = World(log_length=5)
    link, _ = world.agent("a1")
    for number in range(10):
        link.ask(op="update", version=str(number))
    log = world.supervisor.log
    early = world.connect()
    assert watch(early, since=5, log=log)["resumed"] is False
    assert len(early.take("snapshot")) == 1
    late = world.connect()
    assert watch(late, since=6, log=log)["resumed"] is True
    assert revisions(late) == [7, 8, 9, 10, 11]


def test_another_log_is_answered_with_a_snapshot() -> None:
    world = World()
    world.agent("a1")
    again = world.connect()
    assert watch(again, since=1, log="another")["resumed"] is False
    assert len(again.take("snapshot")) == 1


def test_a_log_that_begins_anew_comes_to_every_watch_as_a_snapshot() -> None:
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
        assert first["revision"] == world.supervisor.revision, "once everyone is back in the log"
        assert rest == []


def test_a_log_that_begins_anew_forgets_what_was_owed() -> None:
    world = World()
    link, _ = world.agent("a1", metadata={"k": BIG})
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


# --- several watches -----------------------------------------------------------------------------


def test_several_watches_of_one_connection_have_their_own_numbers() -> None:
    world = World()
    link = world.connect()
    assert [watch(link, filter={"type": kind})["watch"] for kind in ("cost", "resource")] == [1, 2]
    assert watch(link)["watch"] == 3
    link.sent.clear()
    world.agent("a1", type="resource")
    assert sorted(each["watch"] for each in link.take("event")) == [2, 3]


def test_after_unwatch_nothing_of_it_follows() -> None:
    world = World()
    link = world.connect()
    watch(link)
    watch(link)
    assert link.ask(op="unwatch", watch=1)["op"] == "unwatched"
    link.sent.clear()
    world.agent("a1")
    assert [each["watch"] for each in link.take("event")] == [2]
    assert watch(link)["watch"] == 3, "numbers are not used again"
    assert world.supervisor.stats().watches == 2


def test_a_connection_that_ends_leaves_no_watch_behind() -> None:
    world = World()
    link = world.connect()
    watch(link)
    watch(link)
    link.vanish()
    assert world.supervisor.stats().watches == 0
    assert world.supervisor.stats().sessions == 0
    world.agent("a1")


# --- slow readers --------------------------------------------------------------------------------


def flood(world: World, links: list[FakeLink], turns: int, first: int = 0) -> None:
    for turn in range(first, first + turns):
        for link in links:
            link.say(op="update", id=turn, version=str(turn))
        world.advance(0.01)


def test_past_one_mib_unsent_only_the_newest_state_of_each_agent_is_kept() -> None:
    world = World()
    links = [world.agent(f"a{number}", metadata={"k": BIG})[0] for number in range(4)]
    watcher = world.watcher()
    prompt = world.watcher()
    watcher.stop_reading()
    flood(world, links, 50)
    sent_before = len(watcher.sent)
    assert sent_before < 200, "it was told less than there was"
    assert watcher.most_unsent < HIGH_WATER + 20_000
    watcher.read_on()
    rest = watcher.sent[sent_before:]
    assert len(rest) == 4
    assert all(each["coalesced"] is True for each in rest)
    assert {each["agent"]["version"] for each in rest} == {"49"}
    assert {each["agent"]["name"] for each in rest} == {"a0", "a1", "a2", "a3"}
    numbers = revisions(watcher)
    assert numbers == sorted(set(numbers)), "in revision order, none twice"
    assert numbers[-1] == world.supervisor.revision
    assert not any("coalesced" in each for each in watcher.sent[:sent_before])
    assert len(revisions(prompt)) == 200, "others are not slowed and miss nothing"
    flood(world, links[:1], 1, first=50)
    assert "coalesced" not in watcher.sent[-1], "and then it is as before"
    assert watcher.sent[-1]["agent"]["version"] == "50"


def test_one_event_that_waited_and_missed_nothing_is_not_called_coalesced() -> None:
    world = World()
    noisy = world.agent("noisy", metadata={"k": BIG})[0]
    quiet = world.agent("quiet")[0]
    watcher = world.watcher()
    watcher.stop_reading()
    flood(world, [noisy], 100)
    quiet.ask(op="update", version="once")
    watcher.read_on()
    last = {each["agent"]["name"]: each for each in watcher.take("event")}
    assert last["noisy"].get("coalesced") is True
    assert "coalesced" not in last["quiet"]


def blocked_watcher(world: World, **filter: Any) -> tuple[FakeLink, FakeLink]:
    """A watcher whose link is full, and the agent that filled it."""
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher(**filter)
    watcher.stop_reading()
    flood(world, [noisy], 90)
    assert watcher.unsent >= HIGH_WATER
    watcher.sent.clear()
    return watcher, noisy


def test_an_agent_that_came_and_went_meanwhile_leaves_no_trace() -> None:
    world = World()
    watcher, _ = blocked_watcher(world)
    brief, _ = world.agent("brief")
    brief.ask(op="update", version="2")
    brief.ask(op="unregister")
    _stays, _ = world.agent("stays")
    watcher.read_on()
    told = [(each["kind"], each["agent"]["name"]) for each in watcher.take("event")]
    assert ("registered", "stays") in told
    assert not [each for each in told if each[1] == "brief"]


def test_one_that_came_and_changed_meanwhile_comes_in_its_newest_state() -> None:
    world = World()
    watcher, _ = blocked_watcher(world)
    link, _ = world.agent("new")
    link.ask(op="update", version="2")
    watcher.read_on()
    (event,) = [each for each in watcher.take("event") if each["agent"]["name"] == "new"]
    assert (event["agent"]["version"], event["coalesced"]) == ("2", True)


def test_one_that_was_known_and_went_and_came_back_is_not_forgotten() -> None:
    world = World()
    known, answer = world.agent("known")
    watcher, _ = blocked_watcher(world)
    known.ask(op="unregister")
    again, _ = world.agent("known", agent_id=answer["agent_id"])
    watcher.read_on()
    (event,) = [each for each in watcher.take("event") if each["agent"]["name"] == "known"]
    assert (event["kind"], event["coalesced"]) == ("registered", True)
    watcher.stop_reading()
    noisy, _ = world.agent("noisy2", metadata={"k": BIG})
    flood(world, [noisy], 90)
    again.ask(op="unregister")
    third, _ = world.agent("known", agent_id=answer["agent_id"])
    third.ask(op="unregister")
    watcher.sent.clear()
    watcher.read_on()
    (event,) = [each for each in watcher.take("event") if each["agent"]["name"] == "known"]
    assert event["kind"] == "unregistered", "the peer knows it, so it must hear that it went"


def test_one_that_entered_and_left_the_filter_meanwhile_ends_in_its_newest_state() -> None:
    world = World()
    agent, _ = world.agent("a1", status="degraded")
    watcher, _ = blocked_watcher(world, status="healthy")
    agent.ask(op="heartbeat", status="healthy")
    agent.ask(op="heartbeat", status="unhealthy")
    watcher.read_on()
    events = [each for each in watcher.take("event") if each["agent"]["name"] == "a1"]
    assert [each["agent"]["status"] for each in events] in ([], ["unhealthy"])


def test_a_snapshot_is_sent_at_the_pace_of_its_reader_and_the_events_after_it() -> None:
    world = World()
    populate(world, 200, metadata={"k": BIG})
    link = world.connect()
    link.stop_reading()
    watch(link)
    revision = world.supervisor.revision
    assert link.most_unsent < HIGH_WATER + 80_000, "three megabytes are not put in at once"
    assert not any(each.get("last") for each in link.sent)
    world.http_heartbeat(agent_id(5), status="degraded")
    world.http_heartbeat(agent_id(199), status="degraded")
    assert link.take("event") == []
    for _ in range(200):
        link.read_some(40_000)
        if not link.unsent:
            break
    chunks, events = link.take("snapshot"), link.take("event")
    assert link.most_unsent < HIGH_WATER + 80_000
    assert {chunk["revision"] for chunk in chunks} == {revision}
    agents = [agent for chunk in chunks for agent in chunk["agents"]]
    assert len(agents) == len({agent["id"] for agent in agents}) == 200
    assert {agent["status"] for agent in agents} == {"healthy"}, "as of the snapshot's revision"
    assert [event["revision"] for event in events] == [revision + 1, revision + 2]
    assert [chunk["last"] for chunk in chunks][-1] is True


def test_missed_events_of_since_are_paced_too() -> None:
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    flood(world, [noisy], 300)
    link = world.connect()
    link.stop_reading()
    assert watch(link, since=1, log=world.supervisor.log)["resumed"] is True
    assert link.most_unsent < HIGH_WATER + 20_000
    link.read_on()
    assert revisions(link)[-1] == world.supervisor.revision


def test_thirty_seconds_without_reading_are_too_many() -> None:
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher()
    prompt = world.watcher()
    watcher.stop_reading()
    watcher.answers_pings = False  # its pings stand behind what it has not read
    flood(world, [noisy], 10)
    since = world.scheduler.now()
    assert watcher.paused
    while watcher.close_code is None and world.scheduler.now() < since + 60:
        noisy.say(op="heartbeat", id=0)
        world.advance(0.1)
    assert watcher.close_code == 4413
    assert watcher.discarded, "what it does not read is not waited for"
    assert 29.8 <= world.scheduler.now() - since <= 31
    assert prompt.close_code is None
    assert noisy.close_code is None
    assert world.supervisor.stats().watches == 1


def test_a_slow_but_steady_reader_is_not_closed() -> None:
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher()
    watcher.stop_reading()
    # A ping is answered only when all that was sent before it has been read.
    watcher.answers_pings = False
    for turn in range(60):
        flood(world, [noisy], 2, first=2 * turn)
        noisy.ask(op="heartbeat")
        watcher.read_some(20_000)
        world.advance(5)
    assert watcher.close_code is None


def test_reading_again_within_thirty_seconds_saves_the_connection() -> None:
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher()
    watcher.stop_reading()
    flood(world, [noisy], 90)
    world.advance(25)
    watcher.read_on()
    assert not watcher.unsent
    world.advance(100)
    assert watcher.close_code is None


def test_a_thousand_slow_readers_hold_the_events_once() -> None:
    world = World()
    watcher, _ = blocked_watcher(world)
    others = [world.watcher() for _ in range(20)]
    for other in others:
        other.stop_reading()
        other.unsent = HIGH_WATER
    links = [world.agent(f"a{number}")[0] for number in range(30)]
    flood(world, links, 20)
    watches = list(world.supervisor.feed._watches)
    assert all(len(each._owed) <= 31 for each in watches), "bounded by the number of agents"
    entries = {id(owed.entry) for each in watches for owed in each._owed.values()}
    assert len(entries) <= 31, "and shared between the watchers"
    assert watcher.unsent < HIGH_WATER + 20_000
