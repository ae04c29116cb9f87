"""`python -m tests.faults [--rounds N] [--fault NAME ...] [--json]`: many rounds, and a table.

Exit status: 0 when nothing was wrong, 1 otherwise. Everything that was started is ended, also
when it is interrupted; what agents and hubs noted is kept with `--keep DIRECTORY`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.faults.cluster import Cluster
from tests.faults.faults import FAULTS, FaultPlan
from tests.faults.rounds import Outcome, play
from tests.faults.sentinel import SentinelStore
from tests.faults.sharded import ClusterStore
from tests.faults.stores import Store

STORES = {"server": Store, "sentinel": SentinelStore, "cluster": ClusterStore}

WIDTH = max(map(len, FAULTS))


class Line(Struct):
    """One line of the table."""

    fault: str
    runs: int
    acknowledged: int
    lost: int
    since_begin: float
    since_end: float | None
    unreachable: int
    violations: int


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each fault (default: 3)")
    parser.add_argument(
        "--fault", action="append", choices=FAULTS, help="only this one; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    parser.add_argument("--keep", type=Path, help="where to keep notes and logs")
    given = parser.parse_args(arguments)
    plans = [FAULTS[name] for name in given.fault or FAULTS]
    for number in (signal.SIGINT, signal.SIGTERM):  # a run in the background ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    outcomes: list[Outcome] = []
    try:
        with tempfile.TemporaryDirectory(prefix="hpf-", dir="/tmp") as temporary:
            directory = given.keep or Path(temporary)
            for kind, store in STORES.items():
                mine = [plan for plan in plans if plan.store == kind]
                outcomes += _play(mine, given.rounds, directory / kind, store)
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        return 1
    if given.json:
        print(msgspec.json.encode(outcomes).decode())
    else:
        print(_table(outcomes))
    return 1 if any(each.wrong for each in outcomes) else 0


def _play(
    plans: list[FaultPlan], rounds: int, directory: Path, store: type[Store]
) -> list[Outcome]:
    if not plans:
        return []
    outcomes = []
    directory.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(directory, store())
    try:
        cluster.start()
        for number in range(rounds):
            for plan in plans:
                print(f"… {plan.name}, round {number + 1}", file=sys.stderr, flush=True)
                outcomes.append(play(cluster, plan, directory))
                for words in outcomes[-1].wrong:
                    print(f"  WRONG {words}", file=sys.stderr, flush=True)
    finally:
        cluster.end()
    return outcomes


def _lines(outcomes: list[Outcome]) -> list[Line]:
    lines = []
    for name in dict.fromkeys(each.fault for each in outcomes):
        mine = [each for each in outcomes if each.fault == name]
        times = [each.since_end for each in mine]
        known = [each for each in times if each is not None]
        lines.append(
            Line(
                name,
                len(mine),
                sum(each.acknowledged for each in mine),
                sum(len(each.lost) for each in mine),
                max(each.since_begin for each in mine),
                max(known) if len(known) == len(times) else None,
                sum(len(each.unreachable) for each in mine),
                sum(len(each.wrong) for each in mine),
            )
        )
    return lines


def _table(outcomes: list[Outcome]) -> str:
    rows = [
        f"{'fault':<{WIDTH}}  runs  acknowledged  lost  back from begin, end  unreachable  wrong"
    ]
    for each in _lines(outcomes):
        end = "never" if each.since_end is None else f"{each.since_end:.2f} s"
        rows.append(
            f"{each.fault:<{WIDTH}}  {each.runs:>4}  {each.acknowledged:>12,}  {each.lost:>4}  "
            f"{each.since_begin:>8.2f} s  {end:>8}  {each.unreachable:>11}  {each.violations:>5}"
        )
    rows += [
        "",
        "acknowledged: changes that a hub acknowledged; lost: those that were gone at the end",
        "back: the longest time from a fault's begin, and from its end, until all living agents "
        "had a session and were found well at every hub",
        "unreachable: living agents, of those that nothing was done to, ever told so",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
