"""The scenarios of crowds in a tiny form: that they measure and check, never how fast."""

from __future__ import annotations

import pytest
from msgspec import Struct

from bench.errors import BenchError
from bench.load.crowd import Crowd, CrowdSpec, Group
from bench.results.report import Report
from bench.rig.cores import Cores
from bench.rig.processes import HubProcess, temporary_directory
from bench.scenario import Scenario
from bench.speed import death, fanout, memory, storm
from bench.speed.scene import Scene
from tests.bench.left import agents_left

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
async def test_a_scenario_measures_and_finds_all_as_it_must_be(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SETTLED", 0.1)
    options: Struct = SMALL[scenario.name]
    assert right(await scenario.run(options))


async def test_a_hub_that_is_there_is_left_as_it_was() -> None:
    with temporary_directory() as directory:
        async with HubProcess(directory, redis="memory://") as hub:
            assert right(await storm.run(storm.Options(rounds=1, agents=9, at_once=4, url=hub.url)))
            options = fanout.Options(rounds=1, changes=2, watchers=3, pause=0.0, url=hub.url)
            assert right(await fanout.run(options))
            assert await agents_left(hub.url) == {0}


async def test_a_bare_server_tells_of_an_end_before_the_crowd_hears_of_it() -> None:
    async with Scene() as scene:
        bare = await scene.bare("uvicorn-upgrades")
        groups = [Group("told of ends", 2, "hearer"), Group("silent", 1, "mortal")]
        crowd = await scene.enter(Crowd(CrowdSpec(url=bare.url, groups=groups), Cores.plan()))
        await crowd.open()
        heard = await crowd.die()
    assert 0 < float(heard.text) - heard.began < heard.seconds + 0.001


async def test_agents_that_are_not_registered_are_a_trouble_of_whatever_comes_after_them() -> None:
    async with Scene() as scene:
        bare = await scene.bare("serverprotocol", size=10)
        groups = [Group("agent", 2), Group("silent", 1)]
        crowd = await scene.enter(Crowd(CrowdSpec(url=bare.url, groups=groups), Cores.plan()))
        (trouble,) = (await crowd.open()).troubles
    assert "no answer of a hub" in trouble


async def test_what_cannot_be_reached_is_told_in_words() -> None:
    spec = CrowdSpec(url="ws://127.0.0.1:1/ws", groups=[Group("silent", 1)])
    async with Crowd(spec, Cores.plan()) as crowd:
        with pytest.raises(BenchError, match=r"^cannot connect to 127\.0\.0\.1:1: Connection ref"):
            await crowd.open()
