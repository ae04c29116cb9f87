"""A worker that holds many raw agents: `python -m bench.peers.raw_fleet`.

Words of the run: `register` connects and registers all, each of which heartbeats from then on, the
first time after a random part of the interval; `report` asks what became of the heartbeats so far.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

from msgspec import Struct

from bench.errors import BenchError
from bench.peers.raw_client import Heard, RawClient
from bench.rig.machine import connections_per_process, source_address
from bench.rig.waiting import shares, side_by_side
from bench.rig.workers import Run, Worker, request_all, start_all, work
from homeport_protocol.answers import HeartbeatAck
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Heartbeat

TYPES = ("cost", "performance", "resource", "application")
CAPABILITIES = 50  # different capabilities in a fleet; each agent has two of them and `probe`
CONNECTING = 64  # agents of one worker that connect and register at the same time


class RawAgents(Struct, frozen=True, kw_only=True):
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

    `unanswered` are the instants at which the others were sent, `refusals` the errors, `lost` the
    connections that ended, `silent` the agents that were never acknowledged.
    """

    acks: list[tuple[float, float, bool]]
    unanswered: list[float]
    refusals: list[str]
    lost: int
    silent: int

    def overdue(self) -> list[float]:
        """When those were sent whose answer is overdue; the newest may still be on their way."""
        newest = max((sent for sent, _, _ in self.acks), default=0.0)
        return [sent for sent in self.unanswered if sent < newest - 1.0]


class RawFleet:
    """Raw agents in several workers."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    @classmethod
    async def start(
        cls, stack: AsyncExitStack, url: str, count: int, interval: float, *, processes: int = 1
    ) -> RawFleet:
        """Start the workers: `processes`, or as many as the limit of open files demands."""
        processes = max(processes, -(-count // connections_per_process()))
        counts = shares(count, processes)
        specs = [
            RawAgents(url=url, first=sum(counts[:number]), count=each, interval=interval)
            for number, each in enumerate(counts)
        ]
        return cls(await start_all(stack, "bench.peers.raw_fleet", specs))

    @property
    def processes(self) -> int:
        return len(self._workers)

    async def register(self) -> Registrations:
        """Connect and register all agents, which heartbeat from then on."""
        answers = await request_all(self._workers, "register", Registrations, 600.0)
        return Registrations(
            [each for one in answers for each in one.ids],
            min(one.began for one in answers),
            max(one.ended for one in answers),
            [each for one in answers for each in one.latencies],
        )

    async def report(self) -> Beats:
        answers = await request_all(self._workers, "report", Beats)
        return Beats(
            [each for one in answers for each in one.acks],
            [each for one in answers for each in one.unanswered],
            [each for one in answers for each in one.refusals],
            sum(one.lost for one in answers),
            sum(one.silent for one in answers),
        )


def agent_spec(number: int) -> AgentSpec:
    """The spec of the agent of this number."""
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

    client: RawClient

    def __init__(self, spec: RawAgents, number: int) -> None:
        self._spec = spec
        self._number = number
        self.unanswered: dict[asyncio.Future[Heard], float] = {}
        self.acks: list[tuple[float, float, bool]] = []
        self.refusals: list[str] = []

    async def register(self) -> tuple[str, float]:
        """Connect, register, and heartbeat from then on; returns the id and the latency."""
        self.client = await RawClient.connect(self._spec.url, source=source_address(self._number))
        answer, heard = await self.client.register(agent_spec(self._number))
        loop = asyncio.get_running_loop()
        first = loop.time() + self._spec.interval * random.random()
        loop.call_at(first, self._beat, first)
        return answer.agent_id, heard.latency

    def _beat(self, when: float) -> None:
        if self.client.ended:
            return
        when += self._spec.interval
        asyncio.get_running_loop().call_at(when, self._beat, when)
        future = self.client.send(Heartbeat(id=0))
        self.unanswered[future] = time.monotonic()
        future.add_done_callback(self._answered)

    def _answered(self, future: asyncio.Future[Heard]) -> None:
        if future.cancelled() or future.exception() is not None:
            return  # stays among the unanswered
        del self.unanswered[future]
        heard = future.result()
        if isinstance(heard.answer, HeartbeatAck):
            self.acks.append((heard.sent, heard.at, heard.answer.durable))
        else:
            self.refusals.append(str(heard.answer))


async def _main(spec: RawAgents, run: Run) -> None:
    agents = [_Agent(spec, spec.first + number) for number in range(spec.count)]

    async def register() -> Registrations:
        began = time.monotonic()
        try:
            registered = await side_by_side(agents, _Agent.register, CONNECTING)
        except BenchError as error:
            raise BenchError(f"an agent could not register: {error}") from None
        ids, latencies = zip(*registered, strict=True) if registered else ((), ())
        return Registrations(list(ids), began, time.monotonic(), list(latencies))

    def report() -> Beats:
        return Beats(
            [ack for agent in agents for ack in agent.acks],
            [sent for agent in agents for sent in agent.unanswered.values()],
            [refusal for agent in agents for refusal in agent.refusals],
            sum(agent.client.ended for agent in agents),
            sum(not agent.acks for agent in agents),
        )

    await run.serve({"register": register, "report": report})


if __name__ == "__main__":
    work(RawAgents, _main)
