"""Rounds: ours and the baselines in turn, so that what disturbs the machine disturbs all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta

from bench.rig.progress import progress

Rounds = Annotated[int, Meta(ge=1, le=1000, description="rounds; the medians count")]
"""How many, as an option of a scenario."""


async def in_turn(
    what: str, rounds: int, *measures: Callable[[], Awaitable[float]]
) -> list[list[float]]:
    """Measure all in each round, each time beginning with another one: the figures of each.

    The progress is shown as that of `what`.
    """
    figures: list[list[float]] = [[] for _ in measures]
    with progress(what, total=rounds * len(measures)) as step:
        for number in range(rounds):
            for place in range(len(measures)):
                which = (number + place) % len(measures)
                figures[which].append(await measures[which]())
                step()
    return figures
