"""The store lost its data, and a hub that puts agents back knows less of them than others do."""

from __future__ import annotations

from typing import Any

import pytest

from homeport_protocol.codec import decode_record
from tests.support.cluster_world import Cluster
from tests.support.world import FakeLink

SOON = 7.0
"""Seconds until all hubs agree again."""

SAYS: dict[str, Any] = {
    "version": "2",
    "host": "new",
    "port": 2,
    "capabilities": ["new"],
    "load": 8.0,
    "status": "degraded",
}
BEFORE: dict[str, Any] = {
    "version": "1",
    "host": "old",
    "port": 1,
    "capabilities": ["old"],
    "load": 1.0,
    "metadata": {"goes": 1, "moves": 1},
}


def taken_over() -> tuple[Cluster, FakeLink, dict[str, Any]]:
    """Hub b has taken over an agent that lives at hub a, which cannot reach the store."""
    cluster = Cluster("a", "b")
    link, held = cluster["a"].agent()
    other, *_ = [cluster["b"].agent(f"b{number}")[0] for number in range(10)]
    assert link.ask(op="update", **BEFORE)["op"] == "updated"
    cluster.advance(2)
    cluster["a"].port.cut = True
    for number in range(15):
        cluster.advance(1)
        assert other.ask(op="update", version=str(number))["op"] == "updated"
        link.say(op="heartbeat", id=f"h{number}")
    assert cluster["b"].status(held["agent_id"])[1] == "lost"
    return cluster, link, held


def says_all(link: FakeLink) -> None:
    """A change of everything, acknowledged as durable."""
    answer = link.ask(op="update", **SAYS, metadata={"goes": None, "moves": 2, "comes": 3})
    assert answer["op"] == "updated"


def is_kept(cluster: Cluster, agent_id: str, connection: str = "websocket") -> None:
    cluster.agree()
    for name in "ab":
        record = cluster[name].record(agent_id)
        said = {key: record[key] for key in SAYS if key != "status"}
        assert said | {"status": record["health"]["reported"]} == SAYS, name
        assert record["metadata"] == {"moves": 2, "comes": 3}
        assert (record["hub"], record["health"]["connection"]) == ("a", connection)


def test_a_hub_that_is_back_in_a_new_log_keeps_its_agents_from_one_that_took_them_over() -> None:
    """What was stored there has the lower revision: hub b begins yet another log above it."""
    cluster, link, held = taken_over()
    cluster["b"].port.cut = True
    cluster.store.lose_everything()
    cluster["a"].port.cut = False
    cluster.advance(2)
    says_all(link)
    epoch = cluster.store.record(held["agent_id"]).epoch
    cluster["b"].port.cut = False
    cluster.advance(SOON)
    is_kept(cluster, held["agent_id"])
    assert cluster.store.log_name == "log-3"
    assert cluster.store.record(held["agent_id"]).epoch == epoch
    logged = [decode_record(each.record) for each in cluster.store.log]
    assert {each.version for each in logged if each.id == held["agent_id"]} == {"2"}
    assert link.close_code is None


@pytest.mark.parametrize("connected", [True, False])
def test_what_a_hub_had_missed_is_put_right_where_it_is_known(connected: bool) -> None:
    """Hub b comes first after the loss, and puts back what it had taken over."""
    cluster, link, held = taken_over()
    cluster["b"].port.cut = True
    cluster["a"].port.cut = False
    cluster.advance(2)
    says_all(link)
    if not connected:
        link.vanish()
        cluster.settle()
    cluster["a"].port.cut = True
    cluster.advance(0.5)
    cluster.store.lose_everything()
    cluster["b"].port.cut = False
    cluster.advance(2)
    assert cluster.store.record(held["agent_id"]).version == "1"
    for number in range(10):
        cluster["b"].links[0].ask(op="update", version=f"again {number}")
    cluster["a"].port.cut = False
    cluster.advance(SOON)
    is_kept(cluster, held["agent_id"], "websocket" if connected else "lost")
