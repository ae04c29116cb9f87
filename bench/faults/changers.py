"""Callers that go on with changes while the store is away, and remember every answer."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import UNSET, Struct

from bench.peers.http_client import HttpCaller
from bench.peers.raw_client import Heard, RawClient
from homeport_protocol.answers import Error, Registered, Updated
from homeport_protocol.record import AgentRecord, AgentSpec
from homeport_protocol.requests import Register, Update

UPDATERS = 5
MARK = "update-"
UPDATE_PAUSE = 0.02
"""Seconds, more or less: short, so that mostly an update is the first change to meet the stop."""

REGISTER_PAUSE = 0.25


class Attempt(Struct, frozen=True):
    """A change that was asked for, and the answer: `done`, or an error's code.

    `value` is what an update set. `agent_id` is empty where only the hub's answer would tell it.
    """

    name: str
    agent_id: str
    value: str
    answer: str
    sent: float
    at: float

    @classmethod
    def heard(cls, name: str, agent_id: str, value: str, heard: Heard) -> Attempt:
        answer = heard.answer
        said = answer.code if isinstance(answer, Error) else type(answer).__name__
        said = "done" if isinstance(answer, Registered | Updated) else said
        return cls(name, agent_id, value, said, heard.sent, heard.at)

    @property
    def done(self) -> bool:
        return self.answer == "done"


class Updater:
    """One agent that changes itself again and again.

    Each change sets the version to the next number, and leaves a key in the metadata, so that its
    record shows which changes were made, whatever came later.
    """

    def __init__(self, client: RawClient, name: str, agent_id: str) -> None:
        self._client = client
        self._name = name
        self.agent_id = agent_id
        self.attempts: list[Attempt] = []

    @classmethod
    async def register(cls, url: str, number: int) -> Updater:
        client = await RawClient.connect(url)
        name = f"updater-{number}"
        answer, _ = await client.register(AgentSpec(name=name, type="updater", version="0"))
        return cls(client, name, answer.agent_id)

    def made(self, record: AgentRecord) -> set[str]:
        """The values of the changes that the record shows."""
        metadata = {} if record.metadata is UNSET else record.metadata
        return {key.removeprefix(MARK) for key in metadata if key.startswith(MARK)}

    async def go_on(self, over: asyncio.Event) -> None:
        """Change the version, one request after the other, until it is over."""
        while not over.is_set():
            value = str(len(self.attempts) + 1)
            update = Update(id=0, version=value, metadata={f"{MARK}{value}": 1})
            heard = await self._client.ask(update)
            self.attempts.append(Attempt.heard(self._name, self.agent_id, value, heard))
            await asyncio.sleep(UPDATE_PAUSE * (0.5 + random.random()))


class Registrar:
    """Registers new agents, each under a new id and on a new connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._started = 0
        self.attempts: list[Attempt] = []

    async def go_on(self, over: asyncio.Event) -> None:
        """Register one after the other, without waiting for answers, until it is over."""
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(self._register())
                await asyncio.sleep(REGISTER_PAUSE)

    async def _register(self) -> None:
        client = await RawClient.connect(self._url)
        self._started += 1
        name, agent_id = f"late-{self._started}", str(uuid.uuid4())
        request = Register(id=0, agent=AgentSpec(name=name, type="late"), agent_id=agent_id)
        self.attempts.append(Attempt.heard(name, agent_id, "", await client.ask(request)))


class HttpRegistrar:
    """Registers new agents over HTTP; a refusal must say when to try again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.attempts: list[Attempt] = []
        self.without_hint = 0

    async def go_on(self, over: asyncio.Event) -> None:
        """Register one after the other until it is over."""
        async with HttpCaller(self._url) as caller:
            while not over.is_set():
                name, agent_id = f"late-http-{len(self.attempts)}", ""
                body = {"name": name, "type": "late", "host": "127.0.0.1", "port": 1}
                answer = await caller.call("POST", "/agents/register", body)
                if answer.status == 201:
                    said, agent_id = "done", answer.json()["agent_id"]
                else:
                    said = "unavailable" if answer.status == 503 else f"status {answer.status}"
                    self.without_hint += "retry-after" not in answer.headers
                self.attempts.append(Attempt(name, agent_id, "", said, answer.sent, answer.at))
                await asyncio.sleep(REGISTER_PAUSE)


class Changers:
    """All of them; their connections end with the hub."""

    def __init__(self, url: str, websocket_url: str, updaters: list[Updater]) -> None:
        self.updaters = updaters
        self.registrar = Registrar(websocket_url)
        self.http = HttpRegistrar(url)

    @classmethod
    async def start(cls, url: str, websocket_url: str) -> Changers:
        """Connect and register the agents that change themselves."""
        updaters = [await Updater.register(websocket_url, number) for number in range(UPDATERS)]
        return cls(url, websocket_url, updaters)

    @property
    def updates(self) -> list[Attempt]:
        return [attempt for updater in self.updaters for attempt in updater.attempts]

    @property
    def registrations(self) -> list[Attempt]:
        return [*self.registrar.attempts, *self.http.attempts]

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Let them go on while the context is open; at its end each has its last answer."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            changers: list[Updater | Registrar | HttpRegistrar]
            changers = [*self.updaters, self.registrar, self.http]
            for changer in changers:
                group.create_task(changer.go_on(over))
            try:
                yield
            finally:
                over.set()
