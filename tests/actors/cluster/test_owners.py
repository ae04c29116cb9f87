"""Whose an agent is holds at every hub of a cluster, also in a race."""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.record import AgentSpec
from tests.support.cluster_world import Cluster, Hub
from tests.support.records import agent_id

A = Principal(id="token:a", role="agent")
B = Principal(id="token:b", role="agent")
ID = agent_id(1)


def register(hub: Hub, principal: Principal, *, exclusive: bool = False) -> list[Any]:
    """Begins a registration; the outcome will be in the list."""
    outcomes: list[Any] = []
    spec = AgentSpec(name="a", type="cost")
    hub.supervisor.register(spec, ID, outcomes.append, principal=principal, exclusive=exclusive)
    return outcomes


def code(outcomes: list[Any]) -> str:
    (outcome,) = outcomes
    return getattr(outcome, "code", "ok")


@pytest.mark.parametrize("exclusive", [False, True])
def test_of_two_principals_that_register_one_id_at_two_hubs_one_has_it(exclusive: bool) -> None:
    cluster = Cluster("a", "b")
    first = register(cluster["a"], A, exclusive=exclusive)
    second = register(cluster["b"], B, exclusive=exclusive)
    cluster.advance(2)
    assert sorted((code(first), code(second))) == ["forbidden", "ok"]
    winner = "token:a" if code(first) == "ok" else "token:b"
    assert cluster.store.owners == {ID: winner}
    for hub in (cluster["a"], cluster["b"]):
        assert hub.supervisor.replica.owners.of(ID) == winner
    cluster.agree()


def test_a_hub_that_has_not_heard_of_the_registration_takes_nothing_away() -> None:
    cluster = Cluster("a", "b")
    port = cluster["b"].port
    port.hold("read_log")
    port.hold("await_change")
    taken = register(cluster["a"], A)
    cluster.advance(0.01)
    assert code(taken) == "ok"
    late = register(cluster["b"], B)
    cluster.advance(0.01)
    port.release("read_log")
    port.release("await_change")
    cluster.advance(2)
    assert code(late) == "forbidden"
    assert cluster.store.owners == {ID: "token:a"}
    cluster.agree()


def test_other_hubs_learn_whose_it_is_and_that_it_is_free_again() -> None:
    cluster = Cluster("a", "b", "c")
    assert code(settled(cluster, register(cluster["a"], A))) == "ok"
    assert code(settled(cluster, register(cluster["b"], B))) == "forbidden"
    assert cluster["c"].http_unregister(ID, principal=A).durable is True
    assert code(settled(cluster, register(cluster["b"], B))) == "ok"
    assert code(settled(cluster, register(cluster["c"], A))) == "forbidden"


def test_a_hub_that_starts_knows_it() -> None:
    cluster = Cluster("a", "b")
    register(cluster["a"], A)
    cluster.advance(1)
    cluster.kill("a")
    cluster.kill("b")
    cluster.start("c")
    assert code(settled(cluster, register(cluster["c"], B))) == "forbidden"
    assert code(settled(cluster, register(cluster["c"], A))) == "ok"


def test_it_survives_that_the_store_loses_everything() -> None:
    cluster = Cluster("a", "b")
    register(cluster["a"], A)
    cluster.advance(1)
    cluster.store.lose_everything()
    cluster.advance(15)
    assert cluster.store.owners == {ID: "token:a"}
    for hub in ("a", "b"):
        assert code(settled(cluster, register(cluster[hub], B))) == "forbidden"
    cluster.agree()


def settled(cluster: Cluster, outcomes: list[Any]) -> list[Any]:
    cluster.advance(0.5)
    return outcomes


def test_it_survives_that_other_hubs_write_the_agent_into_the_new_log() -> None:
    cluster = Cluster("a", "b", "c")
    register(cluster["a"], A)
    cluster.advance(1)
    cluster.store.lose_everything()
    for number in range(40):
        cluster.advance(0.1)
        for hub in "abc":
            cluster[hub].http_heartbeat(ID, metadata={"n": number}, principal=A)
    assert [
        each for each in cluster.store.log if each.kind == "registered" and not each.owner
    ] == []
    assert cluster.store.owners == {ID: "token:a"}
    for hub in "abc":
        assert cluster[hub].supervisor.replica.owners.of(ID) == "token:a"
