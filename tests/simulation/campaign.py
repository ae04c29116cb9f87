"""Many seeds, on several processes."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct

from tests.history.checks import Violation
from tests.simulation.simulation import Simulation

SEEDS = Path(__file__).with_name("seeds.txt")
"""Every seed that ever failed, each with what it found."""


PORTION = 1000
"""Seeds that are handed out at a time."""


class Result(Struct):
    """What a campaign keeps of a seed."""

    seed: int
    violations: list[Violation]
    trace: str
    acknowledged: int
    losses: int
    until_found: float | None


def run_seed(seed: int) -> Result:
    """Run one seed; what it raises is a violation too."""
    try:
        outcome = Simulation(seed).run()
    except Exception as error:
        words = "".join(traceback.format_exception(error)[-4:])
        return Result(seed, [Violation("the_run_ends", words)], "", 0, 0, None)
    return Result(
        seed,
        outcome.violations,
        outcome.trace,
        outcome.acknowledged,
        len(outcome.history.losses),
        outcome.until_found,
    )


def run_seeds(seeds: Iterable[int], workers: int) -> Iterator[Result]:
    """Run all seeds, each in one of `workers` processes; results come as they are ready."""
    if workers <= 1:
        yield from map(run_seed, seeds)
        return
    seeds = iter(seeds)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        while some := list(islice(seeds, PORTION)):  # a pool would read on without end
            yield from pool.imap_unordered(run_seed, some, chunksize=4)


def failed_seeds() -> list[int]:
    """The seeds that ever failed, in the order in which they did."""
    lines = SEEDS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def describe(result: Result) -> str:
    """What is wrong with a seed, and how to see it again."""
    lines = [f"seed {result.seed}:"]
    lines += [f"  {each.checker}: {each.words}" for each in result.violations[:12]]
    if len(result.violations) > 12:
        lines.append(f"  … and {len(result.violations) - 12} more")
    lines.append(f"  replay: python -m tests.simulation --replay {result.seed} -v")
    return "\n".join(lines)
