"""Picking one agent: fair, stable, and never one that cannot work."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from actors.directory.directory import Directory
from actors.directory.pick import MAX_ROTATIONS, Picker
from actors.runtime.turns import complete
from homeport_protocol.bounds import STRATEGIES, Strategy
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import AgentRecord
from tests.support.records import agent_id, record


class Fleet:
    def __init__(self, *records: AgentRecord) -> None:
        self.directory = Directory()
        self.picker = Picker(self.directory, random.Random(5))
        self.recently_lost: set[str] = set()
        for each in records:
            self.put(each)

    def put(self, each: AgentRecord) -> None:
        self.directory.put(each, encode(each))

    def pick(
        self,
        strategy: Strategy = "round_robin",
        filter: Filter = MATCH_ALL,
        key: str | None = None,
    ) -> str:
        if strategy == "sticky" and key is None:
            key = "key"
        return complete(self.picker.pick(filter, strategy, key, self.recently_lost)).record.name

    def matches_none(self, strategy: Strategy = "round_robin", filter: Filter = MATCH_ALL) -> bool:
        with pytest.raises(ProtocolError) as caught:
            self.pick(strategy, filter)
        return caught.value.code == "no_match"


def fleet(count: int, **fields: Any) -> Fleet:
    return Fleet(*(record(number, **fields) for number in range(count)))


def test_round_robin_gives_everyone_a_turn_in_order() -> None:
    agents = fleet(3)
    assert [agents.pick() for _ in range(7)] == ["a0", "a1", "a2", "a0", "a1", "a2", "a0"]


def test_round_robin_stays_fair_while_agents_come_and_go() -> None:
    agents = fleet(10)
    chance = random.Random(3)
    picks: Counter[str] = Counter()
    for turn in range(2000):
        picks[agents.pick()] += 1
        visitor = record(100 + chance.randrange(1000))  # has a higher id than all that stay
        if turn % 3 == 0:
            agents.put(visitor)
        elif turn % 3 == 2:
            for each in agents.directory.ids()[10:]:
                agents.directory.remove(each)
    stayed = [picks[f"a{number}"] for number in range(10)]
    assert max(stayed) - min(stayed) <= 1, "each one that stayed had as many turns as any other"


def test_round_robin_goes_on_behind_one_that_left() -> None:
    agents = fleet(4)
    assert [agents.pick(), agents.pick()] == ["a0", "a1"]
    agents.directory.remove(agent_id(1))
    assert [agents.pick() for _ in range(3)] == ["a2", "a3", "a0"]


def test_every_filter_has_its_own_rotation_and_equal_ones_share_it() -> None:
    agents = fleet(3)
    assert agents.pick() == "a0"
    assert agents.pick(filter=Filter(type="cost")) == "a0"
    assert agents.pick() == "a1"
    assert agents.pick(filter=Filter(type="cost")) == "a1"
    # Without a status, healthy is meant.
    assert agents.pick(filter=Filter(status="healthy")) == "a2"


def test_only_so_many_rotations_are_remembered() -> None:
    count = MAX_ROTATIONS + 50
    busy = {f"k{number}": "v" for number in range(count)}
    agents = Fleet(*(record(number, metadata=busy) for number in range(2)))
    assert agents.pick() == "a0"
    for number in range(count):
        assert agents.pick(filter=Filter(metadata={f"k{number}": "v"})) == "a0"
        assert len(agents.picker._rotations) <= MAX_ROTATIONS
    assert agents.pick() == "a0", "the oldest was forgotten and starts again"


def test_long_filters_take_no_more_memory_than_short_ones() -> None:
    agents = Fleet(record(0, metadata={"k": "v"}))
    for number in range(100):
        with pytest.raises(ProtocolError):
            agents.pick(filter=Filter(metadata={"k": f"{number}{'x' * 60_000}"}))
        agents.pick(filter=Filter(status=["healthy"] * (number % 32 + 1)))
    assert max(map(len, agents.picker._rotations)) == 16
    assert max(map(len, agents.picker._least_loaded._rankings), default=16) == 16
    assert max(map(len, agents.directory._matches._remembered)) == 16


def test_random_takes_everyone_about_as_often() -> None:
    agents = fleet(4)
    picks = Counter(agents.pick("random") for _ in range(2000))
    assert set(picks) == {"a0", "a1", "a2", "a3"}
    assert min(picks.values()) > 400


def test_sticky_keys_keep_their_agents_when_others_leave_or_come() -> None:
    agents = fleet(10)
    keys = [f"key{number}" for number in range(300)]
    before = {key: agents.pick("sticky", key=key) for key in keys}
    assert set(before.values()) == {f"a{number}" for number in range(10)}
    agents.directory.remove(agent_id(3))
    after = {key: agents.pick("sticky", key=key) for key in keys}
    assert all(after[key] == agent for key, agent in before.items() if agent != "a3")
    agents.put(record(3))
    assert {key: agents.pick("sticky", key=key) for key in keys} == before
    agents.put(record(11))
    moved = [key for key in keys if agents.pick("sticky", key=key) != before[key]]
    assert all(agents.pick("sticky", key=key) == "a11" for key in moved)


def test_an_empty_key_is_a_key() -> None:
    agents = fleet(3)
    assert agents.pick("sticky", key="") == agents.pick("sticky", key="")


def test_sticky_without_a_key_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        complete(fleet(1).picker.pick(MATCH_ALL, "sticky", None, ()))
    assert (caught.value.code, caught.value.field) == ("bad_request", "key")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_healthy_ones_unless_the_filter_names_a_status(strategy: Strategy) -> None:
    agents = Fleet(
        record(1, status="degraded"), record(2, status="unhealthy"), record(3, status="unreachable")
    )
    assert agents.matches_none(strategy)
    assert agents.pick(strategy, Filter(status="degraded")) == "a1"
    assert agents.pick(strategy, Filter(status=["unhealthy"])) == "a2"
    agents.put(record(4))
    assert agents.pick(strategy) == "a4"
    assert agents.matches_none(strategy, Filter(status=[]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_never_one_whose_connection_is_lost_whatever_the_filter_says(strategy: Strategy) -> None:
    agents = Fleet(record(1, connection="lost"))
    assert agents.matches_none(strategy)
    assert agents.matches_none(strategy, Filter(status="healthy"))
    assert agents.matches_none(strategy, Filter(name="a1"))
    agents.put(record(2, connection="http"))
    assert {agents.pick(strategy) for _ in range(5)} == {"a2"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_never_one_that_was_lost_a_moment_ago(strategy: Strategy) -> None:
    agents = fleet(2)
    agents.recently_lost.add(agent_id(0))
    assert {agents.pick(strategy) for _ in range(5)} == {"a1"}
    agents.recently_lost.add(agent_id(1))
    assert agents.matches_none(strategy)
    agents.recently_lost.clear()
    assert {agents.pick("round_robin") for _ in range(4)} == {"a0", "a1"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_agent_matches_in_an_empty_directory(strategy: Strategy) -> None:
    assert Fleet().matches_none(strategy)
    assert fleet(3).matches_none(strategy, Filter(type="other"))


def test_a_filter_that_cannot_be_understood_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        fleet(1).pick(filter=Filter(version="nonsense"))
    assert (caught.value.code, caught.value.field) == ("bad_request", "filter.version")
