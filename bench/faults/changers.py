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

    `unknown` when the error said that its outcome is. `value` is what an update set. `agent_id` is
    empty where only the hub's answer would tell it.
    """

    name: str
    agent_id: str
    value: str
    answer: str
    sent: float
    at: float
    unknown: bool = False

    @property
    def done(self) -> bool:
        return self.answer == "done"


def values_of(record: AgentRecord) -> set[str]:
    """The values of the updates that the record shows, whatever came later."""
    metadata = {} if record.metadata is UNSET else record.metadata
    return {key.removeprefix(MARK) for key in metadata if key.startswith(MARK)}


class Changers:
    """Agents that change themselves, and callers that register others.

    Each update sets the version to the next number, and leaves a key in the metadata. Agents are
    registered on new websockets, under new ids, without waiting for answers; and over HTTP, where
    a refusal must say when to try again: `without_hint` counts those that do not.
    """

    def __init__(self, url: str, websocket_url: str) -> None:
        self.updates: list[Attempt] = []
        self.registrations: list[Attempt] = []
        self.over_http: list[Attempt] = []
        self.without_hint = 0
        self._url = url
        self._websocket_url = websocket_url
        self._updaters: dict[str, tuple[str, RawClient]] = {}
        self._over = asyncio.Event()

    async def register(self) -> None:
        """Connect and register the agents that change themselves."""
        for number in range(UPDATERS):
            client = await RawClient.connect(self._websocket_url)
            name = f"updater-{number}"
            answer, _ = await client.register(AgentSpec(name=name, type="updater", version="0"))
            self._updaters[answer.agent_id] = name, client

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Let them go on while the context is open; at its end each has its last answer."""
        async with asyncio.TaskGroup() as group:
            for agent_id in self._updaters:
                group.create_task(self._update_on(agent_id))
            group.create_task(self._register_on(group))
            group.create_task(self._register_on_over_http())
            try:
                yield
            finally:
                self._over.set()

    async def _update_on(self, agent_id: str) -> None:
        name, client = self._updaters[agent_id]
        number = 0
        while not self._over.is_set():
            number += 1
            update = Update(id=0, version=str(number), metadata={f"{MARK}{number}": 1})
            heard = await client.ask(update)
            self.updates.append(_attempt(name, agent_id, str(number), heard))
            await asyncio.sleep(UPDATE_PAUSE * (0.5 + random.random()))

    async def _register_on(self, group: asyncio.TaskGroup) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            group.create_task(self._register(f"late-{number}"))
            await asyncio.sleep(REGISTER_PAUSE)

    async def _register(self, name: str) -> None:
        client, agent_id = await RawClient.connect(self._websocket_url), str(uuid.uuid4())
        request = Register(id=0, agent=AgentSpec(name=name, type="late"), agent_id=agent_id)
        self.registrations.append(_attempt(name, agent_id, "", await client.ask(request)))

    async def _register_on_over_http(self) -> None:
        async with HttpCaller(self._url) as caller:
            while not self._over.is_set():
                name, agent_id = f"late-http-{len(self.over_http)}", ""
                body = {"name": name, "type": "late", "host": "127.0.0.1", "port": 1}
                answer = await caller.call("POST", "/agents/register", body)
                if answer.status == 201:
                    said, agent_id = "done", answer.json()["agent_id"]
                else:
                    said = "unavailable" if answer.status == 503 else f"status {answer.status}"
                    self.without_hint += "retry-after" not in answer.headers
                self.over_http.append(Attempt(name, agent_id, "", said, answer.sent, answer.at))
                await asyncio.sleep(REGISTER_PAUSE)


def _attempt(name: str, agent_id: str, value: str, heard: Heard) -> Attempt:
    unknown = False
    match heard.answer:
        case Registered() | Updated():
            said = "done"
        case Error(code=code, outcome=outcome):
            said, unknown = code, outcome == "unknown"
        case other:
            said = type(other).__name__
    return Attempt(name, agent_id, value, said, heard.sent, heard.at, unknown)
