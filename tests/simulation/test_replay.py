"""A seed is a whole history: it comes out the same wherever and whenever it is run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.campaign import describe, failed_seeds, run_seed
from tests.simulation.scenario import scenario_of
from tests.simulation.simulation import Simulation

SEEDS = [3, 14, 253]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_replays_exactly(seed: int) -> None:
    assert run_seed(seed).trace == run_seed(seed).trace != ""


def test_printing_the_trace_changes_nothing() -> None:
    lines: list[str] = []
    printed = Simulation(14, lines.append).run()
    assert printed.trace == run_seed(14).trace
    assert any("heartbeat_ack" in line for line in lines)
    assert any("store logs" in line for line in lines)


@pytest.mark.parametrize("hashing", ["1", "2"])
def test_a_seed_replays_exactly_in_a_process_that_hashes_otherwise(hashing: str) -> None:
    code = (
        "from tests.simulation.campaign import run_seed\n"
        f"print(*(run_seed(seed).trace for seed in {SEEDS}))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hashing},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == [run_seed(seed).trace for seed in SEEDS]


def test_the_command_replays_a_seed() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--replay", "3", "-v"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"trace {run_seed(3).trace}" in done.stdout
    assert "seed 3: all well" in done.stdout


def test_other_seeds_are_other_scenarios() -> None:
    scenarios = [scenario_of(seed) for seed in range(200)]
    kinds = {fault.kind for scenario in scenarios for fault in scenario.faults}
    assert len(kinds) == 15, "every kind of fault is planned"
    assert {scenario.hubs for scenario in scenarios} == {2, 3, 4}
    assert max(scenario.agents + scenario.callers for scenario in scenarios) > 100
    assert any(not scenario.faults for scenario in scenarios)


def test_what_is_raised_is_a_violation_and_tells_how_to_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: Simulation) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Simulation, "run", broken)
    result = run_seed(7)
    assert [each.checker for each in result.violations] == ["the_run_ends"]
    assert "boom" in describe(result)
    assert "python -m tests.simulation --replay 7 -v" in describe(result)


def test_failed_seeds_are_kept() -> None:
    assert len(failed_seeds()) == len(set(failed_seeds())) > 10
