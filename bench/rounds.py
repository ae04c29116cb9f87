"""Rounds: ours and the baseline in turn, so that what disturbs the machine disturbs both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Measure = Callable[[], Awaitable[float]]


async def alternate(
    rounds: int, own: Measure, baseline: Measure, told: Callable[[], None] = lambda: None
) -> tuple[list[float], list[float]]:
    """Measure both in each round, in turns as to which is first: ours and the baseline's figures.

    `told` is called after each measurement, for a progress bar.
    """
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        pair = [(own, ours), (baseline, theirs)]
        for measure, figures in pair if number % 2 == 0 else reversed(pair):
            figures.append(await measure())
            told()
    return ours, theirs
