"""A raw client of a hub: it costs a fraction of a full one, and does nothing by itself.

It stamps what it sends and hears with `time.monotonic()`, which on Linux and macOS is one clock
for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Self, TypeVar

from msgspec import Struct, structs

from bench.errors import BenchError
from bench.peers.frames import masked_text
from bench.peers.raw_websocket import RawWebsocket, Target
from homeport_protocol.answers import Answer, Error, Event, Reading, Registered, Snapshot
from homeport_protocol.codec import decode_message, encode
from homeport_protocol.record import AgentRecord, AgentSpec
from homeport_protocol.requests import Register, Request

A = TypeVar("A")

ANSWER_TIMEOUT = 30.0
"""Seconds after which a hub that does not answer fails the run, unless said otherwise."""

_target = lru_cache(Target)  # a fleet has one URL


class Heard(Struct, frozen=True):
    """An answer, with the instants at which its request was sent and it was heard."""

    answer: Answer
    sent: float
    at: float

    @property
    def latency(self) -> float:
        return self.at - self.sent


class RefusedError(BenchError):
    """The hub answered with an error where the run needs it to do what was asked."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"the hub refused: {error.code}: {error.message}")
        self.error = error


class GoneError(BenchError):
    """The connection ended, or the time was over, before the answer came."""


Push = Snapshot[AgentRecord] | Event[AgentRecord]


class RawClient(RawWebsocket):
    """One websocket to a hub.

    `on_push` is given each message of a watch and when it was heard; `on_end` is called once, when
    the connection is gone.
    """

    def __init__(
        self,
        on_push: Callable[[Push, float], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_push = on_push
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._asked: dict[int | str, tuple[asyncio.Future[Heard], float]] = {}
        self._read_at = 0.0

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pongs: bool = True,
        on_push: Callable[[Push, float], None] | None = None,
        on_end: Callable[[], None] | None = None,
        source: str | None = None,
    ) -> Self:
        """Connect to `url` (ws://HOST:PORT/ws), from the address `source` if given.

        Raises BenchError when the hub cannot be reached or refuses.
        """
        client = cls(on_push, on_end)
        client.pongs = pongs
        return await client.open(_target(url), source, ANSWER_TIMEOUT)

    async def register(self, agent: AgentSpec) -> tuple[Registered, Heard]:
        """Register an agent; raises as `demand` does."""
        return await self.demand(Register(id=0, agent=agent), Registered)

    def send(self, request: Request) -> asyncio.Future[Heard]:
        """Send a request under an id of this connection; the future is its answer.

        The future fails with GoneError when the connection ends first.
        """
        number = next(self._ids)
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        if self.ended:
            future.set_exception(GoneError(self.end_reason))
            return future
        message = masked_text(encode(structs.replace(request, id=number)))
        self._asked[number] = (future, time.monotonic())
        self.transport.write(message)
        return future

    async def ask(self, request: Request, seconds: float = ANSWER_TIMEOUT) -> Heard:
        """Send a request and wait for its answer, an Error included; raises GoneError."""
        try:
            async with asyncio.timeout(seconds):
                return await self.send(request)
        except TimeoutError:
            raise GoneError(f"no answer to {type(request).__name__} within {seconds:g} s") from None

    async def demand(
        self, request: Request, kind: type[A], seconds: float = ANSWER_TIMEOUT
    ) -> tuple[A, Heard]:
        """As `ask`, where only an answer of this kind will do; raises RefusedError or GoneError."""
        heard = await self.ask(request, seconds)
        if isinstance(heard.answer, Error):
            raise RefusedError(heard.answer)
        if not isinstance(heard.answer, kind):
            raise BenchError(f"the hub answered with {type(heard.answer).__name__}")
        return heard.answer, heard

    def say(self, text: str) -> None:
        """Send any text, as one message; no answer to it is waited for."""
        if not self.ended:
            self.transport.write(masked_text(text.encode()))

    # --- what the transport calls ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._read_at = time.monotonic()
        super().data_received(data)

    def text_received(self, payload: bytes) -> None:
        message = decode_message(payload)
        if isinstance(message, Reading):
            return
        if isinstance(message, Snapshot | Event):
            if self._on_push is not None:
                self._on_push(message, self._read_at)
            return
        future, sent = self._asked.pop(message.id if message.id is not None else 0, (None, 0.0))
        if future is not None and not future.done():
            future.set_result(Heard(message, sent, self._read_at))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        asked, self._asked = self._asked, {}
        for future, _ in asked.values():
            if not future.done():
                future.set_exception(GoneError(self.end_reason))
                future.exception()  # nobody may be waiting for it any more
        if self._on_end is not None:
            self._on_end()
