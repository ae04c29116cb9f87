"""Watchers: those of the client package, and those that keep moving from hub to hub."""

from __future__ import annotations

import asyncio
import random

from msgspec import UNSET

from agent_client import Backoff, Event, HomeportError, HubClient
from agent_client.transport.connection import Connection
from agent_client.transport.dialer import Dialer
from homeport_protocol import answers
from homeport_protocol.requests import Ping, Watch
from tests.faults.notes import Pen, Trouble
from tests.faults.tape import WATCHER

STAY = (0.4, 1.5)
"""Seconds for which a mover stays at one hub."""

PATIENCE = 3.0


class Follower:
    """A watch of the client package; what it yields must only rise.

    That nothing is missing is judged by what the store's log has: `watch_has_no_gap`.
    """

    def __init__(self, hubs: dict[str, str], namespace: str, pen: Pen, name: str) -> None:
        self._pen = pen
        self._name = name
        self._hub = HubClient(
            list(hubs.values()),
            namespace=namespace,
            request_timeout=PATIENCE,
            keepalive=1.0,
            backoff=Backoff(base=0.2, cap=1.0),
        )

    async def follow(self) -> None:
        """Watch everything until cancelled."""
        WATCHER.set(self._name)
        stands_at = -1
        async for item in self._hub.watch():
            if isinstance(item, Event) and item.revision <= stands_at:
                words = f"{self._name} was given {item.revision} after {stands_at}"
                self._pen.note(Trouble, words=words)
            stands_at = item.revision


class Mover:
    """Watches with the protocol's own means, and goes on at each hub where it stood at the last."""

    def __init__(self, hubs: dict[str, str], namespace: str, pen: Pen, name: str) -> None:
        self._urls = [f"ws{url.removeprefix('http')}/ws" for url in hubs.values()]
        self._dialer = Dialer(self._urls, namespace=namespace, token=None)
        self._name = name
        self._log = ""
        self._revision = -1

    async def follow(self) -> None:
        """Move on and on, until cancelled."""
        WATCHER.set(self._name)
        at = 0
        while True:
            at = (at + random.randrange(1, len(self._urls))) % len(self._urls)
            connection: Connection | None = None
            try:
                connection = await self._dialer.dial(self._urls[at], seconds=PATIENCE)
                await self._stay(connection)
            except (HomeportError, TimeoutError):
                await asyncio.sleep(0.1)
            finally:
                if connection is not None:
                    connection.abort()

    async def _stay(self, connection: Connection) -> None:
        known = self._revision >= 0
        request = Watch(
            id=1, log=self._log if known else UNSET, since=self._revision if known else UNSET
        )
        loop = asyncio.get_running_loop()
        leave = loop.time() + random.uniform(*STAY)
        async with asyncio.timeout(PATIENCE):
            await connection.send(request)
        whole = self._follow_up(None)
        pinged = 0
        while loop.time() < leave or not whole:
            async with asyncio.timeout(PATIENCE):
                # Its answer makes sure that this goes on, and that the hub lives.
                if not pinged:
                    await connection.send(Ping(id=2))
                    pinged = 1
                message = await connection.receive()
            if isinstance(message, answers.Pong):
                await asyncio.sleep(0.1)
                pinged = 0
            elif isinstance(message, answers.Error):
                return
            else:
                whole = self._follow_up(message)

    def _follow_up(self, message: object) -> bool:
        """Take in what a watch says; whether it has said all that it knew at its beginning."""
        match message:
            case answers.Watching():
                return message.resumed
            case answers.Snapshot():
                if message.last:
                    self._log, self._revision = message.log, message.revision
                return message.last
            case answers.Event():
                self._revision = message.revision
                return True
            case _:
                return False
