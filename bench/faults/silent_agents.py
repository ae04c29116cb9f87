"""A worker with agents that fall silent: `python -m bench.faults.silent_agents`.

Half of them are on websockets and never answer a ping, half come over HTTP. Each heartbeats until
its time is over, and then says nothing more, without hanging up. Words of the run: `go` has them
register, each of which heartbeats from then on; `signs`, when all are silent, asks when each gave
its signs of life.
"""

from __future__ import annotations

import asyncio
import random
import time

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


class _WebsocketAgent:
    def __init__(self, spec: SilentAgents, number: int) -> None:
        self.agent_id = ""
        self.signs: list[float] = []
        self._url = spec.websocket_url
        self._spec = AgentSpec(name=f"silent-websocket-{number}", type="silent")

    async def register(self) -> None:
        self._client = await RawClient.connect(self._url, pongs=False)
        self.signs.append(time.monotonic())
        answer, _ = await self._client.register(self._spec)
        self.agent_id = answer.agent_id

    async def beat(self) -> bool:
        """Heartbeat; False when the hub has already given it up."""
        at = time.monotonic()
        try:
            heard = await self._client.ask(Heartbeat(id=0))
        except GoneError:
            return False
        # Only what the hub acknowledged has reached it for certain.
        acknowledged = isinstance(heard.answer, HeartbeatAck)
        if acknowledged:
            self.signs.append(at)
        return acknowledged


class _HttpAgent:
    def __init__(self, spec: SilentAgents, number: int) -> None:
        self.agent_id = ""
        self.signs: list[float] = []
        self._caller = HttpCaller(spec.url)
        self._name = f"silent-http-{number}"

    async def register(self) -> None:
        body = {"name": self._name, "type": "silent", "host": "127.0.0.1", "port": 1}
        answer = await self._caller.call("POST", "/agents/register", body)
        if answer.status != 201:
            raise BenchError(f"an agent could not register: {answer.status} {answer.body!r}")
        self.signs.append(answer.sent)
        self.agent_id = answer.json()["agent_id"]

    async def beat(self) -> bool:
        """Heartbeat; False when the hub has already given it up."""
        answer = await self._caller.call("POST", f"/agents/{self.agent_id}/heartbeat", {})
        if answer.status == 200:
            self.signs.append(answer.sent)
        return answer.status == 200


async def _live(agent: _WebsocketAgent | _HttpAgent, interval: float, until: float) -> None:
    next_beat = time.monotonic() + interval * random.random()
    while next_beat < until:
        await asyncio.sleep(next_beat - time.monotonic())
        if not await agent.beat():
            return
        next_beat += interval


async def _main(spec: SilentAgents, run: Run) -> None:
    agents: list[_WebsocketAgent | _HttpAgent] = [
        _WebsocketAgent(spec, number) if number % 2 == 0 else _HttpAgent(spec, number)
        for number in range(spec.count)
    ]
    await run.receive("go")
    lives = []
    begin = time.monotonic()
    for number, agent in enumerate(agents):
        await agent.register()
        silent_at = begin + spec.lively + spec.spread * number / spec.count
        lives.append(asyncio.create_task(_live(agent, spec.interval, silent_at)))
    run.answer(Done())
    await asyncio.gather(*lives)
    await run.receive("signs")
    run.answer(
        Signs(
            {each.agent_id: each.signs for each in agents if isinstance(each, _WebsocketAgent)},
            {each.agent_id: each.signs for each in agents if isinstance(each, _HttpAgent)},
        )
    )
    await run.receive()  # none comes: the silent ones keep their sockets until the run is gone


if __name__ == "__main__":
    work(SilentAgents, _main)
