"""Loads on servers: they measure, and notice every answer that is not as it must be."""

from __future__ import annotations

from bench.baselines.__main__ import SERVERS
from bench.load.talk import echo
from bench.results.report import Report
from bench.speed import heartbeats
from bench.speed.scene import LoadOptions, SpeedScene, sizes

QUICK = LoadOptions(rounds=1, seconds=0.1, warm_up=0.05, processes=3)


def report() -> Report:
    return Report(name="n", title="t", options={})


def test_heartbeats_are_judged_against_asyncios_own_loop_and_the_rest_is_context() -> None:
    judged = {each.name: (each.must, each.aim) for each in heartbeats.ONE_OUTSTANDING}
    assert judged.pop("websockets") == (1.3, 1.6)
    assert set(judged.values()) == {(None, None)}
    assert not SERVERS["websockets"].uvloop


async def test_a_load_of_several_processes_shares_the_work() -> None:
    async with SpeedScene(QUICK) as scene:
        bare = await scene.bare("websockets")
        loaded = await scene.load(bare, echo(40, 1), 5, in_flight=4)
        assert await loaded.rate() > 0
        loaded.add_to(told := report(), "echo")
    (check,) = told.checks
    assert check.holds


async def test_an_answer_that_is_not_as_it_must_be_fails_the_run() -> None:
    async with SpeedScene(QUICK) as scene:
        bare = await scene.bare("serverprotocol", 10)
        loaded = await scene.load(bare, echo(40, 1), 1)
        await loaded.rate()
        loaded.add_to(told := report(), "echo")
    (check,) = told.checks
    assert not check.holds
    assert "wrong answers, such as xxxxxxxxxx" in check.detail


def test_sizes_are_numbers_with_commas() -> None:
    assert sizes("10,1000") == [10, 1000]
