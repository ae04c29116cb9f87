"""A program of a fault's scene: `python -m tests.faults.crew`, agents, callers and watchers.

Its spec is the first line on its standard input; then come words, each answered with itself when
it is done: `quiet` ends the changes (signs of life go on), `leave` unregisters all agents,
`join`, `speak` and `listen` are acts of `tests.faults.doubles`. A program whose test is gone ends.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import uuid
from pathlib import Path

import msgspec
from msgspec import Struct

from agent_client import AgentClient, Backoff, HomeportError
from tests.faults.doubles import Doubles
from tests.faults.legacy import LegacyAgent, OlderProcess
from tests.faults.notes import Pen, Pulse, Trouble
from tests.faults.tape import record
from tests.faults.watchers import Follower, Mover

PULSE = 0.25

PAUSE = 0.5
"""Seconds between an answer and the next change, more or less."""

REQUEST_TIMEOUT = 4.0
"""Longer than the 2 s for which a hub lets a change wait for Redis."""


class Spec(Struct, frozen=True, kw_only=True):
    """Who takes part. `hubs` are their names and URLs (http://…), `path` is where notes go."""

    name: str
    hubs: dict[str, str]
    namespace: str
    path: str
    agents: int = 0
    legacy: int = 0
    watchers: int = 0
    interval: float = 1.0


def agent_id(namespace: str, name: str) -> str:
    """The stable identity of the agent of this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}"))


def agent_ids(spec: Spec) -> list[str]:
    """The identities of the agents that come over websocket."""
    return [agent_id(spec.namespace, f"{spec.name}-{number}") for number in range(spec.agents)]


class Changing:
    """An agent of the client package which changes its version on and on."""

    def __init__(self, spec: Spec, number: int) -> None:
        self.client = AgentClient(
            list(spec.hubs.values()),
            name=f"{spec.name}-{number}",
            type="cost",
            version="0",
            agent_id=agent_ids(spec)[number],
            namespace=spec.namespace,
            request_timeout=REQUEST_TIMEOUT,
            connect_timeout=60.0,
            keepalive=1.0,
            backoff=Backoff(base=0.2, cap=1.0),
        )

    async def change_on(self, quiet: asyncio.Event) -> None:
        """Change, one after the other, until told."""
        value = 0
        while not quiet.is_set():
            await asyncio.sleep(PAUSE * (0.5 + random.random()))
            value += 1
            try:
                await self.client.update(version=str(value))
            except HomeportError as error:
                logging.getLogger("crew").warning("a change failed: %r", error)


class Crew:
    """Everyone in this program."""

    def __init__(self, spec: Spec, pen: Pen) -> None:
        self._spec = spec
        self._pen = pen
        self._quiet = asyncio.Event()
        self._agents = [Changing(spec, number) for number in range(spec.agents)]
        self._legacy = [LegacyAgent(spec.hubs, spec.namespace, pen, n) for n in range(spec.legacy)]
        self._older = [
            OlderProcess(spec.hubs, spec.namespace, pen, each) for each in agent_ids(spec)[::2]
        ]
        kinds = [Mover if number % 2 else Follower for number in range(spec.watchers)]
        self._watchers = [
            kind(spec.hubs, spec.namespace, pen, f"{kind.__name__.lower()}-{number}")
            for number, kind in enumerate(kinds)
        ]
        self._doubles = Doubles(spec.hubs, spec.namespace, pen)
        self._tasks: list[asyncio.Task[None]] = []
        self._changing: list[asyncio.Task[None]] = []
        self._beating: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Everyone registers; then changes begin."""
        self._tasks += [asyncio.create_task(each.follow()) for each in self._watchers]
        await asyncio.gather(*(older.register() for older in self._older))
        await asyncio.gather(
            *(agent.client.start() for agent in self._agents),
            *(agent.register() for agent in self._legacy),
        )
        self._changing = [asyncio.create_task(each.change_on(self._quiet)) for each in self._agents]
        self._beating = [
            asyncio.create_task(each.beat_on(self._spec.interval, self._quiet))
            for each in [*self._legacy, *self._older]
        ]

    async def obey(self, word: str) -> None:
        """Do what the word says."""
        if word == "quiet":
            self._quiet.set()
            await asyncio.gather(*self._changing)
        elif word == "leave":
            self._doubles.end()
            for task in self._beating:
                task.cancel()
            await asyncio.gather(*self._beating, return_exceptions=True)
            await asyncio.gather(
                *(agent.client.close() for agent in self._agents),
                *(agent.leave() for agent in self._legacy),
            )
        else:
            await self._doubles.play(word)
        for task in [*self._tasks, *self._changing, *self._beating]:
            if task.done() and not task.cancelled() and task.exception() is not None:
                self._pen.note(Trouble, words=f"in the test's own program: {task.exception()!r}")


async def _pulse(pen: Pen) -> None:
    while True:
        pen.note(Pulse)
        await asyncio.sleep(PULSE)


async def main() -> None:
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(words), sys.stdin
    )
    spec = msgspec.json.decode(await words.readline(), type=Spec)
    pen = Pen(Path(spec.path))
    record(pen, {int(url.rpartition(":")[2]): name for name, url in spec.hubs.items()})
    pulse = asyncio.create_task(_pulse(pen))
    crew = Crew(spec, pen)
    await crew.begin()
    print("ready", flush=True)
    while line := await words.readline():
        word = line.decode().strip()
        await crew.obey(word)
        print(word, flush=True)
    pulse.cancel()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s.%(msecs)03d %(name)s %(message)s", datefmt="%H:%M:%S")
    asyncio.run(main())
