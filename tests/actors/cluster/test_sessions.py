"""Requests at another hub than before, even right after; sessions, epochs and fencing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.rules.permissions import ANYBODY
from homeport_protocol.record import AgentSpec
from tests.support.cluster_world import Cluster, Hub, answered, told
from tests.support.records import SPEC, agent_id
from tests.support.world import FakeLink

ID = agent_id(1)


def at_once(cluster: Cluster, link: FakeLink, **message: Any) -> dict[str, Any]:
    """The answer, at the very moment when it comes: other hubs have not heard yet."""
    link.say(id="at once", **message)
    assert cluster.until(lambda: answered(link, "at once"), 1) is not None
    answer = next(each for each in link.sent if each.get("id") == "at once")
    link.sent.remove(answer)
    return answer


def identity(held: dict[str, Any]) -> tuple[str, str]:
    """The agent's id and its session token, as a caller over HTTP shows them."""
    return held["agent_id"], held["session_token"]


def over_http(cluster: Cluster, ask: Any) -> Any:
    """What an ask over HTTP is answered with, at the moment when that comes."""
    outcomes: list[Any] = []
    ask(outcomes.append)
    assert cluster.until(lambda: outcomes != [], 1) is not None
    return outcomes[0]


def register(cluster: Cluster, hub: Hub, **fields: Any) -> tuple[FakeLink, dict[str, Any]]:
    link = hub.connect()
    answer = at_once(cluster, link, op="register", agent=SPEC, **fields)
    assert answer["op"] == "registered"
    return link, answer


# --- right after, at another hub -----------------------------------------------------------------


def test_a_registration_is_resumed_at_another_hub_before_that_has_heard_of_it() -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"])
    assert not cluster["b"].knows(held["agent_id"])
    other, again = cluster["b"].resume(held)
    assert (again["op"], again["resumed"], again["epoch"]) == ("registered", True, 2)
    assert again["registered_at"] == held["registered_at"]
    assert (link.close_code, other.close_code) == (4409, None)
    assert cluster["a"].record(held["agent_id"])["hub"] == "b"
    cluster.agree()


def test_a_resumption_may_bring_changes_and_others_see_one_event() -> None:
    cluster = Cluster("a", "b", "c")
    _, held = register(cluster, cluster["a"])
    cluster.settle()
    watcher = cluster["c"].watcher()
    cluster["b"].resume(held, agent={"version": "2", "status": "degraded"})
    assert [each[1] for each in told(watcher)] == ["resumed"]
    record = cluster["c"].record(held["agent_id"])
    assert (record["version"], record["status"], record["hub"]) == ("2", "degraded", "b")


def test_a_heartbeat_over_http_comes_to_another_hub_before_that_has_heard_of_the_agent() -> None:
    cluster = Cluster("a", "b")
    _, held = register(cluster, cluster["a"])
    assert not cluster["b"].knows(held["agent_id"])
    acknowledged = cluster["b"].http_heartbeat(
        held["agent_id"], metadata={"k": 1}, token=held["session_token"]
    )
    assert acknowledged.durable is True
    assert cluster["a"].record(held["agent_id"])["metadata"] == {"k": 1}


def test_an_agent_is_unregistered_at_another_hub_before_that_has_heard_of_it() -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"])
    assert not cluster["b"].knows(held["agent_id"])
    cluster["b"].http_unregister(*identity(held))
    assert link.close_code == 1000
    assert cluster.store.entries == {}
    cluster.agree()
    assert [entry.kind for entry in cluster.store.log] == ["registered", "unregistered"]


def test_what_another_hub_removed_a_moment_ago_is_not_found() -> None:
    cluster = Cluster("a", "b")
    _, held = register(cluster, cluster["a"])
    cluster.settle()
    supervisor = cluster["a"].supervisor
    over_http(cluster, lambda reply: supervisor.remove(held["agent_id"], reply))
    assert cluster["b"].knows(held["agent_id"])
    _, refused = cluster["b"].resume(held)
    assert refused["code"] == "not_found"
    assert cluster["b"].http_heartbeat(held["agent_id"]).code == "not_found"
    cluster.agree()


@pytest.mark.parametrize("ask", ["heartbeat", "unregister"])
def test_an_ask_over_http_right_after_a_removal_elsewhere_puts_nothing_back(ask: str) -> None:
    cluster = Cluster("a", "b")
    _, held = register(cluster, cluster["a"])
    cluster.settle()
    supervisor = cluster["a"].supervisor
    over_http(cluster, lambda reply: supervisor.remove(held["agent_id"], reply))
    assert cluster["b"].knows(held["agent_id"])
    if ask == "heartbeat":
        answer = cluster["b"].http_heartbeat(
            held["agent_id"], metadata={"k": 1}, token=held["session_token"]
        )
        assert answer.code == "not_found"
    else:
        assert cluster["b"].http_unregister(*identity(held)).durable is True
    assert [entry.kind for entry in cluster.store.log] == ["registered", "unregistered"]
    cluster.agree()


def test_an_unknown_id_is_unknown_at_every_hub_and_unavailable_while_that_cannot_be_known() -> None:
    cluster = Cluster("a", "b")
    assert cluster["b"].http_heartbeat(ID).code == "not_found"
    cluster["b"].port.cut = True
    assert cluster["b"].http_heartbeat(ID).code == "unavailable"
    _, refused = cluster["b"].resume({"agent_id": ID, "session_token": "x"})
    assert refused["code"] == "unavailable"


def test_right_after_a_new_registration_the_older_token_is_fenced_at_every_hub() -> None:
    cluster = Cluster("a", "b")
    _, old = register(cluster, cluster["a"], agent_id=ID)
    cluster.advance(1)
    _, new = register(cluster, cluster["a"], agent_id=ID)
    assert cluster["b"].record(ID)["epoch"] == 1, "it has not heard"
    _, refused = cluster["b"].resume(old)
    assert refused["code"] == "fenced"
    _, resumed = cluster["b"].resume(new)
    assert resumed["epoch"] == 3


def test_right_after_a_new_registration_its_token_is_good_at_every_hub() -> None:
    cluster = Cluster("a", "b")
    register(cluster, cluster["a"], agent_id=ID)
    cluster.advance(1)
    _, new = register(cluster, cluster["a"], agent_id=ID)
    assert cluster["b"].record(ID)["epoch"] == 1, "it has not heard"
    _, resumed = cluster["b"].resume(new)
    assert resumed["epoch"] == 3
    cluster.agree()


@pytest.mark.parametrize("ask", ["heartbeat", "unregister"])
def test_a_caller_with_the_newest_token_is_heard_where_its_registration_is_not_known(
    ask: str,
) -> None:
    cluster = Cluster("a", "b")
    cluster["a"].http_register(agent_id=ID)
    _, new = register(cluster, cluster["a"], agent_id=ID)
    assert cluster["b"].record(ID)["epoch"] == 1, "it has not heard"
    if ask == "heartbeat":
        assert cluster["b"].http_heartbeat(*identity(new), metadata={"k": 1}).durable is True
        assert cluster["a"].record(ID)["metadata"] == {"k": 1}
    else:
        assert cluster["b"].http_unregister(*identity(new)).durable is True
        assert cluster.store.entries == {}
    cluster.agree()


@pytest.mark.parametrize("shows", ["its token", "nothing"])
@pytest.mark.parametrize("ask", ["heartbeat", "unregister"])
def test_an_older_http_process_changes_nothing_where_the_newer_session_is_not_known(
    ask: str, shows: str
) -> None:
    cluster = Cluster("a", "b")
    old = cluster["a"].http_register(agent_id=ID)
    link, _ = register(cluster, cluster["a"], agent_id=ID)
    assert cluster["b"].record(ID)["epoch"] == 1, "it has not heard"
    token = old.session_token if shows == "its token" else None
    if ask == "heartbeat":
        refused = cluster["b"].http_heartbeat(ID, token, status="unhealthy", metadata={"k": 1})
    else:
        refused = cluster["b"].http_unregister(ID, token)
    assert refused.code == ("fenced" if token else "conflict")
    record = cluster["a"].record(ID)
    assert (record["epoch"], record["status"], "metadata" in record) == (2, "healthy", False)
    assert link.close_code is None
    cluster.agree()


def test_a_legacy_process_is_heard_where_its_newer_registration_is_not_known() -> None:
    cluster = Cluster("a", "b")
    register(cluster, cluster["a"], agent_id=ID)
    cluster.advance(1)
    spec = msgspec.convert({"name": "h1", "type": "cost"}, AgentSpec)
    over_http(
        cluster, lambda reply: cluster["a"].supervisor.register(spec, ID, reply, principal=ANYBODY)
    )
    assert cluster["b"].status(ID) == ("healthy", "websocket"), "it has not heard"
    assert cluster["b"].http_heartbeat(ID, metadata={"k": 1}).durable is True
    cluster.agree()


# --- epochs --------------------------------------------------------------------------------------


def test_epochs_rise_with_every_session_whichever_hub_it_comes_to() -> None:
    cluster = Cluster("a", "b", "c")
    _, held = register(cluster, cluster["a"], agent_id=ID)
    for number, name in enumerate("bcabca", start=2):
        _, held = cluster[name].resume(held)
        assert held["epoch"] == number
    _, again = register(cluster, cluster["b"], agent_id=ID)
    assert again["epoch"] == 8


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("at", ["a", "b"])
@pytest.mark.parametrize("end", ["unregistered", "expired"])
def test_epochs_rise_over_a_removal_whichever_hub_registers_anew(
    first: str, at: str, end: str
) -> None:
    cluster = Cluster("a", "b")
    link, _ = register(cluster, cluster[first], agent_id=ID)
    if end == "unregistered":
        at_once(cluster, link, op="unregister")
    else:
        link.vanish()
        cluster.until(lambda: not cluster[first].knows(ID), 80, 0.05)
    _, again = register(cluster, cluster[at], agent_id=ID)
    assert (again["epoch"], again["resumed"]) == (2, False)
    cluster.settle()
    cluster.agree()
    assert [entry.kind for entry in cluster.store.log][-2:] == [end, "registered"]


def test_a_hub_that_started_after_the_removal_knows_of_the_epoch_too() -> None:
    cluster = Cluster("a")
    cluster["a"].http_register(agent_id=ID)
    cluster["a"].http_unregister(ID)
    cluster.start("b")
    assert cluster["b"].http_register(agent_id=ID).epoch == 2


def test_two_registrations_at_two_hubs_at_once_are_put_in_order_and_one_is_fenced() -> None:
    cluster = Cluster("a", "b")
    links = [cluster[name].connect() for name in "ab"]
    for link in links:
        link.say(op="register", id=1, agent=SPEC, agent_id=ID)
    cluster.settle()
    held = [link.take("registered")[0]["epoch"] for link in links]
    assert sorted(held) == [1, 2]
    loser, winner = links if held[0] == 1 else reversed(links)
    assert (loser.close_code, winner.close_code) == (4409, None)
    assert cluster.store.record(ID).epoch == 2
    cluster.agree()


def test_two_resumptions_at_two_hubs_at_once_end_with_one_session() -> None:
    cluster = Cluster("a", "b", "c")
    _, held = register(cluster, cluster["c"])
    cluster.settle()
    token = {"agent_id": held["agent_id"], "session_token": held["session_token"]}
    links = [cluster[name].connect() for name in "ab"]
    for link in links:
        link.say(op="resume", id=1, **token)
    cluster.settle()
    epochs = sorted(each["epoch"] for link in links for each in link.take("registered"))
    assert epochs == [2, 3]
    assert sorted(link.close_code or 0 for link in links) == [0, 4409]
    cluster.agree()


# --- fencing -------------------------------------------------------------------------------------


def test_a_newer_session_anywhere_closes_the_older_one_within_a_second() -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"])
    cluster.advance(20.2)
    other = cluster["b"].connect()
    token = {"agent_id": held["agent_id"], "session_token": held["session_token"]}
    at_once(cluster, other, op="resume", **token)
    took = cluster.until(lambda: link.close_code is not None, 1)
    assert took is not None
    assert took < 0.015
    assert link.close_code == 4409


@pytest.mark.parametrize(
    "message",
    [
        {"op": "update", "version": "old"},
        {"op": "heartbeat", "status": "unhealthy", "metadata": {"k": "old"}},
        {"op": "unregister"},
    ],
    ids=lambda message: message["op"],
)
@pytest.mark.parametrize("how", ["resume", "register"])
def test_what_a_fenced_session_still_sends_takes_no_effect(
    message: dict[str, Any], how: str
) -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"], agent_id=ID)
    cluster.settle()
    watcher = cluster["b"].watcher()
    other = cluster["b"].connect()
    if how == "resume":
        at_once(cluster, other, op="resume", agent_id=ID, session_token=held["session_token"])
    else:
        at_once(cluster, other, op="register", agent=SPEC, agent_id=ID)
    before = cluster.store.record(ID)
    assert cluster["a"].record(ID)["epoch"] == 1, "the old hub has not heard"
    link.say(id="late", **message)
    cluster.advance(2)
    assert link.close_code == 4409
    assert [each for each in link.sent if each.get("id") == "late" and each["op"] != "error"] == []
    after = cluster.store.record(ID)
    assert (after.epoch, after.revision) == (before.epoch, before.revision)
    assert len(told(watcher)) == 1
    assert other.ask(op="heartbeat")["durable"] is True
    cluster.agree()


def test_a_fenced_session_that_vanishes_changes_nothing_for_its_agent() -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"])
    cluster.settle()
    watcher = cluster["b"].watcher()
    cluster["b"].resume(held)
    link.vanish()
    cluster.advance(100)
    assert [each[1] for each in told(watcher)] == ["resumed", "status_changed"]
    assert cluster["a"].record(held["agent_id"])["health"]["reason"] == "heartbeat_overdue"


def test_a_session_that_goes_back_and_forth_leaves_one_event_for_each_move() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["a"].watcher()
    _, held = register(cluster, cluster["a"])
    for name in "baba":
        _, held = cluster[name].resume(held)
        cluster.advance(1)
    assert [each[1] for each in told(watcher)] == ["registered"] + ["resumed"] * 4
    links = [link for hub in cluster.hubs.values() for link in hub.links]
    assert sum(link.close_code == 4409 for link in links) == 4


# --- several hubs write for one agent ------------------------------------------------------------


def test_heartbeats_at_two_hubs_at_once_lose_none_of_their_metadata() -> None:
    cluster = Cluster("a", "b", "c")
    held = cluster["a"].http_register(metadata={"k": 0}).agent_id
    outcomes: list[Any] = []
    for number in range(30):
        for name in "abc":
            metadata = {f"{name}{number}": number}
            cluster[name].supervisor.heartbeat(
                held, "healthy", metadata, outcomes.append, principal=ANYBODY
            )
        cluster.advance(0.0007 * (number % 3))
    cluster.advance(1)
    assert [outcome.durable for outcome in outcomes] == [True] * 90
    expected = {f"{name}{number}" for name in "abc" for number in range(30)} | {"k"}
    assert set(cluster["c"].record(held)["metadata"]) == expected
    cluster.agree()


def test_a_sessions_update_and_a_heartbeat_elsewhere_both_count() -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"])
    cluster.settle()
    outcomes: list[Any] = []
    for number in range(20):
        link.say(op="update", id=number, version=str(number), metadata={f"a{number}": 1})
        cluster["b"].supervisor.heartbeat(
            held["agent_id"],
            "degraded",
            {f"b{number}": 1},
            outcomes.append,
            token=held["session_token"],
            principal=ANYBODY,
        )
        cluster.advance(0.0007 * (number % 4))
    cluster.advance(1)
    record = cluster["b"].record(held["agent_id"])
    assert (record["version"], record["status"], len(record["metadata"])) == ("19", "degraded", 40)
    assert len(link.take("updated")) == len(outcomes) == 20
    cluster.agree()


def test_a_heartbeat_over_http_at_another_hub_does_not_take_an_agent_from_its_session() -> None:
    cluster = Cluster("a", "b")
    link, held = register(cluster, cluster["a"])
    cluster.settle()
    cluster["b"].http_heartbeat(*identity(held), status="degraded")
    record = cluster["a"].record(held["agent_id"])
    assert (record["hub"], record["epoch"], record["status"]) == ("a", 1, "degraded")
    assert record["health"]["connection"] == "websocket"
    assert link.close_code is None
    assert link.ask(op="update", version="2")["op"] == "updated"
    cluster.agree()


def test_a_lost_agent_that_heartbeats_over_http_elsewhere_lives_on_over_http() -> None:
    cluster = Cluster("a", "b")
    watcher = cluster["b"].watcher()
    link, held = register(cluster, cluster["a"])
    link.vanish()
    cluster.advance(1)
    cluster["b"].http_heartbeat(*identity(held))
    cluster.advance(20)
    assert cluster["a"].status(held["agent_id"]) == ("healthy", "http")
    assert [each[1] for each in told(watcher)] == ["registered", "lost", "updated"]
    cluster.agree()


def test_a_registration_over_http_takes_an_agent_from_its_session_elsewhere() -> None:
    cluster = Cluster("a", "b")
    link, _ = register(cluster, cluster["a"], agent_id=ID)
    assert cluster["b"].http_register(agent_id=ID).epoch == 2
    assert link.close_code == 4409
    assert cluster["a"].status(ID) == ("healthy", "http")
    cluster.agree()
