"""`least_loaded`: bursts spread between two readings, and the less busy agents get more."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from msgspec import UNSET, structs

from actors.directory.directory import Directory
from actors.directory.least_loaded import MAX_RANKINGS
from actors.directory.pick import Picker
from actors.runtime.turns import complete
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import AgentRecord
from tests.support.records import agent_id, record


class Fleet:
    """Agents `a0`, `a1`, ... with these loads; None for one that reports none."""

    def __init__(self, *loads: float | None) -> None:
        self.directory = Directory()
        self.picker = Picker(self.directory, random.Random(5))
        self.recently_lost: set[str] = set()
        self.seen = 0
        for number, load in enumerate(loads):
            self.put(number, load)

    def put(self, number: int, load: float | None, **fields: Any) -> None:
        """A change of the agent."""
        each = self._record(number, load, **fields)
        self.directory.put(each, encode(each))

    def hear(self, number: int, load: float | None) -> None:
        """A heartbeat of the agent, which may move its load."""
        each = self._record(number, load)
        self.directory.refresh(each, encode(each))

    def _record(self, number: int, load: float | None, **fields: Any) -> AgentRecord:
        self.seen += 1
        each = record(number, **({} if load is None else {"load": load}), **fields)
        return structs.replace(each, last_seen=f"2026-11-20T12:00:00.{self.seen:06d}Z")

    def pick(self, filter: Filter = MATCH_ALL) -> str:
        picking = self.picker.pick(filter, "least_loaded", None, self.recently_lost)
        return complete(picking).record.name

    def picks(self, count: int, filter: Filter = MATCH_ALL) -> list[int]:
        """How many of so many picks each agent got."""
        got = Counter(self.pick(filter) for _ in range(count))
        return [got[f"a{number}"] for number in range(len(self.directory))]


# --- how a thousand picks are shared -------------------------------------------------------------


@pytest.mark.parametrize("load", [0.0, 0.3, 40.0, 1e300, None])
@pytest.mark.parametrize("agents", [2, 3, 7, 300])
def test_equal_agents_get_equal_shares_of_a_thousand_picks(agents: int, load: float | None) -> None:
    got = Fleet(*[load] * agents).picks(1000)
    assert sum(got) == 1000
    assert max(got) - min(got) <= 1


def test_nearly_equal_agents_share_nearly_equally() -> None:
    assert Fleet(0.10, 0.11, 0.12).picks(1000) == pytest.approx([359, 332, 309], abs=2)
    got = Fleet(0.10, 0.11, 0.12).picks(30)
    assert max(got) - min(got) <= 2, "a short burst, too"


def test_unequal_agents_get_the_less_the_busier_they_are() -> None:
    # Shares go with 1 / (load + 0.1): 5, 1.667 and 1 of 7.667.
    assert Fleet(0.1, 0.5, 0.9).picks(1000) == pytest.approx([652, 217, 130], abs=2)


@pytest.mark.parametrize("unit", [0.001, 100.0, 1e6])
def test_the_unit_of_loads_makes_no_difference(unit: float) -> None:
    loads = [0.1, 0.5, 0.9, 0.0, 0.3]
    assert Fleet(*(load * unit for load in loads)).picks(1000) == pytest.approx(
        Fleet(*loads).picks(1000), abs=2
    )


def test_an_idle_agent_among_queues_is_filled_up_and_not_buried() -> None:
    got = Fleet(0.0, *[3.0] * 9).picks(30)
    # Shares go with 1 / (load + 0.6): 1.667 and nine times 0.278 of 4.167.
    assert got[0] == pytest.approx(12, abs=2)
    assert min(got[1:]) >= 1


def test_the_first_picks_go_to_the_least_busy() -> None:
    agents = Fleet(0.9, 0.1, 0.5, 9.0)
    assert agents.pick() == "a1"
    assert agents.pick() == "a1"
    assert agents.picks(10)[3] == 0
    assert Fleet(3.0, 0.5, 7.0).picks(3) == [0, 3, 0], "what is much less busy gets the first few"


def test_an_agent_that_reports_no_load_comes_last_but_comes() -> None:
    agents = Fleet(None, None, 1e300, 2.0)
    assert agents.picks(100)[:2] == [0, 0]
    agents.directory.remove(agent_id(2))
    agents.directory.remove(agent_id(3))
    assert agents.picks(100) == [50, 50], "and these share equally"


# --- readings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["hear", "put"])
def test_a_reading_ends_the_count(way: str) -> None:
    agents = Fleet(1.0, 2.0)
    agents.picks(50)
    getattr(agents, way)(0, 1.0)
    assert [agents.pick() for _ in range(3)] == ["a0"] * 3, "the other one was picked many times"


@pytest.mark.parametrize("way", ["hear", "put"])
def test_a_load_that_moves_is_followed_at_once(way: str) -> None:
    agents = Fleet(1.0, 2.0)
    assert agents.pick() == "a0"
    getattr(agents, way)(0, 3.0)
    getattr(agents, way)(1, 0.5)
    assert agents.pick() == "a1"
    getattr(agents, way)(0, 0.0)
    assert agents.pick() == "a0"


def test_agents_that_heartbeat_regularly_share_by_their_load_for_ever() -> None:
    agents = Fleet(0.1, 0.1, 0.9)
    got = [0, 0, 0]
    for _ in range(100):
        got = [sum(each) for each in zip(got, agents.picks(10), strict=True)]
        for number, load in enumerate((0.1, 0.1, 0.9)):
            agents.hear(number, load)
    assert got[0] == pytest.approx(got[1], abs=40)
    assert got[2] < 150


def test_a_newcomer_is_not_flooded_because_the_others_have_been_picked_for_long() -> None:
    agents = Fleet(0.5, 0.5)
    for _ in range(50):
        agents.picks(20)
        agents.hear(0, 0.5)
        agents.hear(1, 0.5)
    agents.put(2, 0.5)
    assert agents.picks(30) == [10, 10, 10]


# --- filters, exclusion and change ---------------------------------------------------------------


def test_picks_count_whatever_filter_they_were_made_with() -> None:
    agents = Fleet(0.2, 0.2)
    for _ in range(10):
        agents.pick(Filter(name="a0"))
    assert agents.picks(10) == [0, 10]
    assert agents.picks(10, Filter(type="cost")) == [5, 5]


def test_what_changes_between_picks_is_taken_in() -> None:
    agents = Fleet(0.1, 0.5, 0.9)
    assert agents.pick() == "a0"
    agents.put(0, 0.1, status="degraded")
    assert agents.pick() == "a1"
    agents.put(1, 0.5, connection="lost")
    assert agents.pick() == "a2"
    agents.directory.remove(agent_id(2))
    with pytest.raises(ProtocolError):
        agents.pick()
    agents.put(0, 0.1)
    assert agents.pick() == "a0"


def test_one_that_was_lost_a_moment_ago_is_passed_over_and_comes_back_in_its_place() -> None:
    agents = Fleet(0.1, 0.5)
    agents.recently_lost.add(agent_id(0))
    assert agents.picks(5) == [0, 5]
    agents.recently_lost.clear()
    assert agents.pick() == "a0"


def test_picks_that_are_under_way_together_spread_as_well() -> None:
    agents = Fleet(*[0.10 + number / 10_000 for number in range(1000)])
    under_way = [agents.picker.pick(MATCH_ALL, "least_loaded", None, ()) for _ in range(500)]
    got: Counter[str] = Counter()
    while under_way:
        for each in [*under_way]:
            try:
                next(each)
            except StopIteration as end:
                got[end.value.record.name] += 1
                under_way.remove(each)
    assert sum(got.values()) == 500
    assert max(got.values()) == 1


def test_the_rankings_are_bounded() -> None:
    agents = Fleet(*[0.5] * 10)
    for number in range(MAX_RANKINGS + 50):
        with pytest.raises(ProtocolError):
            agents.pick(Filter(name=f"nobody-{number}"))
    rankings = agents.picker._least_loaded._rankings
    assert len(rankings) <= MAX_RANKINGS
    for number in range(5000):
        agents.hear(number % 10, number / 5000)
        agents.pick()
    assert all(len(each.heap) < 500 for each in rankings.values()), "stale items are thrown away"


# --- against a naive model -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_the_picked_one_has_the_lowest_rank_of_all_that_may_be_picked(seed: int) -> None:
    """As if all agents were ranked anew for each pick."""
    chance = random.Random(seed)
    agents = Fleet()
    counts: Counter[str] = Counter()
    filters = [MATCH_ALL, Filter(name="a1"), Filter(status=["healthy", "degraded"])]
    for _ in range(400):
        number = chance.randrange(8)
        load = chance.choice([None, 0.0, 0.5, 0.5, chance.random() * 4])
        match chance.randrange(6):
            case 0:
                status = chance.choice(["healthy", "healthy", "degraded"])
                connection = chance.choice(["websocket", "websocket", "lost"])
                agents.put(number, load, status=status, connection=connection)
                counts[agent_id(number)] = 0
            case 1 if (known := agents.directory.get(agent_id(number))) is not None:
                same = structs.replace(
                    known.record, load=UNSET if load is None else load, last_seen=str(chance)
                )
                if counts[same.id] or same.load != known.record.load:
                    counts[same.id] = 0
                agents.directory.refresh(same, encode(same))
            case 2 if chance.random() < 0.2:
                agents.directory.remove(agent_id(number))
                counts[agent_id(number)] = 0
            case 3:
                agents.recently_lost ^= {agent_id(number)}
            case _:
                wanted = chance.choice(filters)
                _check(agents, counts, wanted)


def _check(agents: Fleet, counts: Counter[str], wanted: Filter) -> None:
    accepted = ["healthy"] if wanted.status is UNSET else wanted.status
    able = []
    for each in agents.directory.ids():
        entry = agents.directory.get(each)
        assert entry is not None
        one = entry.record
        if (
            one.status in accepted
            and wanted.name in (UNSET, one.name)
            and one.health.connection != "lost"
            and each not in agents.recently_lost
        ):
            able.append(one)
    try:
        picked = complete(
            agents.picker.pick(wanted, "least_loaded", None, agents.recently_lost)
        ).record
    except ProtocolError:
        assert able == []
        return
    ranking = next(reversed(agents.picker._least_loaded._rankings.values()))

    def rank(one: AgentRecord) -> tuple[bool, float]:
        if one.load is UNSET:
            return True, float(counts[one.id])
        return False, (one.load + ranking.softening) * (counts[one.id] + 1)

    assert picked in able
    assert rank(picked) == min(map(rank, able))
    counts[picked.id] += 1
