"""Two programs of one id: at one hub or two, the one that holds it stays, and the other is told."""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.permissions import ANYBODY
from homeport_protocol.record import AgentSpec
from tests.support.cluster_world import Cluster, Hub, told
from tests.support.records import SPEC, agent_id
from tests.support.world import FakeLink

ID = agent_id(1)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b")


def register(hub: Hub, **fields: Any) -> tuple[FakeLink, dict[str, Any]]:
    link = hub.connect()
    return link, link.ask(op="register", agent=SPEC, agent_id=ID, **fields)


def http_register(hub: Hub) -> Any:
    outcomes: list[Any] = []
    hub.supervisor.register(
        AgentSpec(name="a", type="cost"), ID, outcomes.append, principal=ANYBODY
    )
    hub.settle()
    return outcomes[0]


def fight(cluster: Cluster, *hubs: str) -> list[FakeLink]:
    """Registrations from the first on, half a second apart; all of them are granted."""
    links = []
    for name in hubs:
        link, answer = register(cluster[name])
        assert answer["op"] == "registered"
        links.append(link)
        cluster.advance(0.5)
    return links


def test_the_third_takeover_within_a_minute_is_refused_and_the_holder_stays(
    cluster: Cluster,
) -> None:
    watcher = cluster["b"].watcher()
    *_, holder = fight(cluster, "a", "a", "a")
    _, refused = register(cluster["a"])
    assert {key: refused[key] for key in ("op", "code", "retryable", "retry_after")} == {
        "op": "error",
        "code": "conflict",
        "retryable": True,
        "retry_after": 2.0,
    }
    assert refused["message"] == (
        "another living session holds this id, which was taken over 2 times within a minute: give "
        "each program its own agent_id"
    )
    waits = []
    for _ in range(20):
        cluster.advance(5)
        waits.append(register(cluster["a"])[1]["retry_after"])
        assert holder.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert waits[:5] == [4.0, 8.0, 16.0, 30.0, 30.0]
    assert set(waits[5:]) == {30.0}
    assert holder.close_code is None
    assert [kind for _, kind, *_ in told(watcher)] == ["registered"] * 3
    assert cluster["a"].supervisor.stats().takeovers_refused == 21
    assert cluster["a"].observer.fights == [(ID, 2)] * 2, "once a minute"


def test_programs_at_different_hubs_come_to_rest_as_well(cluster: Cluster) -> None:
    watcher = cluster["a"].watcher()
    granted = 0
    for _ in range(20):
        for name in ("a", "b"):
            granted += register(cluster[name])[1]["op"] == "registered"
            cluster.advance(0.5)
    # The first one takes nothing over; then each hub grants two.
    assert granted == 5
    assert len(told(watcher)) == 5
    cluster.agree()


def test_takeovers_over_http_of_a_session_count_and_are_refused(cluster: Cluster) -> None:
    fight(cluster, "a", "a", "a")
    refused = http_register(cluster["a"])
    assert (refused.code, refused.retryable, refused.retry_after) == ("conflict", True, 2.0)


def test_programs_over_http_restart_as_often_as_they_like(cluster: Cluster) -> None:
    for _ in range(20):  # a crash cannot be told from a living program
        assert http_register(cluster["a"]).agent_id == ID
        cluster.advance(0.1)
    assert register(cluster["a"])[1]["op"] == "registered"


def test_who_comes_back_after_its_connection_was_lost_takes_nothing_over(cluster: Cluster) -> None:
    for _ in range(20):
        link, answer = register(cluster["a"])
        assert answer["op"] == "registered"
        link.vanish()
        cluster.advance(0.2)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_resumption_is_no_takeover(cluster: Cluster, elsewhere: bool) -> None:
    _, held = register(cluster["a"])
    for _ in range(10):
        name = "b" if elsewhere else "a"
        _, answer = cluster[name].resume(held)
        assert answer["resumed"] is True
        cluster.advance(0.2)
    assert register(cluster["a"])[1]["op"] == "registered"


def test_once_the_holder_has_gone_the_other_gets_the_id_at_its_next_attempt(
    cluster: Cluster,
) -> None:
    *_, holder = fight(cluster, "a", "a", "a")
    assert register(cluster["a"])[1]["code"] == "conflict"
    holder.vanish()
    cluster.advance(0.1)
    assert register(cluster["a"])[1]["op"] == "registered"


def test_twice_a_minute_is_no_fight(cluster: Cluster) -> None:
    for _ in range(20):
        assert register(cluster["a"])[1]["op"] == "registered"
        cluster.advance(31)


def test_a_takeover_that_the_store_did_not_take_counts_for_nothing(cluster: Cluster) -> None:
    register(cluster["a"])
    cluster["a"].port.cut = True
    for _ in range(5):
        link = cluster["a"].connect()
        link.say(id=1, op="register", agent=SPEC, agent_id=ID)
        cluster.advance(3)
        assert link.sent[-1]["code"] == "unavailable"
    cluster["a"].port.cut = False
    cluster.advance(5)
    fight(cluster, "a", "a")
