"""A worker that loads a websocket server: `python -m bench.load`.

Words of the run: `connect` opens all connections, and registers an agent on each if the spec says
so; `drive` asks for as long as the spec says, and tells what came of it; `leave` unregisters.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from bench.errors import BenchError
from bench.load.connection import Connection, Script, Target, Timed
from bench.load.load import Done, Drive, LoadSpec
from bench.load.records import bench_spec
from bench.rig.machine import source_address
from bench.rig.workers import Run, work
from homeport_protocol.answers import Registered, Unregistered
from homeport_protocol.codec import decode_message, encode
from homeport_protocol.requests import Register, Unregister

CONNECTING = 64
"""Connections that are opened at the same time."""

TIMED_ONE_IN = 8
"""Timing costs, and so only one connection in so many is timed, and at least one."""

MAX_LATENCIES = 100_000
"""Latencies that one drive tells: of more, evenly chosen ones."""

DRAIN_TIMEOUT = 30.0


async def _main(spec: LoadSpec, run: Run) -> None:
    script = Script(spec.talk)
    connections = [
        (Timed if number % TIMED_ONE_IN == 0 else Connection)(script)
        for number in range(spec.count)
    ]
    await run.word("connect")
    run.tell(await _connect(spec, connections))
    while True:
        if await run.word("drive", "leave") == "drive":
            run.tell(await _drive(spec, connections))
        else:
            run.tell(await _all(connections, _unregister))


async def _connect(spec: LoadSpec, connections: list[Connection]) -> Done:
    target = Target(spec.url)
    numbers = {connection: spec.first + place for place, connection in enumerate(connections)}

    async def connect(connection: Connection) -> None:
        number = numbers[connection]
        await connection.open(target, source_address(number))
        if spec.register:
            request = Register(id=0, agent=bench_spec(number))
            answer = decode_message(await connection.ask(encode(request)))
            if not isinstance(answer, Registered):
                raise BenchError(f"the hub refused to register: {answer}")

    return await _all(connections, connect)


async def _drive(spec: LoadSpec, connections: list[Connection]) -> Drive:
    timed = [each for each in connections if isinstance(each, Timed)]
    _start(spec, connections)
    await asyncio.sleep(spec.warm_up)
    for each in timed:
        each.latencies.clear()
    answered, cpu = sum(each.answered for each in connections), time.process_time()
    began = time.perf_counter()
    await asyncio.sleep(spec.seconds)
    seconds = time.perf_counter() - began
    answered = sum(each.answered for each in connections) - answered
    cpu = time.process_time() - cpu
    latencies = [latency for each in timed for latency in each.latencies]
    latencies = latencies[:: len(latencies) // MAX_LATENCIES + 1]
    for connection in connections:
        connection.running = False
    await _drain(connections)
    return Drive(answered, seconds, cpu, latencies, _troubles(connections))


def _start(spec: LoadSpec, connections: list[Connection]) -> None:
    for connection in connections:
        connection.running = True
    if not spec.in_flight:
        for connection in connections:
            connection.send(spec.outstanding)
        return
    line = connections[0].line or deque(connections)
    for connection in connections:
        connection.line = line
    for _ in range(min(spec.in_flight, len(line))):
        line.popleft().send(1)


async def _drain(connections: list[Connection]) -> None:
    """Wait for the answers that are still on their way."""
    end = time.perf_counter() + DRAIN_TIMEOUT
    while any(each.asked > each.answered and not each.ended for each in connections):
        if time.perf_counter() > end:
            return  # told as a trouble
        await asyncio.sleep(0.005)


def _troubles(connections: Iterable[Connection]) -> list[str]:
    """All that was not as it must be, in words."""
    troubles = []
    for number, each in enumerate(connections):
        if each.ended:
            troubles.append(f"connection {number}: {each.ended}")
        elif each.asked > each.answered:
            troubles.append(f"connection {number}: {each.asked - each.answered} without an answer")
        if each.wrong:
            example = each.example[:200].decode(errors="replace")
            troubles.append(f"connection {number}: {each.wrong} wrong answers, such as {example}")
    return troubles


async def _unregister(connection: Connection) -> None:
    answer = decode_message(await connection.ask(encode(Unregister(id=0))))
    if not isinstance(answer, Unregistered):
        raise BenchError(f"the hub refused to unregister: {answer}")


async def _all(connections: list[Connection], act: Callable[[Connection], Awaitable[None]]) -> Done:
    """Do it for all connections, so many at a time."""
    began = time.perf_counter()
    waiting = iter(connections)

    async def take() -> None:
        for connection in waiting:
            await act(connection)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTING):
                group.create_task(take())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return Done(time.perf_counter() - began)


if __name__ == "__main__":
    work(LoadSpec, _main)
