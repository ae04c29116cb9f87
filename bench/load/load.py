"""A load as its run sees it: some processes that drive one server, and what came of it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from msgspec import Struct, structs

from bench.load.talk import Talk
from bench.rig.cores import Cores, pin
from bench.rig.machine import connections_per_process
from bench.rig.workers import Worker


class LoadSpec(Struct, frozen=True, kw_only=True):
    """What one process does: `count` connections to `url`, each with so many requests outstanding.

    With `in_flight` not each has requests outstanding, but all together so many, one each, which
    they send in turn. With `register` each is an agent, the first of the number `first`. Of each
    drive the first `warm_up` seconds do not count, and then `seconds` do.
    """

    url: str
    talk: Talk
    count: int
    first: int = 0
    register: bool = False
    outstanding: int = 1
    in_flight: int = 0
    warm_up: float
    seconds: float


class Done(Struct, frozen=True):
    """All connections have done what they were told, and it took so many seconds."""

    seconds: float


class Drive(Struct, frozen=True):
    """What came of one drive of one process, in the seconds that count.

    `latencies` are of a sample of its connections, in seconds. `troubles` are of the whole drive:
    wrong answers, lost connections, requests without an answer.
    """

    answered: int
    seconds: float
    cpu: float
    latencies: list[float]
    troubles: list[str]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class Outcome(Struct, frozen=True):
    """What came of one drive of all processes; `share` of a core is that of the busiest of them."""

    rate: float
    share: float
    latencies: list[float]
    troubles: list[str]


class Load:
    """Connections in several processes, which ask one server."""

    def __init__(self, workers: list[Worker], spec: LoadSpec) -> None:
        self._workers = workers
        self.seconds = spec.warm_up + spec.seconds

    @classmethod
    async def connect(
        cls, stack: AsyncExitStack, spec: LoadSpec, *, processes: int = 1, cores: Cores
    ) -> Load:
        """Start processes that share the connections of `spec`, and connect them all.

        More processes than wanted if the limit of open files demands it.
        """
        processes = max(processes, -(-spec.count // connections_per_process()))
        processes = min(processes, spec.count, spec.in_flight or spec.count)
        workers, first = [], spec.first
        for number in range(processes):
            part = structs.replace(
                spec,
                first=first,
                count=_share(spec.count, processes, number),
                in_flight=_share(spec.in_flight, processes, number),
            )
            first += part.count
            worker = await stack.enter_async_context(Worker("bench.load", part))
            pin(worker.pid, cores.load)
            workers.append(worker)
        load = cls(workers, spec)
        await asyncio.gather(*(worker.request("connect", Done, 600.0) for worker in load._workers))
        return load

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return [worker.pid for worker in self._workers]

    async def drive(self) -> Outcome:
        """Ask for the seconds of the spec, all processes at the same time."""
        driven = await asyncio.gather(
            *(worker.request("drive", Drive, self.seconds + 60.0) for worker in self._workers)
        )
        return Outcome(
            sum(each.rate for each in driven),
            max(each.cpu / each.seconds for each in driven),
            [latency for each in driven for latency in each.latencies],
            [trouble for each in driven for trouble in each.troubles],
        )

    async def leave(self) -> None:
        """Unregister all agents: their hub goes on without us."""
        await asyncio.gather(*(worker.request("leave", Done) for worker in self._workers))


def _share(all_of_them: int, parts: int, number: int) -> int:
    return all_of_them // parts + (number < all_of_them % parts)
