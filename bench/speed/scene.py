"""The scene of speed scenarios: hubs, bare servers, and loads on them."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from msgspec import Meta, Struct

from bench.baselines.process import BaselineProcess
from bench.errors import BenchError
from bench.load.crowd import Crowd, CrowdSpec, Group
from bench.load.talk import Talk
from bench.rig.cores import Cores
from bench.rig.rounds import Rounds, in_turn
from bench.rig.tokens import make_token
from bench.scene import Scene
from bench.speed.under_load import Server, ServerUnderLoad

PATIENT = {
    "heartbeat_interval": 600,
    "heartbeat_timeout": 900,
    "lease_ttl": 1200,
    "max_rate": 0,
}
"""Settings of hubs whose agents may be silent while something else is measured, and send as much
as they can when they are measured."""

HubUrl = Annotated[
    str,
    Meta(
        pattern=r"^http://[^/\s]+/?$",
        examples=["http://127.0.0.1:8080"],
        description="a hub that is there already, http://HOST:PORT; else the bench starts its own",
    ),
]


class LoadOptions(Struct, frozen=True, kw_only=True):
    """Options of all scenarios with a load of websockets."""

    rounds: Rounds = 5
    seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long each measurement goes on")
    ] = 2.0
    warm_up: Annotated[
        float, Meta(ge=0, le=60, description="seconds before each measurement that do not count")
    ] = 0.5
    processes: Annotated[int, Meta(ge=1, le=64, description="processes that drive")] = 1


class SpeedScene(Scene):
    """A scene with servers and loads on the cores that are planned for them."""

    def __init__(self, options: LoadOptions | None = None, cores: Cores | None = None) -> None:
        self.plan = cores or Cores.plan()
        super().__init__(self.plan)
        self._options = options or LoadOptions()

    async def hub_at(self, url: str = "", **settings: Any) -> Server:
        """The hub of this URL, in a new namespace; without a URL, a hub that is started."""
        if url:
            namespace = f"bench-{secrets.token_hex(4)}"
            websockets = f"ws{url.removeprefix('http').rstrip('/')}/ws"
            return Server(f"{websockets}?namespace={namespace}", None)
        hub = await self.hub(**{**PATIENT, **settings})
        return Server(hub.websocket_url, hub.pid)

    async def hub_that_asks(self) -> Server:
        """A hub that asks for a token, at a URL that has one of an agent."""
        hub = await self.hub(**PATIENT, auth="required")
        token = await make_token(hub.data_dir, "agent")
        return Server(hub.websocket_url.replace("://", f"://agent:{token}@"), hub.pid)

    async def bare(self, name: str, size: int = 0) -> Server:
        """A bare server of `bench.baselines`, which answers with `size` bytes; 0: an echo."""
        process = BaselineProcess(name, cores=self.plan, size=size)
        await self.enter_async_context(process)
        return Server(process.url, process.pid)

    async def crowd(self, server: Server, *groups: Group, says: list[str] | None = None) -> Crowd:
        """A crowd that is to connect to the server."""
        spec = CrowdSpec(url=server.url, groups=[*groups], says=says or [])
        return await Crowd.start(self, spec, self.plan)

    async def load(
        self,
        server: Server,
        talk: Talk,
        count: int,
        *,
        register: bool = False,
        outstanding: int = 1,
        in_flight: int = 0,
    ) -> ServerUnderLoad:
        """Connect so many, as agents if they are to `register`; see `CrowdSpec` for the rest.

        Agents unregister at the end from a hub that goes on.
        """
        spec = CrowdSpec(
            url=server.url,
            groups=[Group("agent" if register else "silent", count)],
            talk=talk,
            outstanding=outstanding,
            in_flight=in_flight,
            warm_up=self._options.warm_up,
            seconds=self._options.seconds,
        )
        load = await Crowd.start(self, spec, self.plan, processes=self._options.processes)
        troubles = (await load.open()).troubles
        if troubles:
            raise BenchError(f"an agent could not register: {troubles[0]}")
        if register and server.pid is None:
            self.push_async_callback(load.leave)
        return ServerUnderLoad(load, server)

    async def rates(self, what: str, loaded: list[ServerUnderLoad]) -> list[list[float]]:
        """Measure all in turn, in all rounds; returns the rates of each."""
        return await in_turn(what, self._options.rounds, *(each.rate for each in loaded))


def sizes(text: str) -> list[int]:
    """Sizes of fleets, as an option gives them: whole numbers with commas between them."""
    return [int(size) for size in text.split(",")]
