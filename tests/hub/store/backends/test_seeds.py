"""Seed nodes: which is asked first, which are skipped, and the error when none knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError, ResponseError

from hub.store.backends.seeds import NoSeedAnsweredError, SeedNodes

A, B, C = ("a", 1), ("b", 2), ("c", 3)
RIGHT, WRONG = ("right", 9), ("wrong", 9)


class World:
    """What each seed says (an exception, a place, or nothing for ever), and whom was asked."""

    def __init__(self, **said: Any) -> None:
        self.said = said
        self.asked = ""

    async def ask(self, seed: tuple[str, int]) -> tuple[str, int]:
        self.asked += seed[0]
        answer = self.said[seed[0]]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return answer

    async def reach(self, place: tuple[str, int]) -> Any:
        self.asked += "!"
        if place == WRONG:
            raise ConnectionError("wrong")
        return place

    async def connect_via(self, seeds: SeedNodes) -> Any:
        """Where it led, and who was asked, in turn; each place that was tried is a "!"."""
        self.asked = ""
        return await seeds.connect_via(self.ask, self.reach), self.asked


async def test_the_guide_that_was_right_last_is_asked_first() -> None:
    seeds = SeedNodes([A, B, C], 1.0)
    world = World(a=OSError(), b=RIGHT, c=RIGHT)
    assert await world.connect_via(seeds) == (RIGHT, "ab!")
    assert await world.connect_via(seeds) == (RIGHT, "b!")
    world.said["b"] = ResponseError("no")
    assert await world.connect_via(seeds) == (RIGHT, "bc!")
    assert seeds.addresses == [C, A, B]


async def test_a_guide_that_leads_astray_is_passed_over_and_no_place_is_tried_twice() -> None:
    seeds = SeedNodes([A, B, C], 1.0)
    world = World(a=WRONG, b=WRONG, c=RIGHT)
    assert await world.connect_via(seeds) == (RIGHT, "a!bc!")
    assert await world.connect_via(seeds) == (RIGHT, "c!")


async def test_what_became_of_the_place_is_told_rather_than_of_the_seeds() -> None:
    with pytest.raises(ConnectionError, match="wrong"):
        await World(a=WRONG, b=OSError()).connect_via(SeedNodes([A, B], 1.0))


async def test_when_nobody_knows_every_reason_is_there() -> None:
    reasons = [OSError("1"), ResponseError("2")]
    with pytest.raises(NoSeedAnsweredError) as caught:
        await World(a=reasons[0], b=reasons[1]).connect_via(SeedNodes([A, B], 1.0))
    assert caught.value.problems == reasons


async def test_a_silent_guide_costs_its_patience_once() -> None:
    seeds = SeedNodes([A, B], 0.01)
    world = World(a=None, b=RIGHT)
    assert await world.connect_via(seeds) == (RIGHT, "ab!")
    assert await world.connect_via(seeds) == (RIGHT, "b!")


async def test_a_caller_that_gives_up_leaves_the_silent_guide_last() -> None:
    seeds = SeedNodes([A, B], 60.0)
    world = World(a=None, b=RIGHT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await world.connect_via(seeds)
    assert await world.connect_via(seeds) == (RIGHT, "b!")


async def test_guides_that_are_learnt_come_last_and_those_that_have_left_are_forgotten() -> None:
    seeds = SeedNodes([A], 1.0)
    seeds.learn([C, B])
    assert seeds.addresses == [A, B, C]
    world = World(a=OSError(), b=OSError(), c=RIGHT)
    assert await world.connect_via(seeds) == (RIGHT, "abc!")
    seeds.learn([C])
    assert seeds.addresses == [C, A]
    seeds.learn([])
    assert seeds.addresses == [A]  # an address from the URL is never forgotten
