"""Rounds: ours and the baseline in turn, so that what disturbs the machine disturbs both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta

Measure = Callable[[], Awaitable[float]]

Rounds = Annotated[int, Meta(ge=1, le=1000, description="rounds; the medians count")]
"""How many, as an option of a scenario."""


async def alternate(
    rounds: int, own: Measure, baseline: Measure, told: Callable[[], None] = lambda: None
) -> tuple[list[float], list[float]]:
    """Measure both in each round, in turns as to which is first: ours and the baseline's figures.

    `told` is called after each measurement, for a progress bar.
    """
    ours, theirs = await in_turn(rounds, own, baseline, told=told)
    return ours, theirs


async def in_turn(
    rounds: int, *measures: Measure, told: Callable[[], None] = lambda: None
) -> list[list[float]]:
    """Measure all in each round, each time beginning with another one: the figures of each."""
    figures: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        for place in range(len(measures)):
            which = (number + place) % len(measures)
            figures[which].append(await measures[which]())
            told()
    return figures
