"""Bugs of an agent's actor are contained and answered, and do not affect other agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET

from actors.agent.actor import AgentActor
from actors.agent.messages import (
    ActivitySeen,
    DeadlineReached,
    GrantFreshTimeout,
    Heartbeat,
    Message,
    Register,
    Settled,
    Sweep,
    Update,
)
from actors.rules.permissions import ANYBODY
from actors.runtime.dispatch import MAX_RESTARTS
from tests.support.records import SPEC, agent_id
from tests.support.world import FakeLink, World, failures_expected

ID = agent_id(1)


class BugError(Exception):
    pass


Chosen = Callable[[Message], bool]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have every actor raise on the messages that a test chooses, before or after its work."""

    def install(chosen: Chosen, *, afterwards: bool = False) -> None:
        original = AgentActor.receive

        def broken(self: AgentActor, message: Message) -> None:
            raises = chosen(message)
            if raises and not afterwards:
                raise BugError
            original(self, message)
            if raises:
                raise BugError

        monkeypatch.setattr(AgentActor, "receive", broken)

    return install


def poisonous(message: Message) -> bool:
    return isinstance(message, Heartbeat | Update) and message.changes.load == 666


def once(type_: type) -> Chosen:
    """The first message of that type."""
    left = [True]
    return lambda message: isinstance(message, type_) and bool(left) and left.pop()


def poison(link: FakeLink) -> dict[str, Any]:
    return link.ask(op="heartbeat", load=666)


def test_the_asker_is_told_internal_and_the_agent_lives_on(breaks: Any) -> None:
    world = World()
    link, answer = world.agent()
    neighbour, _ = world.agent("a2")
    breaks(poisonous)
    with failures_expected(world) as failures:
        error = poison(link)
    assert (error["code"], error["retryable"]) == ("internal", True)
    assert "BugError" not in error["message"]
    ((name, message, raised),) = failures
    assert name == f"agent {answer['agent_id']}"
    assert isinstance(message, Heartbeat)
    assert isinstance(raised, BugError)
    assert link.ask(op="heartbeat", status="degraded")["durable"] is True
    assert world.record(answer["agent_id"])["status"] == "degraded"
    assert neighbour.ask(op="heartbeat")["durable"] is True
    assert link.close_code is None
    link.vanish()
    world.advance(6)
    assert world.record(answer["agent_id"])["status"] == "unreachable"


def test_a_failure_in_the_middle_of_a_change_is_answered_and_nothing_is_stuck(
    breaks: Any,
) -> None:
    world = World()
    link, answer = world.agent()
    breaks(poisonous, afterwards=True)
    with failures_expected(world) as failures:
        assert link.ask(op="update", load=666, status="unhealthy")["code"] == "internal"
    assert len(failures) == 1
    world.settle()
    assert link.ask(op="heartbeat", version="2")["durable"] is True
    assert link.ask(op="update", version="3", status="degraded")["op"] == "updated"
    record = world.record(answer["agent_id"])
    assert (record["version"], record["status"]) == ("3", "degraded")
    assert world.store.entries[answer["agent_id"]][0] == world.supervisor.get(answer["agent_id"])
    assert world.supervisor.replica.committer.outstanding == 0


def test_everyone_who_waits_is_answered_in_order_when_it_fails(breaks: Any) -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    breaks(poisonous)
    with failures_expected(world):
        link.say(op="update", id=1, version="2")
        link.say(op="update", id=2, version="3")
        link.say(op="heartbeat", id=3, load=666)
        link.say(op="find", id=4)
        world.settle()
    assert [each["id"] for each in link.sent] == [1, 2, 3, 4]
    assert link.sent[2]["code"] == "internal"
    assert link.ask(op="update", version="4")["op"] == "updated"
    assert world.supervisor.replica.committer.outstanding == 0


def test_one_that_fails_when_its_turn_comes_is_answered_though_the_news_was_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    link, _ = world.agent()
    link.sent.clear()
    original = AgentActor._heartbeat

    def failing(self: AgentActor, ask: Heartbeat) -> None:
        if poisonous(ask):
            raise BugError
        original(self, ask)

    monkeypatch.setattr(AgentActor, "_heartbeat", failing)
    with failures_expected(world) as failures:
        link.say(op="update", id=1, version="2")
        link.say(op="heartbeat", id=2, load=666)
        link.say(op="heartbeat", id=3)
        world.settle()
    ((_, message, _),) = failures
    assert isinstance(message, Settled)
    assert [each["id"] for each in link.sent] == [1, 2, 3]
    assert link.sent[1]["code"] == "internal"
    assert link.ask(op="heartbeat")["durable"] is True


@pytest.mark.parametrize("afterwards", [False, True])
def test_what_was_durable_before_the_failure_stays(breaks: Any, afterwards: bool) -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    breaks(once(Settled), afterwards=afterwards)
    with failures_expected(world) as failures:
        link.ask(op="update", version="2")  # answered, one way or the other
    assert len(failures) == 1
    world.settle()
    assert world.record(answer["agent_id"])["version"] == "2", "it is in the log"
    assert watcher.events() == [("updated", "a1", "healthy")]
    assert link.ask(op="update", version="3")["op"] == "updated"
    assert watcher.events() == [("updated", "a1", "healthy")]


def test_a_failure_between_an_outcome_and_its_answer_still_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    link, _ = world.agent()

    def failing(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise BugError

    monkeypatch.setattr(world.supervisor.registry, "set_recently_lost", failing)
    with failures_expected(world) as failures:
        link.say(op="update", id=1, version="2")
        world.advance(3)
    if failures:
        assert [each["id"] for each in link.sent if each.get("id") == 1] == [1]
    assert link.ask(op="update", version="3")["op"] == "updated"


def test_a_failing_registration_is_answered_and_leaves_nothing(breaks: Any) -> None:
    world = World()
    breaks(once(Register))
    link = world.connect()
    with failures_expected(world):
        assert link.ask(op="register", agent=SPEC)["code"] == "internal"
    assert len(world.supervisor.directory) == 0
    assert world.supervisor.registry.agents == {}
    assert link.ask(op="register", agent=SPEC)["op"] == "registered"


def test_a_registration_that_fails_when_it_is_with_the_store_leaves_nothing(breaks: Any) -> None:
    world = World()
    breaks(once(Register), afterwards=True)
    link = world.connect()
    with failures_expected(world):
        assert link.ask(op="register", agent_id=agent_id(1), agent=SPEC)["code"] == "internal"
    world.advance(1)
    assert len(world.supervisor.directory) == 0
    assert world.supervisor.registry.agents == {}
    assert world.store.active == set()
    assert link.ask(op="register", agent_id=agent_id(1), agent=SPEC)["op"] == "registered"


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("type_", [ActivitySeen, DeadlineReached, GrantFreshTimeout])
def test_a_failure_on_news_breaks_no_session(breaks: Any, type_: type, afterwards: bool) -> None:
    world = World()
    link, answer = world.agent()
    breaks(once(type_), afterwards=afterwards)
    with failures_expected(world) as failures:
        world.advance(16)
        world.scheduler.sleep_through(5)
        world.advance(20)
        link.ask(op="heartbeat")
        world.advance(44)
    assert len(failures) <= 1
    assert link.close_code is None
    assert link.ask(op="heartbeat")["durable"] is True
    assert world.record(answer["agent_id"])["status"] == "healthy"


@pytest.mark.parametrize("afterwards", [False, True])
def test_a_failing_deadline_is_not_forgotten(breaks: Any, afterwards: bool) -> None:
    world = World()
    lease = world.http_register()
    breaks(once(DeadlineReached), afterwards=afterwards)
    with failures_expected(world) as failures:
        world.advance(46)
    assert len(failures) == 1
    world.advance(200)
    assert lease.agent_id not in world.supervisor.directory
    assert world.supervisor.registry.agents == {}
    assert world.store.active == set()


def keep_failing(world: World, link: FakeLink) -> None:
    with failures_expected(world):
        for number in range(MAX_RESTARTS + 1):
            link.say(op="heartbeat", id=f"poison{number}", load=666)
            world.settle()


def test_one_that_keeps_failing_is_taken_off_with_its_session(breaks: Any) -> None:
    world = World()
    watcher = world.watcher()
    link, _answer = world.agent()
    neighbour, other = world.agent("a2")
    watcher.events()
    breaks(poisonous)
    keep_failing(world, link)
    assert link.close_code == 1011
    assert {each["code"] for each in link.take("error")} == {"internal"}
    assert watcher.events() == [("expired", "a1", "healthy")]
    assert world.supervisor.directory.ids() == [other["agent_id"]]
    assert set(world.supervisor.registry.agents) == {other["agent_id"]}
    assert world.store.active == {other["agent_id"]}
    assert neighbour.ask(op="heartbeat")["durable"] is True
    assert world.supervisor.stats().sessions == 2


def test_after_that_it_may_register_anew_with_a_higher_epoch(breaks: Any) -> None:
    world = World()
    link, answer = world.agent()
    breaks(poisonous)
    keep_failing(world, link)
    again = world.connect()
    registered = again.ask(op="register", agent_id=answer["agent_id"], agent=SPEC)
    assert (registered["op"], registered["epoch"]) == ("registered", 2)
    assert again.ask(op="heartbeat")["durable"] is True
    late = world.connect().ask(
        op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
    )
    assert late["code"] == "fenced"


def test_a_caller_over_http_is_answered_also_by_the_failure_that_isolates(breaks: Any) -> None:
    world = World()
    lease = world.http_register()
    breaks(lambda message: isinstance(message, Heartbeat))
    outcomes: list[Any] = []
    with failures_expected(world):
        for _ in range(MAX_RESTARTS + 1):
            world.supervisor.heartbeat(
                lease.agent_id, "degraded", UNSET, outcomes.append, principal=ANYBODY
            )
        world.advance(3)
    assert [outcome.code for outcome in outcomes] == ["internal"] * (MAX_RESTARTS + 1)


def test_what_waits_behind_the_failure_that_isolates_is_answered_too(breaks: Any) -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    breaks(poisonous)
    again = world.connect()
    with failures_expected(world):
        for number in range(MAX_RESTARTS + 1):
            link.say(op="heartbeat", id=number, load=666)
        again.say(op="register", id=1, agent_id=answer["agent_id"], agent=SPEC)
        world.settle()
    assert link.close_code == 1011
    if not again.take("registered"):
        assert len(again.take("error")) == 1
        again.ask(op="register", agent_id=answer["agent_id"], agent=SPEC)
        assert len(again.take("registered")) == 1
    assert watcher.events()[-1] == ("registered", "a1", "healthy")
    assert set(world.supervisor.registry.agents) == {answer["agent_id"]} == world.store.active


def test_one_isolated_while_the_store_is_away_is_removed_when_it_returns(breaks: Any) -> None:
    world = World()
    link, answer = world.agent()
    other, _ = world.agent("a2")
    breaks(poisonous)
    world.store.reachable = False
    other.say(op="heartbeat", id=1)
    world.advance(2.2)
    keep_failing(world, link)
    assert link.close_code == 1011
    world.store.reachable = True
    world.advance(2)
    assert answer["agent_id"] not in world.supervisor.directory
    assert set(world.supervisor.registry.agents) == set(world.supervisor.directory.ids())
    assert world.store.active == set(world.supervisor.directory.ids())


def test_a_registration_under_way_when_its_actor_was_isolated_leaves_no_orphan(
    breaks: Any,
) -> None:
    world = World()
    breaks(lambda message: isinstance(message, Sweep))
    link = world.connect()
    world.store.reachable = False
    with failures_expected(world):
        link.say(op="register", id=1, agent_id=agent_id(1), agent=SPEC)
        world.advance(5)
    (error,) = link.take("error")
    assert error["code"] == "internal"
    world.store.reachable = True
    world.advance(5)
    assert world.supervisor.directory.ids() == sorted(world.supervisor.registry.agents)
    world.advance(200)
    assert len(world.supervisor.directory) == 0
    assert world.store.active == set()


def test_one_isolated_whose_removal_is_refused_for_what_no_log_tells_is_removed_all_the_same() -> (
    None
):
    world = World()
    world.http_register("a1", agent_id=ID)
    watcher = world.watcher()
    world.settle()
    world.store.entries.pop(ID)
    world.store.tombstones[ID] = 1
    world.supervisor.registry.failed(ID)
    world.advance(1)
    before = world.supervisor.stats().commits
    world.advance(1)
    assert world.supervisor.stats().commits - before < 10
    assert ID not in world.supervisor.directory
    assert watcher.take("snapshot")[-1]["agents"] == []
