"""A bug of one hub's actors affects neither other hubs nor agents that moved to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.agent.actor import AgentActor
from actors.agent.messages import Heartbeat, Message, Update
from actors.rules.permissions import ANYBODY
from actors.runtime.dispatch import MAX_RESTARTS
from tests.support.cluster_world import Cluster, Hub, kinds
from tests.support.records import agent_id
from tests.support.world import FakeLink, failures_expected

ID = agent_id(1)


class BugError(Exception):
    pass


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hub], None]:
    """Have all actors of one hub raise on a load of 666."""

    def install(hub: Hub) -> None:
        original = AgentActor.receive

        def broken(self: AgentActor, message: Message) -> None:
            bad = isinstance(message, Heartbeat | Update) and message.changes.load == 666
            if bad and self.context.hub_id == hub.supervisor.hub_id:
                raise BugError
            original(self, message)

        monkeypatch.setattr(AgentActor, "receive", broken)

    return install


def poison(link: FakeLink, times: int = 1) -> None:
    """Updates on which the actor fails, in one go."""
    for number in range(times):
        link.say(op="update", id=f"p{number}", load=666)


def test_an_actor_that_restarts_is_no_news_to_other_hubs(poisoned: Any) -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent()
    watcher = cluster["b"].watcher()
    poisoned(cluster["a"])
    with failures_expected(cluster["a"]):
        poison(link)
        cluster.settle()
    cluster.advance(10)
    assert kinds(watcher) == []
    assert link.ask(op="update", version="2")["op"] == "updated"
    assert cluster["b"].record(held["agent_id"])["version"] == "2"
    cluster.agree()


def test_an_agent_whose_actor_was_isolated_is_removed_at_all_hubs_and_may_register_anywhere(
    poisoned: Any,
) -> None:
    cluster = Cluster("a", "b")
    link, _ = cluster["a"].agent(agent_id=ID)
    neighbour, _ = cluster["a"].agent("neighbour")
    watcher = cluster["b"].watcher()
    poisoned(cluster["a"])
    with failures_expected(cluster["a"]):
        poison(link, MAX_RESTARTS + 1)
        cluster.settle()
    assert link.close_code == 1011
    assert kinds(watcher) == ["expired"]
    cluster.agree()
    assert neighbour.ask(op="heartbeat")["durable"] is True
    again, answer = cluster["b"].agent(agent_id=ID)
    assert answer["epoch"] == 2
    cluster.advance(20)
    assert again.close_code is None
    assert kinds(watcher) == ["registered"]
    cluster.agree()


def test_other_hubs_take_the_same_poison_without_harm(poisoned: Any) -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent()
    poisoned(cluster["a"])
    with failures_expected(cluster["a"]):
        poison(link)
        cluster.settle()
    other, _ = cluster["b"].resume(held)
    assert other.ask(op="update", load=666)["op"] == "updated"
    cluster.advance(2)
    assert cluster["a"].record(held["agent_id"])["load"] == 666
    cluster.agree()


@pytest.mark.parametrize("how", ["resume", "register"])
def test_an_agent_that_has_just_moved_elsewhere_is_not_removed_by_the_hub_whose_actor_failed(
    poisoned: Any, how: str
) -> None:
    """Its removal is refused, since that hub no longer owns it, and is not tried again."""
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent(agent_id=ID)
    cluster.settle()
    watcher = cluster["b"].watcher()
    poisoned(cluster["a"])
    other = cluster["b"].connect()
    with failures_expected(cluster["a"]):
        if how == "resume":
            token = held["session_token"]
            other.say(op="resume", id="r", agent_id=ID, session_token=token)
        else:
            other.say(op="register", id="r", agent_id=ID, agent={"name": "a1", "type": "cost"})
        assert cluster.until(lambda: other.sent != [], 1) is not None
        assert cluster["a"].record(ID)["epoch"] == 1, "it has not heard"
        poison(link, MAX_RESTARTS + 1)
        cluster.advance(5)
    assert link.close_code in (1011, 4409)
    assert other.close_code is None
    assert kinds(watcher) == ["resumed" if how == "resume" else "registered"]
    assert cluster["a"].record(ID)["epoch"] == 2
    cluster.agree()


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_an_actor_that_fails_for_an_ask_at_a_hub_that_does_not_own_its_agent_removes_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    cluster = Cluster("a", "b")
    hub = cluster["a"]
    held = hub.agent()[1]["agent_id"] if kind == "websocket" else hub.http_register().agent_id
    cluster.settle()
    watcher = cluster["a"].watcher()
    original = AgentActor.receive

    def broken(self: AgentActor, message: Message) -> None:
        if self.context.hub_id == "b" and isinstance(message, Heartbeat):
            raise BugError
        original(self, message)

    monkeypatch.setattr(AgentActor, "receive", broken)
    outcomes: list[Any] = []
    with failures_expected(cluster["b"]):
        for _ in range(MAX_RESTARTS + 1):
            cluster["b"].supervisor.heartbeat(
                held, "healthy", {}, outcomes.append, principal=ANYBODY
            )
        cluster.advance(5)
    assert [outcome.code for outcome in outcomes] == ["internal"] * (MAX_RESTARTS + 1)
    assert kinds(watcher) == []
    assert cluster["b"].knows(held)
    cluster.agree()


def test_an_agent_registered_again_elsewhere_stays_though_its_removal_here_comes_late(
    poisoned: Any,
) -> None:
    cluster = Cluster("a", "b")
    link, _ = cluster["a"].agent(agent_id=ID)
    cluster.settle()
    poisoned(cluster["a"])
    cluster.store.hold_next_commit = 0.5
    with failures_expected(cluster["a"]):
        poison(link, MAX_RESTARTS + 1)
        cluster.advance(0.1)
        other, _ = cluster["b"].agent(agent_id=ID)
        cluster.advance(5)
    assert other.close_code is None
    assert cluster["a"].record(ID)["epoch"] == 2
    cluster.agree()


def test_an_actor_isolated_at_the_owner_leaves_no_agent_that_no_hub_judges(
    poisoned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader fails on every message about an HTTP agent, which is not listed for ever."""
    cluster = Cluster("a", "b")
    cluster["b"].http_register(agent_id=ID)
    cluster.advance(1)
    original = AgentActor.receive

    def broken(self: AgentActor, message: Message) -> None:
        if self.context.hub_id == "a":
            raise BugError
        original(self, message)

    monkeypatch.setattr(AgentActor, "receive", broken)
    with failures_expected(cluster["a"]):
        for number in range(30):
            cluster["b"].http_heartbeat(ID, metadata={"k": number})
        cluster.advance(120)
    assert not cluster["a"].knows(ID)
    assert not cluster["b"].knows(ID)
    cluster.agree()


def test_a_log_entry_that_cannot_be_read_stops_no_hub() -> None:
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent()
    cluster["b"].scheduler.stop()
    link.ask(op="update", version="2")
    entry = cluster.store.log[-1]
    cluster.store.log[-1] = type(entry)(entry.revision, entry.kind, b"{", entry.key)
    link.ask(op="update", version="3")
    cluster["b"].scheduler.go_on()
    cluster.advance(2)
    assert cluster["b"].record(held["agent_id"])["version"] == "3"
    assert cluster["b"].observer.unreadable_records == [b"{"]
    assert cluster["b"].agent("b1")[1]["revision"] == cluster["a"].revision
