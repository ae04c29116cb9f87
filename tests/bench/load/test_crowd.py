"""Crowds: what they hear, and what is in the way of them."""

from __future__ import annotations

import pytest

from bench.errors import BenchError
from bench.load.crowd import Group
from bench.speed.scene import SpeedScene
from bench.speed.under_load import Server


async def test_a_bare_server_tells_of_an_end_before_the_crowd_hears_of_it() -> None:
    async with SpeedScene() as scene:
        bare = await scene.bare("uvicorn-upgrades")
        groups = Group("told of ends", 2, "hearer"), Group("silent", 1, "mortal")
        crowd = await scene.crowd(bare, *groups)
        await crowd.open()
        heard = await crowd.die()
    assert 0 < float(heard.text) - heard.began < heard.seconds + 0.001


async def test_agents_that_are_not_registered_are_among_the_troubles_of_later_groups() -> None:
    async with SpeedScene() as scene:
        bare = await scene.bare("serverprotocol", size=10)
        crowd = await scene.crowd(bare, Group("agent", 2), Group("silent", 1))
        (trouble,) = (await crowd.open()).troubles
    assert "no answer of a hub" in trouble


async def test_what_cannot_be_reached_is_told_in_words() -> None:
    async with SpeedScene() as scene:
        crowd = await scene.crowd(Server("ws://127.0.0.1:1/ws", None), Group("silent", 1))
        with pytest.raises(BenchError, match=r"^cannot connect to 127\.0\.0\.1:1: Connection ref"):
            await crowd.open()
