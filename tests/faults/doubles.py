"""Identities with two sessions: an older one goes on talking after a newer one has begun.

Three acts, each a word of the test, which makes the network half open between the first and the
last: `join` registers at the first hub; `speak` says things there that are stuck on the way, and
begins a newer session at the second hub meanwhile; `listen` hears what became of the old ones once
they arrive, and says them again and again. Every other identity's newer session resumes; the
rest register anew, and then show the old token to the third hub.
"""

from __future__ import annotations

import asyncio
import uuid

from agent_client.errors import Fenced, HomeportError
from agent_client.transport.channel import Channel
from agent_client.transport.dialer import Dialer
from homeport_protocol.answers import HeartbeatAck, Registered, Updated
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Heartbeat, Register, Resume, Update
from tests.faults.notes import Pen, Trouble

COUNT = 4
REPLAY_PAUSE = 0.05
PATIENCE = 8.0


class Double:
    """One identity."""

    def __init__(self, hubs: dict[str, str], namespace: str, pen: Pen, number: int) -> None:
        self.id = double_id(namespace, number)
        self._name = f"double-{number}"
        self._urls = [f"ws{url.removeprefix('http')}/ws" for url in hubs.values()]
        self._dialer = Dialer(self._urls, namespace=namespace, token=None)
        self._pen = pen
        self._resumes = number % 2 == 0
        self._token = ""
        self._old: Channel | None = None
        self._late: list[asyncio.Task[str]] = []
        self._beating: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """The session that will be the old one, at the first hub."""
        self._old = await self._connect(0)
        registered = await self._register(self._old)
        self._token = registered.session_token

    async def speak(self) -> None:
        """Say things that do not arrive yet; the newer session begins, at the second hub."""
        assert self._old is not None
        self._late = [
            asyncio.create_task(self._try(self._old, Heartbeat(id=0, status="unhealthy"))),
            asyncio.create_task(self._try(self._old, Update(id=0, version="late"))),
        ]
        await asyncio.sleep(0.2)
        new = await self._connect(1)
        if not self._resumes:
            await self._register(new)
        elif not (await self._resume(new)).resumed:
            self._say("was not resumed with its token")
        self._beating = asyncio.create_task(self._beat(new))

    async def listen(self) -> None:
        """What was late arrives; the old session says more, and must end."""
        assert self._old is not None
        outcomes = [await task for task in self._late]
        while not self._old.ended:
            outcomes.append(await self._try(self._old, Update(id=0, version="replayed")))
            outcomes.append(await self._try(self._old, Heartbeat(id=0)))
            await asyncio.sleep(REPLAY_PAUSE)
        error = await self._old.wait_ended()
        if not isinstance(error, Fenced):
            self._say(f"its old session ended, not fenced, but so: {error!r}")
        if "ok" in outcomes:
            self._say(f"its old session's words were accepted: {outcomes}")
        if not self._resumes:
            await self._show_old_token()

    async def _show_old_token(self) -> None:
        third = await self._connect(2)
        try:
            await self._resume(third)
        except Fenced:
            pass
        except HomeportError as refusal:
            self._say(f"its old token was refused so: {refusal!r}")
        else:
            self._say("its old token was accepted after it had registered anew")
        await third.close()

    async def _register(self, channel: Channel) -> Registered:
        spec = AgentSpec(name=self._name, type="cost", version="1")
        return await channel.request(Register(id=0, agent=spec, agent_id=self.id), Registered)

    async def _resume(self, channel: Channel) -> Registered:
        request = Resume(id=0, agent_id=self.id, session_token=self._token)
        return await channel.request(request, Registered)

    def end(self) -> None:
        """No more heartbeats."""
        if self._beating is not None:
            self._beating.cancel()

    async def _connect(self, hub: int) -> Channel:
        return Channel(await self._dialer.dial(self._urls[hub], seconds=PATIENCE), timeout=PATIENCE)

    async def _try(self, channel: Channel, request: Heartbeat | Update) -> str:
        expected = HeartbeatAck if isinstance(request, Heartbeat) else Updated
        try:
            await channel.request(request, expected)
        except HomeportError as error:
            return error.code or "lost"
        return "ok"

    async def _beat(self, channel: Channel) -> None:
        for version in ("2", "3", "4"):
            await self._try(channel, Update(id=0, version=version))
            await asyncio.sleep(0.3)
        while not channel.ended:
            await self._try(channel, Heartbeat(id=0))
            await asyncio.sleep(1.0)
        self._say(f"its newer session ended: {await channel.wait_ended()!r}")

    def _say(self, words: str) -> None:
        self._pen.note(Trouble, words=f"{self._name}: {words}")


class Doubles:
    """All of them."""

    def __init__(self, hubs: dict[str, str], namespace: str, pen: Pen) -> None:
        self._all = [Double(hubs, namespace, pen, number) for number in range(COUNT)]

    async def play(self, act: str) -> None:
        """One act: `join`, `speak` or `listen`."""
        await asyncio.gather(*(getattr(double, act)() for double in self._all))

    def end(self) -> None:
        """They go on no more, and say no goodbye."""
        for double in self._all:
            double.end()


def double_ids(namespace: str) -> list[str]:
    """The identities of all doubles."""
    return [double_id(namespace, number) for number in range(COUNT)]


def double_id(namespace: str, number: int) -> str:
    """The identity of one."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/double-{number}"))
