"""`python -m bench.proofs` lists the proofs; `python -m bench.proofs NAME [OPTIONS]` runs one.

Exit status: 0 when everything held, 1 when something did not or the run could not be finished,
2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

from msgspec import Struct

from bench.errors import BenchError
from bench.options import parse
from bench.proofs import (
    agent_death,
    cluster_lag,
    failover,
    fleet,
    redis_stop,
    restart,
    rolling,
    silence,
)
from bench.report import Report
from bench.scenario import Scenario

PROOFS: dict[str, Scenario] = {
    proof.name: proof
    for proof in (
        restart.PROOF,
        fleet.PROOF,
        silence.PROOF,
        agent_death.PROOF,
        redis_stop.PROOF,
        failover.PROOF,
        rolling.PROOF,
        cluster_lag.PROOF,
    )
}
PROGRAM = "python -m bench.proofs"


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    proof = PROOFS.get(arguments[0])
    if proof is None:
        print(
            f"there is no proof {arguments[0]!r}; there are: {', '.join(PROOFS)}", file=sys.stderr
        )
        return 2
    options, as_json = parse(
        proof.options,
        arguments[1:],
        program=f"{PROGRAM} {proof.name}",
        description=f"Proves: {proof.title}.",
    )
    logging.getLogger("homeport.client").setLevel(logging.CRITICAL)  # the proofs cut connections
    try:
        report = asyncio.run(_run(proof, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        return 1
    except BenchError as error:
        notes = getattr(error, "__notes__", [])
        print("\n".join([f"{proof.name}: {error}", *notes]), file=sys.stderr)
        return 1
    print(report.as_json() if as_json else report.as_text())
    return 0 if report.holds else 1


async def _run(proof: Scenario, options: Struct) -> Report:
    task = asyncio.current_task()
    assert task is not None
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await proof.run(options)
    except ExceptionGroup as errors:  # of tasks that ran side by side
        ours, others = errors.split(BenchError)
        if ours is None or others is not None:
            raise
        raise _first(ours) from None


def _first(errors: ExceptionGroup[BenchError]) -> BenchError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _overview() -> str:
    width = max(map(len, PROOFS))
    lines = [f"usage: {PROGRAM} NAME [OPTIONS] [--json]", ""]
    lines += [f"  {proof.name:<{width}}  {proof.title}" for proof in PROOFS.values()]
    lines += ["", f"{PROGRAM} NAME --help tells the options of one."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
