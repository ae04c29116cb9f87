"""`python -m tests.simulation`: run a campaign of seeds, or replay one."""

from __future__ import annotations

import argparse
import itertools
import sys
import time

from tests.simulation.campaign import Result, describe, run_seed, run_seeds
from tests.simulation.simulation import Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--long", action="store_true", help="go on until stopped")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this one again")
    parser.add_argument("-v", "--verbose", action="store_true", help="print everything said")
    options = parser.parse_args()
    if options.replay is not None:
        return replay(options.replay, verbose=options.verbose)
    return campaign(options.first, None if options.long else options.seeds, options.workers)


def replay(seed: int, *, verbose: bool) -> int:
    """Run a seed again, exactly; with a readable trace if wanted."""
    if verbose:
        print(Simulation(seed).scenario)
        outcome = Simulation(seed, print).run()
        result = Result(seed, outcome.violations, outcome.trace, outcome.acknowledged, 0, None)
    else:
        result = run_seed(seed)
    print(f"trace {result.trace}")
    print(describe(result) if result.violations else f"seed {seed}: all well")
    return bool(result.violations)


def campaign(first: int, count: int | None, workers: int) -> int:
    """Run seeds and print each that fails."""
    seeds = itertools.count(first) if count is None else range(first, first + count)
    began, ran, failed, acknowledged = time.monotonic(), 0, [], 0
    slowest = 0.0
    try:
        for result in run_seeds(seeds, workers):
            ran += 1
            acknowledged += result.acknowledged
            slowest = max(slowest, result.until_found or 0.0)
            if result.violations:
                failed.append(result.seed)
                print(describe(result), flush=True)
            if count is None and ran % 500 == 0:
                print(f"{ran} seeds, {len(failed)} failed", flush=True)
    except KeyboardInterrupt:
        pass
    took = time.monotonic() - began
    print(
        f"{ran} seeds in {took:.1f} s ({ran / took:.1f} seeds/s on {workers} processes), "
        f"{len(failed)} failed{': ' + ' '.join(map(str, sorted(failed))) if failed else ''}; "
        f"{acknowledged} requests acknowledged; all living agents were found at every hub "
        f"at most {slowest:.0f} s after faults ended"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
