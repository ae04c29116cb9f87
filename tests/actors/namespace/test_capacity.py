"""How many agents a namespace takes, and how many bytes: refused beyond that, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from actors.agent.outcomes import Acknowledged
from actors.limits import Limits
from homeport_protocol.errors import ProtocolError
from tests.support.cluster_world import Cluster
from tests.support.records import SPEC, agent_id
from tests.support.world import World

PAD = "x" * 9_000


def full(**limits: int) -> World:
    """A world in which three agents fill the namespace."""
    world = World(limits=Limits(**limits))
    for number in range(3):
        world.agent(f"a{number}", agent_id=agent_id(number), metadata={"pad": PAD})
    return world


def remove(world: World, agent_id: str) -> None:
    outcomes: list[Any] = []
    world.supervisor.remove(agent_id, outcomes.append)
    world.settle()
    assert isinstance(outcomes[0], Acknowledged)


def assert_refused(answer: Any, setting: str) -> None:
    code = answer.code if isinstance(answer, ProtocolError) else answer["code"]
    message = answer.message if isinstance(answer, ProtocolError) else answer["message"]
    assert code == "rate_limited", answer
    assert setting in message


@pytest.mark.parametrize("setting", ["max_agents", "max_agent_bytes"])
def test_one_agent_too_many_is_refused_by_the_name_of_the_setting(setting: str) -> None:
    world = full(**{setting: 3 if setting == "max_agents" else 30_000})
    link = world.connect()
    answer = link.ask(op="register", agent={**SPEC, "metadata": {"pad": PAD}})
    assert_refused(answer, setting)
    assert answer["retryable"] is True
    assert_refused(world.http_register(metadata={"pad": PAD}), setting)
    assert world.observer.limits == {setting: 2}
    assert len(world.supervisor.directory) == 3
    world.check_store()
    assert link.ask(op="ping")["op"] == "pong"


@pytest.mark.parametrize("setting", ["max_agents", "max_agent_bytes"])
def test_who_leaves_makes_room(setting: str) -> None:
    world = full(**{setting: 3 if setting == "max_agents" else 30_000})
    remove(world, agent_id(1))
    _, answer = world.agent("new", metadata={"pad": PAD})
    assert answer["op"] == "registered"
    assert_refused(world.http_register(metadata={"pad": PAD}), setting)


def test_an_agent_that_is_there_registers_again_and_heartbeats_in_a_full_namespace() -> None:
    world = full()
    lower = Limits(max_agents=2, max_agent_bytes=20_000)  # as after a restart with other settings
    world.supervisor.registry._capacity._limits = lower
    again = world.connect()
    spec = {"name": "a1", "type": "cost", "metadata": {"pad": PAD}}
    answer = again.ask(op="register", agent_id=agent_id(1), agent=spec)
    assert answer["op"] == "registered"
    assert again.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert again.ask(op="heartbeat", status="degraded", load=0.123456)["op"] == "heartbeat_ack"
    assert again.ask(op="heartbeat", metadata={"pad": "y" * 9_000})["op"] == "heartbeat_ack"
    assert again.ask(op="update", metadata={"pad": "y"})["op"] == "updated"
    assert world.http_register("a2", agent_id(2)).agent_id == agent_id(2)


def test_metadata_and_capabilities_may_not_grow_beyond_the_bytes() -> None:
    world = full(max_agent_bytes=30_000)
    again = world.connect()
    spec = {"name": "a1", "type": "cost", "metadata": {"pad": PAD}}
    token = again.ask(op="register", agent_id=agent_id(1), agent=spec)["session_token"]
    larger = {"more": "x" * 5_000}
    setting = "max_agent_bytes"
    assert_refused(again.ask(op="heartbeat", metadata=larger), setting)
    assert_refused(again.ask(op="update", metadata=larger), setting)
    capabilities = [f"{number:0128}" for number in range(40)]
    assert_refused(again.ask(op="update", capabilities=capabilities), setting)
    grown = {**spec, "metadata": {"pad": PAD, **larger}}
    other = world.connect()
    assert_refused(other.ask(op="register", agent_id=agent_id(1), agent=grown), setting)
    resume = {"agent_id": agent_id(1), "session_token": token, "agent": {"metadata": larger}}
    assert_refused(other.ask(op="resume", **resume), setting)
    assert world.record(agent_id(1))["metadata"] == {"pad": PAD}
    assert again.ask(op="heartbeat", metadata={"pad": None, **larger})["op"] == "heartbeat_ack"


def test_the_metadata_of_an_agent_over_http_may_not_grow_either() -> None:
    world = World(limits=Limits(max_agent_bytes=30_000))
    first, *_ = [world.http_register(metadata={"pad": PAD}).agent_id for _ in range(3)]
    assert_refused(world.http_heartbeat(first, metadata={"m": "x" * 5_000}), "max_agent_bytes")
    assert isinstance(world.http_heartbeat(first, metadata={"pad": "y"}), Acknowledged)


def test_registrations_on_their_way_count() -> None:
    world = World(limits=Limits(max_agents=5))
    links = [world.connect() for _ in range(20)]
    for link in links:
        link.say(op="register", id=1, agent=SPEC)
    world.settle()
    assert [link.sent[0]["op"] for link in links] == ["registered"] * 5 + ["error"] * 15
    assert len(world.supervisor.directory) == 5


def test_bytes_on_their_way_count() -> None:
    world = World(limits=Limits(max_agent_bytes=50_000))
    links = [world.connect() for _ in range(20)]
    for link in links:
        link.say(op="register", id=1, agent={**SPEC, "metadata": {"pad": PAD}})
    world.settle()
    assert [link.sent[0]["op"] for link in links].count("registered") == 5
    assert world.supervisor.stats().agent_bytes <= 50_000


def test_registrations_that_failed_count_no_longer() -> None:
    world = World(limits=Limits(max_agents=5))
    link, _ = world.agent()
    world.lose_store(link)
    for _ in range(3):
        assert world.http_register().code == "unavailable"
    world.store.reachable = True
    world.advance(5)
    results = [world.http_register() for _ in range(5)]
    assert [isinstance(each, ProtocolError) for each in results] == [False] * 4 + [True]


def test_all_hubs_of_a_cluster_count_the_same_agents() -> None:
    cluster = Cluster("a", "b", limits=Limits(max_agents=3, max_agent_bytes=30_000))
    cluster["a"].agent("a1", metadata={"pad": PAD})
    cluster["b"].agent("b1", metadata={"pad": PAD})
    _, last = cluster["a"].agent("a2", metadata={"pad": PAD})
    cluster.advance(0.1)
    for hub in (cluster["a"], cluster["b"]):
        assert_refused(hub.http_register(), "max_agents")
        assert hub.supervisor.stats().agent_bytes == sum(map(len, hub.listed()))
    remove(cluster["b"], last["agent_id"])
    cluster.advance(0.1)
    for hub in (cluster["a"], cluster["b"]):
        assert_refused(hub.http_register(metadata={"pad": 2 * PAD[:7_900]}), "max_agent_bytes")
    assert cluster["a"].http_register(metadata={"pad": PAD}).agent_id


def test_the_bytes_are_those_of_the_records() -> None:
    world = World()
    link, first = world.agent(metadata={"pad": PAD})
    world.agent("other")
    ids = world.supervisor.directory.ids()

    def held() -> int:
        return sum(len(world.supervisor.get(each)) for each in ids)

    assert world.supervisor.stats().agent_bytes == held()
    link.ask(op="update", metadata={"pad": "x"})
    assert world.supervisor.stats().agent_bytes == held() < 2_000
    link.ask(op="unregister")
    assert first["agent_id"] not in ids
    assert world.supervisor.stats().agent_bytes == held()
