"""What authentication costs: a hub that asks for a token against one that asks nobody."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from bench.load.crowd import Group
from bench.load.talk import heartbeats
from bench.results.report import Report
from bench.rig.rounds import in_turn
from bench.scenario import scenario
from bench.speed.scene import LoadOptions, SpeedScene
from bench.speed.under_load import Server, cpu_used

TICK = 0.01
"""Seconds in which a system counts CPU: of fewer it says 0."""


class Options(LoadOptions, frozen=True, kw_only=True):
    """The command line."""

    connections: Annotated[int, Meta(ge=1, le=100_000, description="agents that heartbeat")] = 200
    agents: Annotated[
        int, Meta(ge=1, le=20_000, description="connections that are opened in each storm")
    ] = 2000
    at_once: Annotated[
        int, Meta(ge=1, le=4000, description="of which so many are on their way at a time")
    ] = 100


class _Storms:
    """Handshakes at one hub, and what each cost it."""

    def __init__(self, options: Options, server: Server, troubles: list[str]) -> None:
        self._group = Group("silent", options.agents, at_once=options.at_once)
        self._server = server
        self._troubles = troubles
        self.rates: list[float] = []

    async def cost(self) -> float:
        """Microseconds of the hub's core for each handshake."""
        pid = self._server.pid
        assert pid is not None
        async with SpeedScene() as scene:
            crowd = await scene.crowd(self._server, self._group)
            before = cpu_used(pid)["server"]
            opened = await crowd.open()
            used = cpu_used(pid)["server"] - before
        self._troubles += opened.troubles
        self.rates.append(self._group.count / opened.seconds)
        return 1e6 * max(TICK, used) / self._group.count


@scenario(
    "auth",
    "handshakes and heartbeats with a token, and at a hub that asks nobody",
    Options,
)
async def run(options: Options, report: Report) -> None:
    """Measure both hubs in turn."""
    troubles: list[str] = []
    async with SpeedScene(options) as scene:
        open_hub = await scene.hub_at()
        asking = await scene.hub_that_asks()
        with_token, without = (_Storms(options, each, troubles) for each in (asking, open_hub))
        costs = await in_turn("handshakes", options.rounds, with_token.cost, without.cost)
        talk, count = heartbeats(1), options.connections
        loaded = [await scene.load(each, talk, count, register=True) for each in (asking, open_hub)]
        rates = await scene.rates("heartbeats", loaded)
    report.goal(
        "CPU of the hub for a handshake with a token",
        *costs,
        unit="µs",
        baseline="a handshake at a hub that asks nobody",
        must=1.5,
        aim=1.2,
        higher=False,
    )
    report.goal(
        "heartbeats of an agent with a token",
        *rates,
        unit="/s",
        baseline="heartbeats at a hub that asks nobody",
        must=0.9,
        aim=0.97,
    )
    report.goal("handshakes with a token", with_token.rates, unit="/s")
    report.goal("handshakes at a hub that asks nobody", without.rates, unit="/s")
    for each, what in zip(loaded, ("with a token", "at a hub that asks nobody"), strict=True):
        each.add_to(report, f"heartbeats {what}")
    report.none("every connection was opened", troubles)
