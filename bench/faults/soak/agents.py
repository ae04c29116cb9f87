"""Lives of agents over websockets: what they do, and how they end."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

from msgspec import UNSET

from agent_client import AgentClient
from bench.faults.soak.place import CAPABILITIES, Place, any_spec
from bench.peers.raw_client import RawClient
from bench.rig.waiting import until
from homeport_protocol.answers import Registered
from homeport_protocol.filters import Filter
from homeport_protocol.requests import (
    Find,
    Get,
    Heartbeat,
    Ping,
    Register,
    Resume,
    Unregister,
    Update,
)

_numbers = itertools.count()

DOINGS = 6  # requests of an agent in one life, at most


class Agent:
    """One agent with its connection."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.namespace = place.namespace()
        self.spec = any_spec(next(_numbers))
        self.client: RawClient
        self.held: Registered

    async def join(self, agent_id: str | None = None, *, pongs: bool = True) -> None:
        """Connect and register, under the same id as before if one is given."""
        self.client = await self.place.connect(self.namespace, pongs=pongs)
        request = Register(id=0, agent=self.spec, agent_id=agent_id or UNSET)
        answer = await self.place.ask(self.client, request)
        assert isinstance(answer, Registered)
        self.held = answer

    async def resume(self) -> bool:
        """Come back on a new connection; False when the hub has forgotten the agent."""
        self.client = await self.place.connect(self.namespace)
        request = Resume(id=0, agent_id=self.held.agent_id, session_token=self.held.session_token)
        answer = await self.place.ask(self.client, request, "not_found")
        if answer is None:
            self.client.abort()
            return False
        assert isinstance(answer, Registered)
        if not answer.resumed or answer.agent_id != self.held.agent_id:
            self.place.trouble(f"resumed as another agent: {answer}")
        self.held = answer
        return True

    async def spend(self) -> None:
        """Do a few things that agents do."""
        for _ in range(random.randint(1, DOINGS)):
            await self.place.pause()
            await self.place.ask(self.client, self._doing())

    async def leave(self) -> None:
        """Unregister, and see the hub close."""
        await self.place.ask(self.client, Unregister(id=0))
        await until("the close after unregistering", lambda: self.client.ended, 10.0, every=0.05)

    def _doing(self) -> Heartbeat | Update | Find | Get | Ping:
        match random.randrange(8):
            case 0:
                return Heartbeat(id=0, status=random.choice(("healthy", "degraded", "unhealthy")))
            case 1:
                return Heartbeat(id=0, metadata={f"key-{random.randrange(5)}": random.random()})
            case 2:
                return Update(id=0, version=f"2.{random.randrange(9)}", load=random.random())
            case 3:
                return Update(id=0, capabilities=random.sample(CAPABILITIES, 4))
            case 4:
                return Find(id=0, filter=Filter(capabilities=[self.spec.capabilities[0]]), limit=20)
            case 5:
                return Get(id=0, agent_id=self.held.agent_id)
            case 6:
                return Ping(id=0)
            case _:
                return Heartbeat(id=0)


async def leaves(place: Place) -> None:
    """It unregisters."""
    agent = Agent(place)
    await agent.join()
    await agent.spend()
    await agent.leave()


async def dies(place: Place) -> None:
    """Its connection breaks, and it never comes back: it expires."""
    agent = Agent(place)
    await agent.join()
    await agent.spend()
    agent.client.abort()


async def resumes(place: Place) -> None:
    """Its connection breaks, and it comes back before it is unreachable."""
    agent = Agent(place)
    await agent.join()
    for _ in range(random.randint(1, 3)):
        agent.client.abort()
        await place.pause(place.times.window / 2)
        if not await agent.resume():
            place.trouble("forgotten within its resume window")
            return
        await agent.spend()
    await agent.leave()


async def returns(place: Place) -> None:
    """It is away until it is unreachable, or gone, and comes back under its id."""
    agent = Agent(place)
    await agent.join()
    agent.client.abort()
    await asyncio.sleep(place.times.window + random.random() * place.times.lease * 1.2)
    if random.random() < 0.5 or not await agent.resume():
        await agent.join(agent.held.agent_id)
    await agent.spend()
    await agent.leave()


async def is_fenced(place: Place) -> None:
    """Another session takes over its id."""
    agent = Agent(place)
    await agent.join()
    first = agent.client
    await agent.join(agent.held.agent_id)
    await until("the fenced session's close", lambda: first.ended, 10.0, every=0.05)
    if first.close_code != 4409:
        place.trouble(f"a fenced session was closed with {first.close_code}")
    await agent.spend()
    await agent.leave()


async def falls_silent(place: Place) -> None:
    """It falls silent, and does not even answer pings: its hub gives it up."""
    agent = Agent(place)
    await agent.join(pongs=False)
    patience = place.times.timeout * 3 + 10.0
    await until("the silent agent given up", lambda: agent.client.ended, patience, every=0.1)
    if agent.client.close_code != 4408:
        place.trouble(f"a silent session was closed with {agent.client.close_code}")


async def uses_the_client(place: Place) -> None:
    """It is an agent of the client package."""
    spec = any_spec(next(_numbers))
    async with AgentClient(
        place.url, name=spec.name, type=spec.type, namespace=place.namespace()
    ) as agent:
        for _ in range(random.randint(1, 3)):
            await agent.report(load=random.random())
            await place.pause(place.times.interval * 2)


LIVES: dict[Callable[[Place], Awaitable[None]], int] = {
    leaves: 6,
    dies: 4,
    resumes: 3,
    returns: 3,
    is_fenced: 2,
    falls_silent: 2,
    uses_the_client: 2,
}
"""The lives, with their relative frequency."""
