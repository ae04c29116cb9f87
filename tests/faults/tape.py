"""The client package with a tape on its wire: all that it asks and hears is noted.

`record` puts the tape where the package dials; what runs above it is the package as it is.
"""

from __future__ import annotations

import itertools
import os
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

import agent_client
from agent_client.errors import HomeportError
from agent_client.transport.connection import Connection
from agent_client.transport.decoding import Message, NotUnderstood
from agent_client.transport.dialer import Dialer
from homeport_protocol.answers import (
    Error,
    Event,
    HeartbeatAck,
    Registered,
    Snapshot,
    Updated,
)
from homeport_protocol.answers import Watching as WatchingAnswer
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import (
    Heartbeat,
    Register,
    Request,
    Resume,
    Unregister,
    Update,
    Watch,
)
from tests.faults.notes import Answered, Ended, Heard, Opened, Pen, Said, Snapped, Watching

WATCHER: ContextVar[str] = ContextVar("watcher", default="")
"""The watch of the current task."""

CLOSE_CODES = {"fenced": 4409, "unauthorized": 4401, "forbidden": 4403, "rate_limited": 4429}

_numbers = itertools.count(os.getpid() * 1_000_000 + 1)


def next_number() -> int:
    """A number that no other connection or ask has, of this machine."""
    return next(_numbers)


def record(pen: Pen, hubs: dict[int, str]) -> None:
    """Note everything from now on; `hubs` are the hubs' names by the port that leads to them."""
    dial = Dialer.dial

    async def dial_taped(self: Dialer, url: str, **options: Any) -> Connection:
        connection = await dial(self, url, **options)
        return TapedConnection(connection, pen, hubs[urlsplit(url).port or 0])

    Dialer.dial = dial_taped  # type: ignore[method-assign]


class TapedConnection(Connection):
    """A connection that notes what goes over it."""

    def __init__(self, connection: Connection, pen: Pen, hub: str) -> None:
        super().__init__(connection._websocket, connection.url)
        self.number = next_number()
        self._pen = pen
        self._hub = hub
        self._agent_id = ""
        self._asks: dict[int | str, int] = {}
        self._watch: Watch | None = None
        self._chunks: list[AgentRecord] = []
        self._ended = False
        pen.note(Opened, connection=self.number, hub=hub)

    async def send(self, request: Request) -> None:
        self._note_request(request)
        await super().send(request)

    async def receive(self) -> Message | NotUnderstood | None:
        try:
            message = await super().receive()
        except HomeportError as error:
            code = getattr(error, "close_code", None) or CLOSE_CODES.get(error.code, 1006)
            self._note_end(code)
            raise
        if message is not None:
            self._note_message(message)
        return message

    def abort(self) -> None:
        self._note_end(1006)
        super().abort()

    async def close(self) -> None:
        self._note_end(1000)
        await super().close()

    def _note_end(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            self._pen.note(Ended, connection=self.number, code=code)

    def _note_request(self, request: Request) -> None:
        says: dict[str, Any] = {}
        match request:
            case Register():
                self._agent_id = "" if request.agent_id is UNSET else request.agent_id
                says = {"version": request.agent.version}
            case Resume():
                self._agent_id = request.agent_id
                says = _version(request.agent)
            case Update():
                says = _version(request)
            case Heartbeat() | Unregister():
                pass
            case Watch():
                self._watch = request
                return
            case _:
                return
        assert not isinstance(request, Watch)
        number = self._asks[request.id] = next_number()
        self._pen.note(
            Said,
            number=number,
            connection=self.number,
            op=type(request).__name__.lower(),
            agent_id=self._agent_id,
            hub=self._hub,
            says=says,
        )

    def _note_message(self, message: Message | NotUnderstood) -> None:
        match message:
            case Snapshot():
                self._chunks += map(_as_sent, message.agents)
                if message.last:
                    agents, self._chunks = self._chunks, []
                    self._pen.note(
                        Snapped,
                        connection=self.number,
                        log=message.log,
                        revision=message.revision,
                        agents=agents,
                    )
            case Event():
                self._pen.note(
                    Heard,
                    connection=self.number,
                    revision=message.revision,
                    kind=message.kind,
                    agent=_as_sent(message.agent),
                    coalesced=message.coalesced is True,
                )
            case WatchingAnswer():
                assert self._watch is not None
                since_log, since = _asked_for(self._watch)
                self._pen.note(
                    Watching,
                    connection=self.number,
                    watcher=WATCHER.get(),
                    hub=self._hub,
                    since=since,
                    since_log=since_log,
                    by_position=self._watch.position is not UNSET,
                    resumed=message.resumed,
                    log=message.log,
                    revision=message.revision,
                )
            case _ if message.id is not None and message.id in self._asks:
                self._note_answer(self._asks.pop(message.id), message)

    def _note_answer(self, number: int, message: Message | NotUnderstood) -> None:
        more: dict[str, Any] = {}
        match message:
            case Error():
                more = {"code": message.code, "unknown": message.outcome == "unknown"}
            case NotUnderstood():
                more = {"code": message.code, "unknown": True}
            case Registered():
                more = {"given": message.epoch, "log": message.log, "revision": message.revision}
            case Updated():
                more = {"log": message.log, "revision": message.revision}
            case HeartbeatAck():
                more = {"durable": message.durable}
            case _:
                pass
        self._pen.note(Answered, number=number, **{"code": "ok", **more})


def _as_sent(record: agent_client.AgentRecord) -> AgentRecord:
    """The record as the hub sent it."""
    return msgspec.convert(record.to_dict(), AgentRecord)


def _asked_for(watch: Watch) -> tuple[str, int | None]:
    """The log and the revision that a watch asked for, in either way; None for a snapshot."""
    if watch.position is not UNSET:
        log, revision, _, _ = watch.position.rsplit(".", 3)
        return log, int(revision)
    if watch.since is UNSET or watch.log is UNSET:
        return "", None
    return watch.log, watch.since


def _version(says: Any) -> dict[str, Any]:
    return {} if says.version is UNSET else {"version": says.version}
