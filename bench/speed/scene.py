"""What the speed scenarios of websockets are played with: hubs, bare servers, and loads on them."""

from __future__ import annotations

import secrets
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Annotated, Self, TypeVar

from msgspec import Meta, Struct

from bench.baselines.process import BaselineProcess
from bench.load.load import Load, LoadSpec
from bench.load.talk import Talk
from bench.rig.cores import Cores
from bench.rig.processes import HubProcess, temporary_directory
from bench.rig.rounds import Rounds
from bench.speed.driven import Driven, Server

T = TypeVar("T")

PATIENT = {
    "heartbeat_interval": 600,
    "heartbeat_timeout": 900,
    "lease_ttl": 1200,
    "max_rate": 0,
}
"""Settings of hubs whose agents may say nothing while something else is measured, and say as much
as they can when their turn comes."""

HubUrl = Annotated[
    str,
    Meta(
        pattern=r"^http://[^/\s]+/?$",
        examples=["http://127.0.0.1:8080"],
        description="a hub that is there already, http://HOST:PORT; else the bench starts its own",
    ),
]


class Driving(Struct, frozen=True, kw_only=True):
    """Options of all of them."""

    rounds: Rounds = 5
    seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long each measurement goes on")
    ] = 2.0
    warm_up: Annotated[
        float, Meta(ge=0, le=60, description="seconds before each measurement that do not count")
    ] = 0.5
    processes: Annotated[int, Meta(ge=1, le=64, description="processes that drive")] = 1


class Scene:
    """All that one run starts, on the cores that are for it; an async context that ends it all."""

    def __init__(self, options: Driving | None = None, cores: Cores | None = None) -> None:
        self._options = options or Driving()
        self._cores = cores or Cores.plan()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def hub(self, url: str = "", **settings: object) -> Server:
        """The hub of this URL, in a namespace of our own; without one, a hub that is started."""
        if url:
            namespace = f"bench-{secrets.token_hex(4)}"
            websockets = f"ws{url.removeprefix('http').rstrip('/')}/ws"
            return Server(f"{websockets}?namespace={namespace}", None)
        directory = self._stack.enter_context(temporary_directory())
        process = HubProcess(directory, cores=self._cores, **{**PATIENT, **settings})
        await self._stack.enter_async_context(process)
        return Server(process.websocket_url, process.pid)

    async def bare(self, name: str, size: int = 0) -> Server:
        """A bare server of `bench.baselines`, which answers with `size` bytes; 0: an echo."""
        process = BaselineProcess(name, cores=self._cores, size=size)
        await self._stack.enter_async_context(process)
        return Server(process.url, process.pid)

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Start something else that the run needs, and that ends with it."""
        return await self._stack.enter_async_context(context)

    async def connect(
        self,
        server: Server,
        talk: Talk,
        count: int,
        *,
        register: bool = False,
        outstanding: int = 1,
        in_flight: int = 0,
    ) -> Driven:
        """Connect so many, agents where they `register`; see `LoadSpec` for the rest.

        Agents of a hub that goes on without us unregister at the end.
        """
        spec = LoadSpec(
            url=server.url,
            talk=talk,
            count=count,
            register=register,
            outstanding=outstanding,
            in_flight=in_flight,
            warm_up=self._options.warm_up,
            seconds=self._options.seconds,
        )
        load = await Load.connect(
            self._stack, spec, processes=self._options.processes, cores=self._cores
        )
        if register and server.pid is None:
            self._stack.push_async_callback(load.leave)
        return Driven(load, server)


def sizes(text: str) -> list[int]:
    """Sizes of fleets, as an option gives them: whole numbers with commas between them."""
    return [int(size) for size in text.split(",")]
