"""Run scenarios one after the other; a failure loses nothing of what others found."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import traceback
from collections.abc import Sequence

from msgspec import Struct

from bench.errors import BenchError
from bench.results.document import Failure, Result
from bench.results.report import Report
from bench.rig.machine import Others
from bench.rig.progress import bars, say
from bench.scenario import Scenario


def run_all(result: Result, scenarios: Sequence[Scenario], options: dict[str, Struct]) -> None:
    """Run all, each on a new event loop, and add reports and failures to `result`.

    When it is interrupted it ends early, after everything that was started has been ended.
    """
    logging.getLogger("homeport.client").setLevel(logging.CRITICAL)  # scenarios cut connections
    try:
        with bars():
            for number, scenario in enumerate(scenarios, 1):
                if len(scenarios) > 1:
                    say(f"{number} of {len(scenarios)}: {scenario.name} ({scenario.title})")
                _run_one(result, scenario, options[scenario.name])
    except (KeyboardInterrupt, asyncio.CancelledError):
        result.interrupted = True


def _run_one(result: Result, scenario: Scenario, options: Struct) -> None:
    machine = Others()
    try:
        report = asyncio.run(_run(scenario, options))
        if not any(getattr(options, each, "") for each in ("url", "peer")):
            report.others = machine.share()  # else the servers that are there already count as well
        result.reports.append(report)
        return
    except BenchError as error:
        why = "; ".join([str(error), *getattr(error, "__notes__", [])])
    except Exception as error:  # a bug of the scenario
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
    result.failures.append(Failure(scenario.name, why))
    print(f"{scenario.name}: {why}", file=sys.stderr, flush=True)


async def _run(scenario: Scenario, options: Struct) -> Report:
    task = asyncio.current_task()
    assert task is not None
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await scenario(options)
    except ExceptionGroup as errors:  # of tasks that ran side by side
        ours, others = errors.split(BenchError)
        if ours is None or others is not None:
            raise
        raise _first(ours) from None


def _first(errors: ExceptionGroup[BenchError]) -> BenchError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
