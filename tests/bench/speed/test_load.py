"""Each speed scenario of websockets in a tiny form: that it measures and checks, never how fast."""

from __future__ import annotations

from types import ModuleType

import pytest
from msgspec import Struct

from bench.baselines.__main__ import SERVERS
from bench.baselines.__main__ import main as serve_baseline
from bench.results.report import Report
from bench.rig.processes import HubProcess, temporary_directory
from bench.scenario import Scenario
from bench.speed import find, growth, heartbeats, hubs
from bench.speed.scene import Scene, sizes
from tests.bench.left import agents_left

QUICK = {"rounds": 1, "seconds": 0.1, "warm_up": 0.05}

SMALL = {
    "heartbeats": heartbeats.Options(**QUICK, connections=3, pipelined=4),
    "growth": growth.Options(**QUICK, fleets="2,5", in_flight=2),
    "find": find.Options(**QUICK, fleets="20,40", connections=2),
    "hubs": hubs.Options(**QUICK, connections=6, outstanding=2, processes=2),
}
SCENARIOS: list[Scenario] = [each.SCENARIO for each in (heartbeats, growth, find, hubs)]


def holds(report: Report) -> bool:
    """Whether all was right, and something was measured each time."""
    assert [check for check in report.checks if not check.holds] == []
    assert report.checks
    return all(value > 0 for goal in report.goals for value in goal.own + goal.against)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_scenario_measures_and_finds_every_answer_right(scenario: Scenario) -> None:
    options: Struct = SMALL[scenario.name]
    report = await scenario.run(options)

    assert holds(report)
    assert report.goals
    assert any("share of a core, load" in figure.what for figure in report.figures)


def test_heartbeats_are_judged_against_asyncios_own_loop_and_the_rest_is_context() -> None:
    judged = {each.name: (each.must, each.aim) for each in heartbeats.ONE_OUTSTANDING}
    assert judged.pop("websockets") == (1.3, 1.6)
    assert set(judged.values()) == {(None, None)}
    assert not SERVERS["websockets"].uvloop


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (heartbeats, heartbeats.Options(**QUICK, connections=2, pipelined=2)),
        (growth, growth.Options(**QUICK, fleets="1,2", in_flight=1)),
        (find, find.Options(**QUICK, fleets="20", connections=2)),
    ],
    ids=["heartbeats", "growth", "find"],
)
async def test_a_hub_that_is_there_is_measured_and_left_as_it_was(
    module: ModuleType, options: Struct
) -> None:
    with temporary_directory() as directory:
        async with HubProcess(directory, redis="memory://") as hub:
            options = type(options)(**{**_fields(options), "url": hub.url})
            assert holds(await module.run(options))
            assert await agents_left(hub.url) == {0}


async def test_a_load_of_several_processes_shares_the_work() -> None:
    talk = heartbeats.echo(40, 1)
    async with Scene(heartbeats.Options(**QUICK, processes=3)) as scene:
        bare = await scene.bare("websockets")
        driven = await scene.connect(bare, talk, 5, in_flight=4)
        assert await driven.rate() > 0
        report = heartbeats.SCENARIO.report(heartbeats.Options())
        driven.tell(report, "echo")
    assert holds(report)


async def test_an_answer_that_is_not_as_it_must_be_fails_the_run() -> None:
    async with Scene(heartbeats.Options(**QUICK)) as scene:
        bare = await scene.bare("serverprotocol", 10)
        driven = await scene.connect(bare, heartbeats.echo(40, 1), 1)
        await driven.rate()
        report = heartbeats.SCENARIO.report(heartbeats.Options())
        driven.tell(report, "echo")
    (check,) = report.checks
    assert not check.holds
    assert "wrong answers, such as xxxxxxxxxx" in check.detail


def test_an_unknown_baseline_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve_baseline(["apache"]) == 2
    assert "usage: python -m bench.baselines" in capsys.readouterr().err


def test_sizes_are_numbers_with_commas() -> None:
    assert sizes("10,1000") == [10, 1000]


def _fields(options: Struct) -> dict[str, object]:
    return {name: getattr(options, name) for name in options.__struct_fields__}
