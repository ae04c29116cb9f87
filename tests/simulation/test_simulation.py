"""Seeds in numbers: all that ever failed, and the first ones up to at least 500 in all."""

from __future__ import annotations

import os

import pytest

from tests.simulation.campaign import describe, failed_seeds, run_seeds

SEEDS = 500


@pytest.mark.timeout(600)
def test_no_seed_finds_a_history_that_breaks_the_contract() -> None:
    failed = failed_seeds()
    fresh = (seed for seed in range(1, 100_000) if seed not in failed)
    seeds = [*dict.fromkeys(failed)]
    seeds += [next(fresh) for _ in range(max(0, SEEDS - len(seeds)))]
    results = list(run_seeds(seeds, workers=os.cpu_count() or 1))
    assert len(results) == len(seeds) >= SEEDS
    wrong = sorted((each for each in results if each.violations), key=lambda each: each.seed)
    assert not wrong, "\n\n" + "\n".join(map(describe, wrong))
    assert sum(each.acknowledged for each in results) > 100 * SEEDS, "much was acknowledged"
    assert sum(each.losses for each in results) > SEEDS / 20, "the store lost data, too"
