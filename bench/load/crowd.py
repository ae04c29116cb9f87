"""A crowd of websockets in separate processes, which loads a server, or mostly listens to it.

`python -m bench.load.crowd` is such a process. Words of the run: `open` opens the next group;
`load` sends requests for as long as the spec says; `say` sends the speaker's next message, and
`die` ends the connection of a mortal: all hearers then hear one message; `leave` unregisters the
agents.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack
from typing import Literal, assert_never

import msgspec
from msgspec import Struct, structs

from bench.errors import BenchError
from bench.load.connection import TIMEOUT, Connection, Peer, Script, Timed
from bench.load.records import bench_spec
from bench.load.talk import Talk
from bench.peers.frames import masked_text
from bench.peers.raw_websocket import Target
from bench.rig.cores import Cores
from bench.rig.machine import connections_per_process, source_address
from bench.rig.waiting import shares, side_by_side
from bench.rig.workers import Done, Run, Worker, request_all, start_all, work
from homeport_protocol.answers import Registered, Unregistered
from homeport_protocol.codec import decode_message, encode
from homeport_protocol.requests import Register, Unregister, Watch

TIMED_ONE_IN = 8  # one connection in so many is timed, as timing costs; at least one is
MAX_LATENCIES = 100_000  # latencies that one process reports at most, evenly chosen
DRAIN_TIMEOUT = 30.0

AT_ONCE = 64  # connections of a group that open at the same time, unless said otherwise

Kind = Literal["agent", "watcher", "told of ends", "silent"]
"""What a connection says first: it registers, watches everything, asks a bare server for the ends
of others, or says nothing."""


class Group(Struct, frozen=True):
    """Connections that are opened together, so many on their way at a time.

    `role`: the hearers hear what the speaker says, and of the deaths of the mortals. `first` is
    the number of the first agent.
    """

    kind: Kind
    count: int
    role: Literal["hearer", "speaker", "mortal", ""] = ""
    at_once: int = AT_ONCE
    first: int = 0


class CrowdSpec(Struct, frozen=True, kw_only=True):
    """What one process does; `says` are texts, said in turn, each answered by one message.

    With a `talk` all connections load the server: each has `outstanding` requests on their way,
    or, with `in_flight`, all together have so many, one each, which they send in turn. Each time
    the first `warm_up` seconds do not count, and then `seconds` do.
    """

    url: str
    groups: list[Group]
    says: list[str] = []
    talk: Talk | None = None
    outstanding: int = 1
    in_flight: int = 0
    warm_up: float = 0.0
    seconds: float = 0.0


class Opened(Struct, frozen=True):
    """All of a group are, and have been answered; it took so many seconds, and of CPU."""

    seconds: float
    cpu: float
    troubles: list[str]


class Heard(Struct, frozen=True):
    """All hearers heard the same, `text`; the last one so many seconds after it began.

    `began` is when, by `time.monotonic()`. `cpu` are the crowd's own seconds of CPU meanwhile.
    """

    text: str
    began: float
    seconds: float
    cpu: float


class Outcome(Struct, frozen=True):
    """What came of a load: answers a second, and of which core share, in the seconds that count.

    `share` of a core is that of the busiest process. `latencies` are of a sample of the
    connections, in seconds. `troubles` are of the whole time: wrong answers, lost connections,
    requests without an answer.
    """

    rate: float
    share: float
    latencies: list[float]
    troubles: list[str]


class Crowd:
    """The processes of a crowd."""

    def __init__(self, workers: list[Worker], spec: CrowdSpec) -> None:
        self._workers = workers
        self._groups = len(spec.groups)
        self.seconds = spec.warm_up + spec.seconds

    @classmethod
    async def start(
        cls, stack: AsyncExitStack, spec: CrowdSpec, cores: Cores, *, processes: int = 1
    ) -> Crowd:
        """Start the processes; several share the connections of a crowd that has one group.

        More than wanted if the limit of open files demands it.
        """
        specs = [spec]
        if len(spec.groups) == 1:
            (group,) = spec.groups
            processes = max(processes, -(-group.count // connections_per_process()))
            processes = min(processes, group.count, spec.in_flight or group.count)
            counts, in_flight = shares(group.count, processes), shares(spec.in_flight, processes)
            groups = [
                structs.replace(group, count=count, first=sum(counts[:number]))
                for number, count in enumerate(counts)
            ]
            specs = [
                structs.replace(spec, groups=[each], in_flight=share)
                for each, share in zip(groups, in_flight, strict=True)
            ]
        return cls(await start_all(stack, "bench.load.crowd", specs, cores.load), spec)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    async def open(self) -> Opened:
        """Open all groups, one after the other; returns what the last one was like.

        Its troubles are those of all.
        """
        opened, troubles = Opened(0.0, 0.0, []), []
        for _ in range(self._groups):
            answers = await request_all(self._workers, "open", Opened, 600.0)
            opened = max(answers, key=lambda each: each.seconds)
            troubles += [trouble for each in answers for trouble in each.troubles]
        return structs.replace(opened, troubles=troubles)

    async def run(self) -> Outcome:
        """Load the server for the seconds of the spec, all processes at the same time."""
        outcomes = await request_all(self._workers, "load", Outcome, self.seconds + 60.0)
        return Outcome(
            sum(each.rate for each in outcomes),
            max(each.share for each in outcomes),
            [latency for each in outcomes for latency in each.latencies],
            [trouble for each in outcomes for trouble in each.troubles],
        )

    async def say(self) -> Heard:
        """Send the speaker's next message, and wait until all have heard one."""
        return (await request_all(self._workers, "say", Heard))[0]

    async def die(self) -> Heard:
        """End one connection, and wait until all have heard of it."""
        return (await request_all(self._workers, "die", Heard))[0]

    async def leave(self) -> None:
        """Unregister all agents, from a hub that goes on."""
        await request_all(self._workers, "leave", Done, 600.0)


class _Process:
    """What the words of the run do."""

    def __init__(self, spec: CrowdSpec) -> None:
        self._spec = spec
        self._target = Target(spec.url)
        self._groups = iter(spec.groups)
        self._script = Script(spec.talk) if spec.talk is not None else None
        self._agents: list[Peer] = []
        self._connections: list[Connection] = []
        self._roles: dict[str, list[Peer]] = {"hearer": [], "speaker": [], "mortal": [], "": []}
        self._says = deque(masked_text(text.encode()) for text in spec.says)
        self._missing = 0
        self._all_heard: asyncio.Future[float]

    async def open(self) -> Opened:
        group = next(self._groups)
        peers = [self._peer(number) for number in range(group.count)]

        async def open_one(number: int) -> list[bytes]:
            peer, number = peers[number], group.first + number
            await peer.open(self._target, source_address(number))
            kind = group.kind
            match kind:
                case "agent":
                    return await peer.ask(encode(Register(id=0, agent=bench_spec(number))))
                case "watcher":
                    return await peer.ask(encode(Watch(id=0)), _ends_a_snapshot)
                case "told of ends":
                    return await peer.ask(b"ends")
                case "silent":
                    return []
                case _:
                    assert_never(kind)

        began, cpu = time.monotonic(), time.process_time()
        answers = await side_by_side(range(group.count), open_one, group.at_once)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        self._roles[group.role] += peers
        if group.kind != "agent":
            return Opened(seconds, cpu, [])
        self._agents += peers
        troubles = _unregistered([each for one in answers for each in one], group.count)
        return Opened(seconds, cpu, troubles)

    def _peer(self, number: int) -> Peer:
        if self._script is None:
            return Peer(self._message_heard)
        connection = (Timed if number % TIMED_ONE_IN == 0 else Connection)(self._script)
        self._connections.append(connection)
        return connection

    # --- hearing ---------------------------------------------------------------------------------

    async def say(self) -> Heard:
        (speaker,) = self._roles["speaker"]
        hearers = [speaker, *self._roles["hearer"]]
        self._listen(len(hearers))
        began, cpu = time.monotonic(), time.process_time()
        speaker.transport.write(self._says[0])
        self._says.rotate(-1)
        heard = await self._hear(began, cpu)
        speaker.take()
        return heard

    async def die(self) -> Heard:
        mortal = self._roles["mortal"].pop()
        if mortal in self._agents:
            self._agents.remove(mortal)
        self._listen(len(self._roles["hearer"]))
        began, cpu = time.monotonic(), time.process_time()
        mortal.abort()
        return await self._hear(began, cpu)

    def _listen(self, count: int) -> None:
        self._missing = count
        self._all_heard = asyncio.get_running_loop().create_future()

    def _message_heard(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._all_heard.set_result(time.monotonic())

    async def _hear(self, began: float, cpu: float) -> Heard:
        try:
            async with asyncio.timeout(TIMEOUT):
                at = await self._all_heard
        except TimeoutError:
            raise BenchError(f"{self._missing} did not hear within {TIMEOUT:g} s") from None
        cpu = time.process_time() - cpu
        messages = [peer.take() for peer in self._roles["hearer"]]
        texts = {text for each in messages for text in each}
        if len(texts) != 1 or any(len(each) != 1 for each in messages):
            raise BenchError(f"not all hearers heard one and the same, but {texts}")
        return Heard(texts.pop().decode(), began, at - began, cpu)

    # --- loading ---------------------------------------------------------------------------------

    async def load(self) -> Outcome:
        connections = self._connections
        timed = [each for each in connections if isinstance(each, Timed)]
        self._begin()
        await asyncio.sleep(self._spec.warm_up)
        for each in timed:
            each.latencies.clear()
        answered, cpu = sum(each.answered for each in connections), time.process_time()
        began = time.perf_counter()
        await asyncio.sleep(self._spec.seconds)
        seconds = time.perf_counter() - began
        answered = sum(each.answered for each in connections) - answered
        cpu = time.process_time() - cpu
        latencies = [latency for each in timed for latency in each.latencies]
        latencies = latencies[:: len(latencies) // MAX_LATENCIES + 1]
        for connection in connections:
            connection.running = False
        await self._drain()
        return Outcome(answered / seconds, cpu / seconds, latencies, _troubles(connections))

    def _begin(self) -> None:
        connections = self._connections
        for connection in connections:
            connection.running = True
        if not self._spec.in_flight:
            for connection in connections:
                connection.send(self._spec.outstanding)
            return
        line = connections[0].line or deque(connections)
        for connection in connections:
            connection.line = line
        for _ in range(min(self._spec.in_flight, len(line))):
            line.popleft().send(1)

    async def _drain(self) -> None:
        """Wait for the answers that are still on their way."""
        end = time.perf_counter() + DRAIN_TIMEOUT
        while any(each.asked > each.answered and not each.ended for each in self._connections):
            if time.perf_counter() > end:
                return  # reported as a trouble
            await asyncio.sleep(0.005)

    # --- leaving ---------------------------------------------------------------------------------

    async def leave(self) -> Done:
        async def unregister(peer: Peer) -> None:
            (answer,) = await peer.ask(encode(Unregister(id=0)))
            if not isinstance(decode_message(answer), Unregistered):
                raise BenchError(f"the hub refused to unregister: {answer!r}")

        await side_by_side(self._agents, unregister, AT_ONCE)
        return Done()


def _ends_a_snapshot(message: bytes) -> bool:
    # Near the end, behind all agents, where nothing that they say can stand.
    return message.rfind(b',"last":true', -200) >= 0


def _unregistered(answers: list[bytes], count: int) -> list[str]:
    """What is wrong: each must be answered `registered`, with an id that no other has."""
    try:
        messages = [decode_message(answer) for answer in answers]
    except msgspec.DecodeError as error:
        return [f"what came is no answer of a hub: {error}"]
    ids = {message.agent_id for message in messages if isinstance(message, Registered)}
    others = [message for message in messages if not isinstance(message, Registered)]
    if not others and len(ids) == count:
        return []
    return [f"{len(ids)} ids for {count} agents", *map(repr, others[:5])]


def _troubles(connections: list[Connection]) -> list[str]:
    """What was wrong, in words."""
    troubles = []
    for number, each in enumerate(connections):
        if each.ended:
            troubles.append(f"connection {number}: {each.end_reason}")
        elif each.asked > each.answered:
            troubles.append(f"connection {number}: {each.asked - each.answered} without an answer")
        if each.wrong:
            example = each.example[:200].decode(errors="replace")
            troubles.append(f"connection {number}: {each.wrong} wrong answers, such as {example}")
    return troubles


async def _main(spec: CrowdSpec, run: Run) -> None:
    process = _Process(spec)
    await run.serve(
        {
            "open": process.open,
            "load": process.load,
            "say": process.say,
            "die": process.die,
            "leave": process.leave,
        }
    )


if __name__ == "__main__":
    work(CrowdSpec, _main)
