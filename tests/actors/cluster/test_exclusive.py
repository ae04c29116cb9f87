"""Exclusive registrations: refused while another session of the agent lives, at whatever hub."""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.permissions import ANYBODY
from homeport_protocol.record import AgentSpec
from tests.support.cluster_world import Cluster, Hub, answered
from tests.support.records import SPEC, agent_id
from tests.support.world import FakeLink

ID = agent_id(1)
WORDS = (
    "another living session holds this id, and the registration is exclusive: end that program, "
    "or register without `exclusive` to take its place"
)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b")


def register(hub: Hub, *, exclusive: Any = True) -> tuple[FakeLink, dict[str, Any]]:
    link = hub.connect()
    return link, link.ask(op="register", agent=SPEC, agent_id=ID, exclusive=exclusive)


def over_http(hub: Hub, *, exclusive: bool) -> Any:
    outcomes: list[Any] = []
    spec = AgentSpec(name="a", type="cost")
    hub.supervisor.register(spec, ID, outcomes.append, exclusive=exclusive, principal=ANYBODY)
    hub.settle()
    return outcomes[0]


def is_refused(answer: dict[str, Any]) -> bool:
    assert answer["op"] in ("registered", "error"), answer
    if answer["op"] == "registered":
        return False
    assert (answer["code"], answer["retryable"], answer["message"]) == ("conflict", False, WORDS)
    assert "retry_after" not in answer
    return True


@pytest.mark.parametrize("where", ["a", "b"])
def test_it_is_refused_while_another_session_lives_and_that_one_is_not_disturbed(
    cluster: Cluster, where: str
) -> None:
    holder, _ = register(cluster["a"], exclusive=False)
    cluster.settle()
    for _ in range(10):
        assert is_refused(register(cluster[where])[1])
        cluster.advance(1)
    assert holder.close_code is None
    assert holder.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert cluster["a"].supervisor.stats().takeovers_refused == 0
    cluster.agree()


def test_nobody_has_the_id_and_it_is_registered(cluster: Cluster) -> None:
    assert not is_refused(register(cluster["a"])[1])
    link = cluster["a"].connect()
    answer = link.ask(op="register", agent=SPEC, exclusive=True)  # without an id, it is a new one
    assert answer["op"] == "registered"


@pytest.mark.parametrize("exclusive", [False, None])
def test_any_other_registration_takes_its_place(cluster: Cluster, exclusive: bool | None) -> None:
    holder, _ = register(cluster["a"])
    assert not is_refused(register(cluster["b"], exclusive=exclusive)[1])
    cluster.settle()
    assert holder.close_code == 4409


@pytest.mark.parametrize("where", ["a", "b"])
def test_once_the_connection_is_lost_the_id_is_free(cluster: Cluster, where: str) -> None:
    holder, _ = register(cluster["a"])
    holder.vanish()
    cluster.settle()
    assert not is_refused(register(cluster[where])[1])


@pytest.mark.parametrize("where", ["a", "b"])
def test_once_it_has_unregistered_the_id_is_free(cluster: Cluster, where: str) -> None:
    holder, _ = register(cluster["a"])
    holder.ask(op="unregister")
    cluster.settle()
    assert not is_refused(register(cluster[where])[1])


@pytest.mark.parametrize("way", ["websocket", "http"])
def test_one_that_ended_at_another_hub_a_moment_ago_lives_no_more(
    cluster: Cluster, way: str
) -> None:
    holder, _ = register(cluster["a"])
    cluster.settle()
    holder.say(id="x", op="unregister")
    assert cluster.until(lambda: answered(holder, "x"), 1) is not None
    assert cluster["b"].knows(ID), "it has not heard of it"
    if way == "websocket":
        assert not is_refused(register(cluster["b"])[1])
    else:
        assert over_http(cluster["b"], exclusive=True).agent_id == ID


def test_a_connection_that_ends_while_it_waits_registers_nothing(cluster: Cluster) -> None:
    link = cluster["a"].connect()
    link.say(id="x", op="register", agent=SPEC, agent_id=ID, exclusive=True)
    link.vanish()
    cluster.advance(1)
    assert cluster.store.entries == {}
    assert not is_refused(register(cluster["b"])[1])


@pytest.mark.parametrize("where", ["a", "b"])
def test_an_agent_over_http_lives_until_it_is_silent(cluster: Cluster, where: str) -> None:
    over_http(cluster["a"], exclusive=True)
    cluster.settle()
    assert is_refused(register(cluster[where])[1])
    refused = over_http(cluster[where], exclusive=True)
    assert (refused.code, refused.retryable, refused.message) == ("conflict", False, WORDS)
    cluster.advance(45.1)
    assert not is_refused(register(cluster[where])[1])


def test_a_hub_that_died_holds_its_agents_ids_until_that_is_known(cluster: Cluster) -> None:
    _, held = register(cluster["a"])
    cluster.kill("a")
    cluster.advance(1)
    assert is_refused(register(cluster["b"])[1])
    assert cluster["b"].resume(held)[1]["resumed"] is True, "its own session may always resume"
    cluster = Cluster("a", "b")
    register(cluster["a"])
    cluster.kill("a")
    cluster.advance(11.5)
    assert not is_refused(register(cluster["b"])[1])


# --- at once -------------------------------------------------------------------------------------


def both_at_once(cluster: Cluster, first: str, second: str) -> list[dict[str, Any]]:
    """Two exclusive registrations in the same moment: neither hub has heard of the other's."""
    links = [cluster[first].connect(), cluster[second].connect()]
    for link in links:
        link.say(id="x", op="register", agent=SPEC, agent_id=ID, exclusive=True)
    assert cluster.until(lambda: all(answered(link, "x") for link in links), 5) is not None
    return [each for link in links for each in link.sent if each.get("id") == "x"]


@pytest.mark.parametrize("hubs", ["aa", "ab", "ba"])
@pytest.mark.parametrize("before", ["nobody", "lost", "removed", "unreachable"])
def test_of_two_at_once_exactly_one_wins(cluster: Cluster, hubs: str, before: str) -> None:
    if before != "nobody":
        holder, _ = register(cluster["a"])
        if before == "removed":
            holder.ask(op="unregister")
        else:
            holder.vanish()
    cluster.advance(6 if before == "unreachable" else 0.5)
    answers = both_at_once(cluster, *hubs)
    assert sorted(is_refused(answer) for answer in answers) == [False, True]
    cluster.advance(0.5)
    cluster.agree()
    winner = next(answer for answer in answers if answer["op"] == "registered")
    assert cluster["a"].record(ID)["epoch"] == winner["epoch"]


def test_a_session_that_came_back_elsewhere_a_moment_ago_lives(cluster: Cluster) -> None:
    holder, held = register(cluster["a"])
    holder.vanish()
    cluster.settle()
    links = [cluster["a"].connect(), cluster["b"].connect()]
    token = {"agent_id": ID, "session_token": held["session_token"]}
    links[0].say(id="x", op="resume", **token)
    links[1].say(id="x", op="register", agent=SPEC, agent_id=ID, exclusive=True)
    assert cluster.until(lambda: all(answered(link, "x") for link in links), 5) is not None
    resumed, claimed = (each for link in links for each in link.sent if each.get("id") == "x")
    assert [resumed["op"] == "registered", claimed["op"] == "registered"].count(True) == 1


def test_a_registration_that_another_hub_made_a_moment_ago_lives(cluster: Cluster) -> None:
    links = [cluster["a"].connect(), cluster["b"].connect()]
    links[0].say(id="x", op="register", agent=SPEC, agent_id=ID)
    links[1].say(id="x", op="register", agent=SPEC, agent_id=ID, exclusive=True)
    assert cluster.until(lambda: all(answered(link, "x") for link in links), 5) is not None
    first, second = (each for link in links for each in link.sent if each.get("id") == "x")
    assert first["op"] == "registered"
    assert is_refused(second) or second["epoch"] < first["epoch"], "or it came first"


def test_while_the_store_is_away_it_is_unavailable_as_any_registration(cluster: Cluster) -> None:
    cluster["a"].port.cut = True
    link = cluster["a"].connect()
    link.say(id="x", op="register", agent=SPEC, agent_id=ID, exclusive=True)
    cluster.advance(5)
    assert link.sent[-1]["code"] == "unavailable"
    cluster["a"].port.cut = False
    cluster.advance(10)
    assert not is_refused(register(cluster["a"])[1])
