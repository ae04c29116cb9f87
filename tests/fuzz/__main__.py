"""`python -m tests.fuzz frames|messages|http|strangers`: send a hub what nobody should send it."""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.campaign import ROUND, fuzz
from tests.fuzz.parts import PARTS, hub_for


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=PARTS, help="what is made up")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long")
    parser.add_argument("--rounds", type=int, help=f"so many rounds of {ROUND} examples instead")
    parser.add_argument("--seed", type=int, help="of the first round; by default the time")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    with hub_for(options.what) as target:
        report = fuzz(
            target,
            options.what,
            PARTS[options.what],
            seed=seed,
            rounds=options.rounds,
            minutes=options.minutes,
        )
    for find in report.finds:
        print(find, end="\n\n")
    print(f"seed {seed}: {report}")
    return bool(report.finds)


if __name__ == "__main__":
    sys.exit(main())
