"""A worker that holds many raw agents: `python -m bench.peers.raw_fleet`.

Words of the run: `register` connects and registers all, each of which heartbeats from then on, the
first time after a random part of the interval; `report` tells what became of the heartbeats so far.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

from msgspec import Struct

from bench.errors import BenchError
from bench.peers.raw_client import Driver, Heard
from bench.rig.machine import connections_per_process, source_address
from bench.rig.workers import Run, Worker, work
from homeport_protocol.answers import HeartbeatAck, Registered
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Heartbeat, Register

TYPES = ("cost", "performance", "resource", "application")
CAPABILITIES = 50
"""Different capabilities in a fleet; each agent has two of them and `probe`."""

CONNECTING = 64
"""Agents of one worker that connect and register at the same time."""


class AgentsSpec(Struct, frozen=True, kw_only=True):
    """`interval` is the seconds between an agent's heartbeats; `first` the number of the first."""

    url: str
    first: int
    count: int
    interval: float


class Registrations(Struct, frozen=True):
    """All have registered: their ids, and when it began and was over (`time.monotonic()`)."""

    ids: list[str]
    began: float
    ended: float
    latencies: list[float]


class Beats(Struct, frozen=True):
    """What became of the heartbeats: (sent, heard, durable) of each that was acknowledged.

    `unanswered` are the instants at which the others were sent, `refusals` the errors,
    `lost` the connections that ended.
    """

    acks: list[tuple[float, float, bool]]
    unanswered: list[float]
    refusals: list[str]
    lost: int
    silent: int


class Fleet:
    """Raw agents in several workers."""

    def __init__(self, workers: list[Worker], count: int) -> None:
        self._workers = workers
        self._count = count

    @classmethod
    async def start(
        cls, stack: AsyncExitStack, url: str, count: int, interval: float, *, processes: int = 1
    ) -> Fleet:
        """Start the workers: `processes`, or as many as the limit of open files demands."""
        processes = max(1, processes, -(-count // connections_per_process()))
        share, rest = divmod(count, processes)
        specs, first = [], 0
        for number in range(processes):
            size = share + (number < rest)
            specs.append(AgentsSpec(url=url, first=first, count=size, interval=interval))
            first += size
        workers = [
            await stack.enter_async_context(Worker("bench.peers.raw_fleet", spec)) for spec in specs
        ]
        return cls(workers, count)

    @property
    def processes(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    async def register(self) -> Registrations:
        """Connect and register all agents, which heartbeat from then on."""
        told = await asyncio.gather(
            *(worker.request("register", Registrations, 600.0) for worker in self._workers)
        )
        return Registrations(
            [each for one in told for each in one.ids],
            min(one.began for one in told),
            max(one.ended for one in told),
            [each for one in told for each in one.latencies],
        )

    async def report(self) -> Beats:
        """What became of the heartbeats so far."""
        told = await asyncio.gather(*(worker.request("report", Beats) for worker in self._workers))
        return Beats(
            [each for one in told for each in one.acks],
            [each for one in told for each in one.unanswered],
            [each for one in told for each in one.refusals],
            sum(one.lost for one in told),
            sum(one.silent for one in told),
        )


def agent_spec(number: int) -> AgentSpec:
    """What the agent of this number says of itself."""
    return AgentSpec(
        name=f"agent-{number}",
        type=TYPES[number % len(TYPES)],
        capabilities=[
            "probe",
            f"capability-{number % CAPABILITIES}",
            f"capability-{number * 7 % CAPABILITIES}",
        ],
        version="1.0.0",
        metadata={"region": f"region-{number % 10}"},
    )


class _Agent:
    """One agent: its connection, and its heartbeats at fixed instants."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._driver: Driver | None = None
        self._open: dict[asyncio.Future[Heard], float] = {}
        self.acks: list[tuple[float, float, bool]] = []
        self.refusals: list[str] = []

    @property
    def lost(self) -> bool:
        return self._driver is None or self._driver.ended

    @property
    def unanswered(self) -> list[float]:
        return list(self._open.values())

    async def register(self, url: str, interval: float) -> tuple[str, float]:
        """Connect, register, and heartbeat from then on; returns the id and the latency."""
        self._driver = await Driver.connect(url, source=source_address(self._number))
        answer, heard = await self._driver.demand(
            Register(id=0, agent=agent_spec(self._number)), Registered
        )
        first = asyncio.get_running_loop().time() + interval * random.random()
        asyncio.get_running_loop().call_at(first, self._beat, first, interval)
        return answer.agent_id, heard.latency

    def _beat(self, when: float, interval: float) -> None:
        if self._driver is None or self._driver.ended:
            return
        asyncio.get_running_loop().call_at(when + interval, self._beat, when + interval, interval)
        future = self._driver.send(Heartbeat(id=0))
        self._open[future] = time.monotonic()
        future.add_done_callback(self._answered)

    def _answered(self, future: asyncio.Future[Heard]) -> None:
        if future.cancelled() or future.exception() is not None:
            return  # stays among the unanswered
        del self._open[future]
        heard = future.result()
        if isinstance(heard.answer, HeartbeatAck):
            self.acks.append((heard.sent, heard.at, heard.answer.durable))
        else:
            self.refusals.append(str(heard.answer))


async def _main(spec: AgentsSpec, run: Run) -> None:
    agents = [_Agent(spec.first + number) for number in range(spec.count)]
    await run.word("register")
    run.tell(await _register(agents, spec.url, spec.interval))
    while True:
        await run.word("report")
        run.tell(
            Beats(
                [ack for agent in agents for ack in agent.acks],
                [sent for agent in agents for sent in agent.unanswered],
                [refusal for agent in agents for refusal in agent.refusals],
                sum(agent.lost for agent in agents),
                sum(not agent.acks for agent in agents),
            )
        )


async def _register(agents: list[_Agent], url: str, interval: float) -> Registrations:
    waiting = iter(agents)
    registered: list[tuple[str, float]] = []

    async def take() -> None:
        for agent in waiting:
            registered.append(await agent.register(url, interval))

    began = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTING):
                group.create_task(take())
    except ExceptionGroup as failures:
        raise BenchError(f"an agent could not register: {failures.exceptions[0]}") from None
    return Registrations(
        [agent_id for agent_id, _ in registered],
        began,
        time.monotonic(),
        [latency for _, latency in registered],
    )


if __name__ == "__main__":
    work(AgentsSpec, _main)
