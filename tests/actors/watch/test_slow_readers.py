"""Slow readers: each watch at the pace of its peer, in bounded memory."""

from __future__ import annotations

from typing import Any

from actors.timing import Timing
from actors.watch.watch import HIGH_WATER
from tests.support.records import agent_id
from tests.support.world import FakeLink, World

BIG = "x" * 15_000


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
    numbers = watcher.event_revisions()
    assert numbers == sorted(set(numbers)), "in revision order, none twice"
    assert numbers[-1] == world.supervisor.revision
    assert not any("coalesced" in each for each in watcher.sent[:sent_before])
    assert len(prompt.event_revisions()) == 200, "others are not slowed and miss nothing"
    flood(world, links[:1], 1, first=50)
    assert "coalesced" not in watcher.sent[-1], "and then events come as before"
    assert watcher.sent[-1]["agent"]["version"] == "50"


def test_an_event_that_waited_and_replaced_none_is_not_called_coalesced() -> None:
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


def test_an_agent_that_came_and_changed_meanwhile_comes_in_its_newest_state() -> None:
    world = World()
    watcher, _ = blocked_watcher(world)
    link, _ = world.agent("new")
    link.ask(op="update", version="2")
    watcher.read_on()
    (event,) = [each for each in watcher.take("event") if each["agent"]["name"] == "new"]
    assert (event["agent"]["version"], event["coalesced"]) == ("2", True)


def test_an_agent_that_was_known_and_went_and_came_back_is_not_forgotten() -> None:
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


def test_an_agent_that_entered_and_left_the_filter_meanwhile_ends_in_its_newest_state() -> None:
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
    world.populate(200, metadata={"k": BIG})
    link = world.connect()
    link.stop_reading()
    link.watch()
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
    assert link.watch(since=1, log=world.supervisor.log)["resumed"] is True
    assert link.most_unsent < HIGH_WATER + 20_000
    link.read_on()
    assert link.event_revisions()[-1] == world.supervisor.revision


def test_thirty_seconds_without_reading_close_the_connection() -> None:
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


def test_the_thirty_seconds_begin_with_what_was_read_last() -> None:
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher()
    watcher.stop_reading()
    watcher.answers_pings = False
    flood(world, [noisy], 10)
    assert watcher.paused
    world.advance(0.5)
    watcher.read_some(20_000)  # the kernel takes some more, after the hub was told that it is full
    since = world.scheduler.now()
    while watcher.close_code is None and world.scheduler.now() < since + 70:
        noisy.say(op="heartbeat", id=0)
        world.advance(0.1)
    assert watcher.close_code == 4413
    assert watcher.close_reason == "nothing was read for send_timeout, 30 s"
    assert 30 <= world.scheduler.now() - since <= 31.5
    assert world.observer.limits["send_timeout"] == 1


def test_who_does_not_read_is_not_pinged_more_often() -> None:
    world = World()
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher()
    watcher.stop_reading()
    watcher.answers_pings = False
    flood(world, [noisy], 10)
    watcher.pings = 0
    world.advance(29)
    assert watcher.pings <= 2


def test_send_timeout_is_a_setting() -> None:
    world = World(Timing(send_timeout=3.0))
    noisy, _ = world.agent("noisy", metadata={"k": BIG})
    watcher = world.watcher()
    watcher.stop_reading()
    flood(world, [noisy], 10)
    world.advance(2.8)
    assert watcher.close_code is None
    world.advance(0.4)
    assert watcher.close_code == 4413


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
    assert all(len(each._pending) <= 31 for each in watches), "bounded by the number of agents"
    events = {id(pending.event) for each in watches for pending in each._pending.values()}
    assert len(events) <= 31, "and shared between the watchers"
    assert watcher.unsent < HIGH_WATER + 20_000
