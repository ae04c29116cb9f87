"""A worker with agents that fall silent: `python -m bench.faults.silent_agents`.

Half of them are on websockets and never answer a ping, half come over HTTP. Each heartbeats until
its time is over, and then says nothing more, without hanging up. Words of the run: `go` has them
register, each of which heartbeats from then on; `signs` waits until all are silent, and asks when
each gave its signs of life. Until the run ends the silent ones keep their sockets.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod

from msgspec import Struct

from bench.errors import BenchError
from bench.peers.http_client import HttpCaller
from bench.peers.raw_client import GoneError, RawClient
from bench.rig.workers import Done, Run, work
from homeport_protocol.answers import HeartbeatAck
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Heartbeat


class SilentAgents(Struct, frozen=True, kw_only=True):
    """Agents fall silent at instants spread over `spread` seconds, after `lively` seconds."""

    url: str
    websocket_url: str
    count: int
    interval: float
    lively: float
    spread: float


class Signs(Struct, frozen=True):
    """When each agent gave its signs of life: `time.monotonic()` just before each was sent."""

    websocket: dict[str, list[float]]
    http: dict[str, list[float]]


class _Agent(ABC):
    """An agent over either transport; `signs` are its signs of life."""

    agent_id: str

    def __init__(self) -> None:
        self.signs: list[float] = []

    async def live(self, interval: float, until: float) -> None:
        """Heartbeat until then, or until the hub gives it up."""
        next_beat = time.monotonic() + interval * random.random()
        while next_beat < until:
            await asyncio.sleep(next_beat - time.monotonic())
            sent = await self.beat()
            if sent is None:
                return
            self.signs.append(sent)  # only what the hub acknowledged has reached it for certain
            next_beat += interval

    @abstractmethod
    async def beat(self) -> float | None:
        """Heartbeat; returns when it was sent, or None when the hub does not acknowledge it."""


class _WebsocketAgent(_Agent):
    async def register(self, spec: SilentAgents, number: int) -> None:
        self._client = await RawClient.connect(spec.websocket_url, pongs=False)
        agent = AgentSpec(name=f"silent-websocket-{number}", type="silent")
        answer, heard = await self._client.register(agent)
        self.signs.append(heard.sent)
        self.agent_id = answer.agent_id

    async def beat(self) -> float | None:
        try:
            heard = await self._client.ask(Heartbeat(id=0))
        except GoneError:
            return None
        return heard.sent if isinstance(heard.answer, HeartbeatAck) else None


class _HttpAgent(_Agent):
    async def register(self, spec: SilentAgents, number: int) -> None:
        self._caller = HttpCaller(spec.url)
        name = f"silent-http-{number}"
        body = {"name": name, "type": "silent", "host": "127.0.0.1", "port": 1}
        answer = await self._caller.call("POST", "/agents/register", body)
        if answer.status != 201:
            raise BenchError(f"an agent could not register: {answer.status} {answer.body!r}")
        self.signs.append(answer.sent)
        self.agent_id = answer.json()["agent_id"]

    async def beat(self) -> float | None:
        answer = await self._caller.call("POST", f"/agents/{self.agent_id}/heartbeat", {})
        return answer.sent if answer.status == 200 else None


async def _main(spec: SilentAgents, run: Run) -> None:
    agents: list[_WebsocketAgent | _HttpAgent] = []
    lives: list[asyncio.Task[None]] = []

    async def go() -> Done:
        begin = time.monotonic()
        for number in range(spec.count):
            agent = _HttpAgent() if number % 2 else _WebsocketAgent()
            await agent.register(spec, number)
            agents.append(agent)
            silent_at = begin + spec.lively + spec.spread * number / spec.count
            lives.append(asyncio.create_task(agent.live(spec.interval, silent_at)))
        return Done()

    async def signs() -> Signs:
        await asyncio.gather(*lives)
        return Signs(
            {each.agent_id: each.signs for each in agents if isinstance(each, _WebsocketAgent)},
            {each.agent_id: each.signs for each in agents if isinstance(each, _HttpAgent)},
        )

    await run.serve({"go": go, "signs": signs})


if __name__ == "__main__":
    work(SilentAgents, _main)
