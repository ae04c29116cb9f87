"""A crowd of websockets in a process of their own, which are idle for most of the time.

`python -m bench.load.crowd` is that process. Words of the run: `open` opens the next group; `say`
has the speaker say its next message; `die` ends a connection of those that are there to die; each
time all hearers hear one message. `leave` unregisters the agents.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct, structs

from bench.errors import BenchError
from bench.load.connection import Target
from bench.load.peers import Peer, Peers
from bench.load.records import bench_spec
from bench.load.talk import masked_text
from bench.rig.cores import Cores, pin
from bench.rig.workers import Run, Worker, work
from homeport_protocol.answers import Registered
from homeport_protocol.codec import decode_message, encode
from homeport_protocol.requests import Register, Unregister, Watch

Kind = Literal["agent", "watcher", "told of ends", "silent"]
"""What a connection says first: it registers, watches everything, asks a bare server to be told of
ends, or says nothing."""

_ANSWERED: dict[Kind, Callable[[Peer], bool]] = {
    "agent": lambda peer: peer.whole(1),
    "watcher": lambda peer: peer.ends_with(b',"last":true}'),  # the end of its snapshot
    "told of ends": lambda peer: peer.whole(1),
    "silent": lambda peer: True,
}
"""Whether one of the kind has been answered in full."""


class Group(Struct, frozen=True):
    """Connections that are opened together, so many on their way at a time.

    `role`: hearers hear each message; the first speaker says what is to be said; mortals die.
    """

    kind: Kind
    count: int
    role: Literal["hearer", "speaker", "mortal", ""] = ""
    at_once: int = 64


class CrowdSpec(Struct, frozen=True, kw_only=True):
    """What one process does; `says` are texts, said in turn, each answered by one message."""

    url: str
    groups: list[Group]
    says: list[str] = []


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


class Crowd:
    """The process."""

    def __init__(self, spec: CrowdSpec, cores: Cores) -> None:
        self._worker = Worker("bench.load.crowd", spec)
        self._cores = cores
        self._groups = len(spec.groups)

    async def __aenter__(self) -> Crowd:
        await self._worker.__aenter__()
        pin(self._worker.pid, self._cores.load)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._worker.__aexit__(None, None, None)

    async def open(self) -> Opened:
        """Open all groups, one after the other; returns what the last one was like.

        Its troubles are those of all.
        """
        opened = [await self._worker.request("open", Opened, 600.0) for _ in range(self._groups)]
        return structs.replace(
            opened[-1], troubles=[each for one in opened for each in one.troubles]
        )

    async def say(self) -> Heard:
        """Have the speaker say its next message; all hear one."""
        return await self._worker.request("say", Heard)

    async def die(self) -> Heard:
        """End one connection; all hear of it."""
        return await self._worker.request("die", Heard)

    async def leave(self) -> None:
        """Unregister all agents: their hub goes on without us."""
        await self._worker.request("leave", Opened, 600.0)


class _Process:
    """What the words of the run do; each does it at once."""

    def __init__(self, spec: CrowdSpec) -> None:
        self._spec = spec
        self._peers = Peers(Target(spec.url))
        self._agents: list[Peer] = []
        self._roles: dict[str, list[Peer]] = {"hearer": [], "speaker": [], "mortal": [], "": []}
        self._says = [masked_text(text.encode()) for text in spec.says]
        self._said = 0

    def open(self, group: Group) -> Opened:
        numbers = range(len(self._agents), len(self._agents) + group.count)
        firsts = [_first_message(group.kind, number) for number in numbers]
        began, cpu = time.monotonic(), time.process_time()
        peers = self._peers.open(firsts, _ANSWERED[group.kind], group.at_once)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        self._roles[group.role] += peers
        answers = [peer.take() for peer in peers]
        troubles = []
        if group.kind == "agent":
            self._agents += peers
            troubles = _unregistered([answer for (answer,) in answers], group.count)
        return Opened(seconds, cpu, troubles)

    def say(self) -> Heard:
        (speaker,) = self._roles["speaker"]
        message = self._says[self._said % len(self._says)]
        self._said += 1
        began, cpu = time.monotonic(), time.process_time()
        speaker.socket.sendall(message)
        at = self._peers.hear([speaker, *self._roles["hearer"]])
        cpu = time.process_time() - cpu
        speaker.take()
        return Heard(self._heard(), began, at - began, cpu)

    def die(self) -> Heard:
        mortal = self._roles["mortal"].pop()
        if mortal in self._agents:
            self._agents.remove(mortal)
        cpu = time.process_time()
        began = self._peers.end(mortal)
        at = self._peers.hear(self._roles["hearer"])
        return Heard(self._heard(), began, at - began, time.process_time() - cpu)

    def leave(self) -> Opened:
        message = masked_text(encode(Unregister(id=0)))
        for agent in self._agents:
            agent.socket.sendall(message)
        while self._agents:
            peer = self._agents.pop()
            peer.socket.recv(1024)
            peer.socket.close()
        return Opened(0.0, 0.0, [])

    def _heard(self) -> str:
        texts = {text for peer in self._roles["hearer"] for text in peer.take()}
        if len(texts) != 1:
            raise BenchError(f"not all hearers heard the same, but {texts}")
        return texts.pop().decode()


def _first_message(kind: Kind, number: int) -> bytes:
    match kind:
        case "agent":
            return masked_text(encode(Register(id=0, agent=bench_spec(number))))
        case "watcher":
            return masked_text(encode(Watch(id=0)))
        case "told of ends":
            return masked_text(b"ends")
        case "silent":
            return b""


def _unregistered(answers: list[bytes], count: int) -> list[str]:
    """What is not as it must be: each is answered `registered`, under an id of its own."""
    try:
        messages = [decode_message(answer) for answer in answers]
    except msgspec.DecodeError as error:
        return [f"what came is no answer of a hub: {error}"]
    ids = {message.agent_id for message in messages if isinstance(message, Registered)}
    others = [message for message in messages if not isinstance(message, Registered)]
    if not others and len(ids) == count:
        return []
    return [f"{len(ids)} ids for {count} agents", *map(repr, others[:5])]


async def _main(spec: CrowdSpec, run: Run) -> None:
    process = _Process(spec)
    groups = iter(spec.groups)
    while True:
        match await run.word("open", "say", "die", "leave"):
            case "open":
                run.tell(process.open(next(groups)))
            case "say":
                run.tell(process.say())
            case "die":
                run.tell(process.die())
            case _:
                run.tell(process.leave())


if __name__ == "__main__":
    work(CrowdSpec, _main)
