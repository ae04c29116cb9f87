"""Watches in turns: none holds up others, and whatever comes between, each is sent all, once."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec import convert

from actors.directory import directory
from actors.directory.predicates import compile_filter
from actors.limits import Limits
from actors.rules.permissions import ANYBODY
from actors.runtime.turns import SLICE, complete
from actors.watch import feed
from actors.watch.watch import Watch, concerns
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentSpec
from tests.support.records import agent_id
from tests.support.world import FakeLink, World

COST = SLICE / 4
"""Seconds that a step takes, in these tests."""

FILTERS: list[dict[str, Any]] = [
    {},
    {"type": "cost"},
    {"capabilities": ["x"]},
    {"any_capability": ["x", "y"]},
    {"version": ">=2"},
    {"metadata": {"zone": "a"}, "type": "gpu"},
]


class Follower:
    """A connection with one watch, and what it must have been sent by now."""

    def __init__(self, world: World, filter: dict[str, Any], since: int | None) -> None:
        self.world = world
        self.filter = filter
        self.link = world.connect()
        fields: dict[str, Any] = (
            {} if since is None else {"since": since, "log": world.supervisor.log}
        )
        self.since = since
        self.link.say(op="watch", id=1, filter=filter, **fields)

    def check(self) -> None:
        """From its last snapshot or `since` on: every change that concerns it, once, in order."""
        sent = [each for each in self.link.sent if each["op"] in ("snapshot", "event")]
        lasts = [at for at, each in enumerate(sent) if each.get("last")]
        start = self.since
        if lasts:
            sent, start = sent[lasts[-1] + 1 :], sent[lasts[-1]]["revision"]
        assert start is not None
        matches = compile_filter(convert(self.filter, Filter))
        events = self.world.supervisor.feed._history.after(start, 10**9)
        wanted = [each.revision for each in events if concerns(matches, each)]
        assert [each["revision"] for each in sent] == wanted


def change(world: World, random: Random, agents: list[FakeLink]) -> None:
    """Change an agent, without waiting for what comes of it."""
    link = random.choice(agents)
    link.say(
        op="update",
        id="change",
        version=random.choice(["1", "2", "3"]),
        capabilities=random.sample(["x", "y", "z"], random.randrange(4)),
        metadata={"zone": random.choice("ab"), "n": random.random()},
    )


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is handled in as many steps as much is."""
    monkeypatch.setattr(feed, "AT_ONCE", 2)
    monkeypatch.setattr(directory, "AT_ONCE", 3)
    monkeypatch.setattr(directory, "LONG", 2)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("seed", range(12))
def test_each_watch_is_sent_every_change_once_and_in_order(seed: int) -> None:
    random = Random(seed)
    world = World()
    agents = [world.agent(f"a{n}", type=random.choice(["cost", "gpu"]))[0] for n in range(20)]
    followers: list[Follower] = []
    hog = world.connect()
    world.scheduler.cost = COST
    for number in range(150):
        change(world, random, agents)
        if random.random() < 0.3:
            since = random.randrange(world.supervisor.revision + 1)
            followers.append(Follower(world, random.choice(FILTERS), random.choice([None, since])))
        if random.random() < 0.3:
            hog.say(op="find", id=number, filter={"any_capability": [f"{number}", "x"]}, limit=1)
        world.scheduler.advance(random.choice([0, 0, 0.001]))
    world.advance(5)
    assert world.runtime.turns.waiting == 0
    for follower in followers:
        follower.check()
    assert sum(follower.since is not None for follower in followers) > 10


@pytest.mark.usefixtures("small_steps")
def test_what_is_dropped_while_it_is_replayed_is_made_up_for_by_a_snapshot() -> None:
    world = World(limits=Limits(log_length=60))
    link, _ = world.agent("a0")
    for number in range(59):
        link.ask(op="update", version=str(number))
    peer = world.connect()
    steps = world.supervisor.feed.follow(Watch(1, Filter(type="cost"), peer), 1)
    next(steps)
    assert peer.event_revisions() == [2, 3]
    for number in range(70):
        link.ask(op="update", version=f"new {number}")
    complete(steps)
    link.ask(op="update", version="last")
    assert [each["op"] for each in peer.sent] == ["event", "event", "snapshot", "event"]
    assert (peer.sent[2]["revision"], peer.sent[2]["last"]) == (130, True)
    assert peer.event_revisions() == [2, 3, 131]


@pytest.mark.usefixtures("small_steps")
def test_watches_of_a_log_that_is_lost_while_they_begin_start_over_in_the_new_one() -> None:
    world = World()
    link, _ = world.agent("a0")
    world.populate(30)
    for number in range(30):
        link.ask(op="update", version=str(number))
    world.scheduler.cost = COST
    followers = [Follower(world, {}, since) for since in (None, 5, 40, None, 7)]
    world.store.lose_everything()
    world.advance(90)
    assert world.supervisor.ready
    link.say(op="update", id="last", version="last")
    world.advance(5)
    for follower in followers:
        follower.check()
        assert {each.get("log", world.supervisor.log) for each in follower.link.sent[-2:]} == {
            world.supervisor.log
        }


def test_watches_of_one_filter_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    link, _ = world.agent("a0")
    followers = [Follower(world, {"metadata": {"k": n % 2}}, None) for n in range(40)]
    judged = []

    def count(*arguments: Any) -> bool:
        judged.append(arguments)
        return concerns(*arguments)

    monkeypatch.setattr(feed, "concerns", count)
    link.ask(op="heartbeat", metadata={"k": 1})
    assert len(judged) == 2
    assert sum(len(follower.link.events()) for follower in followers) == 20


def test_a_change_that_concerns_hundreds_holds_up_no_heartbeat() -> None:
    world = World()
    link, _ = world.agent("a0")
    other, _ = world.agent("a1")
    followers = [Follower(world, {"any_capability": ["x", f"{n}"]}, None) for n in range(300)]
    world.settle()
    other.sent.clear()
    world.scheduler.cost = COST
    link.say(op="update", id=1, capabilities=["x"])
    world.scheduler.advance(0.02)
    began = world.scheduler.now()
    other.say(op="heartbeat", id="beat")
    while not other.sent:
        world.scheduler.advance(0.0005)
    assert world.scheduler.now() - began < 0.02
    world.advance(1)
    assert all(len(follower.link.events()) == 1 for follower in followers)


def test_nothing_comes_after_a_watch_was_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 1)
    world = World()
    link, _ = world.agent("a0")
    followers = [Follower(world, {"name": "a0"}, None) for _ in range(60)]
    world.settle()
    world.scheduler.cost = SLICE
    link.say(op="update", id=1, version="2")
    late = followers[-1]
    while not followers[0].link.take("event"):
        world.scheduler.advance(0.0005)
    assert not late.link.take("event")
    late.link.say(op="unwatch", id=2, watch=1)
    world.advance(1)
    assert late.link.sent[-1]["op"] == "unwatched"
    assert all(len(follower.link.take("event")) == 1 for follower in followers[1:-1])


def test_what_waits_to_be_passed_on_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_BACKLOG", 10)
    monkeypatch.setattr(feed, "AT_ONCE", 1)
    world = World()
    followers = [Follower(world, {}, None) for _ in range(30)]
    world.settle()
    world.scheduler.cost = SLICE * 10
    backlog = world.supervisor.feed._backlog
    for number in range(100):
        world.supervisor.register(
            AgentSpec(name=f"h{number}", type="cost"),
            agent_id(number),
            lambda _: None,
            principal=ANYBODY,
        )
    most = 0
    for _ in range(400):
        world.scheduler.advance(0.001)
        most = max(most, len(backlog))
    assert most <= 10
    world.advance(10)
    assert world.supervisor.revision >= 100
    for follower in followers:
        follower.check()


def test_a_connection_that_ends_while_its_watch_begins_leaves_nothing() -> None:
    world = World()
    link, _ = world.agent("a0")
    for number in range(200):
        link.ask(op="update", version=str(number))
    hog = world.connect()
    world.scheduler.cost = COST
    for number in range(20):
        hog.say(op="find", id=number, filter={"any_capability": [f"{number}", "x"]})
    follower = Follower(world, {"version": "==5"}, 1)
    follower.link.close_code = 1006
    follower.link.session.closed()
    world.advance(2)
    assert world.supervisor.feed.watches == 0
    assert world.runtime.turns.waiting == 0
    assert not world.supervisor.feed._groups
