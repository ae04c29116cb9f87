"""Queries that are interrupted: whatever changes meanwhile, they answer for their end."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

import pytest
from msgspec import UNSET

from actors.directory import changes, directory, indexes, matches, pick
from actors.directory.directory import Directory, Page
from actors.directory.pick import Picker
from actors.directory.predicates import compile_filter
from actors.runtime.turns import Steps, complete
from homeport_protocol.bounds import STATUSES, STRATEGIES
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from tests.support.records import agent_id, record

T = TypeVar("T")

FILTERS = [
    Filter(),
    Filter(type="cost"),
    Filter(metadata={"zone": "a"}),
    Filter(metadata={"zone": "a"}, status="healthy"),
    Filter(metadata={"zone": "b", "shelf": "1"}, type="cost"),
    Filter(any_capability=["x", "y"]),
    Filter(version=">=1.5"),
    Filter(status=["degraded", "unhealthy"], capabilities=["x"]),
]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few agents are handled in as many steps as many are."""
    monkeypatch.setattr(matches, "LOOKED_AT", 3)
    monkeypatch.setattr(matches, "TRIED", 2)
    monkeypatch.setattr(matches, "SORTED", 2)
    monkeypatch.setattr(directory, "LONG", 2)
    monkeypatch.setattr(directory, "AT_ONCE", 3)
    monkeypatch.setattr(directory, "FEW_AT_ONCE", 2)
    monkeypatch.setattr(indexes, "INDEXED", 2)
    monkeypatch.setattr(pick, "LOOKED_AT", 2)
    monkeypatch.setattr(changes, "FEW_CHANGES", 4)


class World:
    """A directory that changes at random."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.directory = Directory()
        self.picker = Picker(self.directory, self.random)
        for _ in range(30):
            self.change()

    def change(self) -> None:
        random = self.random
        number = random.randrange(25)
        if random.random() < 0.25:
            self.directory.remove(agent_id(number))
            return
        made = record(
            number,
            type=random.choice(["cost", "gpu"]),
            status=random.choice(STATUSES),
            capabilities=random.sample(["x", "y", "z"], random.randrange(4)),
            version=random.choice(["1.0", "1.5", "2.0", "none"]),
            metadata={"zone": random.choice("ab"), "shelf": random.choice("12")},
        )
        self.directory.put(made, encode(made))

    def matching(self, filter: Filter) -> list[AgentRecord]:
        predicate = compile_filter(filter)
        entries = [self.directory.get(each) for each in self.directory.ids()]
        records = [entry.record for entry in entries if entry is not None]
        return [each for each in records if predicate is None or predicate(each)]


@pytest.mark.parametrize("seed", range(20))
def test_a_find_answers_for_the_moment_of_its_end(seed: int) -> None:
    world = World(seed)
    random = world.random
    under_way: list[tuple[Filter, int | None, Steps[Page]]] = []
    answered = interrupted = 0
    while answered < 60:
        if len(under_way) < 5:
            filter, limit = random.choice(FILTERS), random.choice([None, 4, 100])
            under_way.append((filter, limit, world.directory.find(filter, limit, None)))
        for _ in range(random.randrange(4)):
            world.change()
        at = random.randrange(len(under_way))
        filter, limit, steps = under_way[at]
        if random.random() < 0.02:
            steps.close()
            del under_way[at]
            continue
        try:
            next(steps)
            interrupted += 1
        except StopIteration as stop:
            page: Page = stop.value
            expected = world.matching(filter)[:limit]
            assert page.agents == [encode(each) for each in expected]
            del under_way[at]
            answered += 1
    for _, _, steps in under_way:
        steps.close()
    assert interrupted > answered
    kept = world.directory._changes
    assert not kept._kept, "nothing is kept for queries that have ended"
    for _ in range(20):
        world.change()
    assert len(kept._ids) <= changes.FEW_CHANGES
    assert not world.directory._indexes._building


@pytest.mark.parametrize("seed", range(10))
def test_a_pick_is_an_agent_that_fits_at_its_end(seed: int) -> None:
    world = World(seed)
    random = world.random
    for _ in range(60):
        filter, strategy = random.choice(FILTERS), random.choice(STRATEGIES)
        steps = world.picker.pick(filter, strategy, "key", ())
        picked = outcome(steps, lambda: [world.change() for _ in range(random.randrange(2))])
        fits = world.matching(filter)
        if filter.status is UNSET:
            fits = [each for each in fits if each.status == "healthy"]
        if isinstance(picked, ProtocolError):
            assert picked.code == "no_match"
        else:
            assert picked.record in fits


def outcome(steps: Steps[T], between: Callable[[], object]) -> T | ProtocolError:
    """What the steps come to, with something between each two of them."""
    while True:
        between()
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
        except ProtocolError as error:
            return error


def test_sticky_and_least_loaded_choose_the_same_in_many_steps_as_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(1)
    for number in range(25):
        made = record(number, load=float((number * 7) % 25))
        world.directory.put(made, encode(made))
    few = [complete(world.picker.pick(Filter(), "sticky", f"{n}", ())).record.id for n in range(50)]
    least = complete(world.picker.pick(Filter(), "least_loaded", None, ())).record
    monkeypatch.setattr(pick, "LOOKED_AT", 1000)
    one = [complete(world.picker.pick(Filter(), "sticky", f"{n}", ())).record.id for n in range(50)]
    assert few == one
    assert len(set(few)) > 10
    assert (least.id, least.load) == (agent_id(0), 0.0)
