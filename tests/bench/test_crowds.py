"""The scenarios of crowds in a tiny form: that they measure and check, never how fast."""

from __future__ import annotations

import asyncio
import re

import pytest
import requests
from msgspec import Struct

from bench.cores import Cores
from bench.errors import BenchError
from bench.load.crowd import Crowd, CrowdSpec, Group
from bench.processes import HubProcess, temporary_directory
from bench.report import Report
from bench.scenario import Scenario
from bench.speed import death, fanout, memory, storm
from bench.speed.scene import Scene

SMALL = {
    "storm": storm.Options(rounds=1, agents=30, at_once=7),
    "memory": memory.Options(rounds=1, agents=300, first=5),
    "fanout": fanout.Options(rounds=1, changes=3, watchers=20, pause=0.0),
    "death": death.Options(rounds=1, deaths=3, watchers=4, pause=0.0),
}
SCENARIOS: list[Scenario] = [each.SCENARIO for each in (storm, memory, fanout, death)]


def right(report: Report) -> bool:
    """Whether something was checked and measured, and all checks hold."""
    assert [check for check in report.checks if not check.holds] == []
    return bool(report.checks and report.goals)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_scenario_measures_and_finds_all_as_it_must_be(scenario: Scenario) -> None:
    options: Struct = SMALL[scenario.name]
    assert right(await scenario.run(options))


async def test_a_hub_that_is_there_is_left_as_it_was() -> None:
    with temporary_directory() as directory:
        async with HubProcess(directory, redis="memory://") as hub:
            assert right(await storm.run(storm.Options(rounds=1, agents=9, at_once=4, url=hub.url)))
            options = fanout.Options(rounds=1, changes=2, watchers=3, pause=0.0, url=hub.url)
            assert right(await fanout.run(options))
            metrics = (await asyncio.to_thread(requests.get, f"{hub.url}/metrics")).text
    left = re.findall(r'homeport_agents\{namespace="bench-.*\} ([\d.]+)', metrics)
    assert all(float(agents) == 0 for agents in left)


async def test_a_crowd_of_agents_is_refused_by_what_is_no_hub() -> None:
    async with Scene() as scene:
        bare = await scene.bare("uvicorn-upgrades")
        groups = [Group("told of ends", 2, "hearer"), Group("silent", 1, "mortal")]
        crowd = await scene.enter(Crowd(CrowdSpec(url=bare.url, groups=groups), Cores.plan()))
        await crowd.open()
        heard = await crowd.die()
        assert 0 < float(heard.text) - heard.began < heard.seconds + 0.001

        groups = [Group("agent", 1)]
        stranger = await scene.enter(Crowd(CrowdSpec(url=bare.url, groups=groups), Cores.plan()))
        with pytest.raises(BenchError):
            await stranger.open()
