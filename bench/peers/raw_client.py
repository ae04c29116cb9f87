"""A raw websocket peer: an asyncio protocol that drives the sans-I/O `ClientProtocol`.

It costs a fraction of a full client, answers nothing by itself but pings (and those only when
told to), and stamps what it sends and hears with `time.monotonic()`, which on Linux and macOS is
one clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Self, TypeVar, cast

from msgspec import Struct, structs
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from bench.errors import BenchError
from homeport_protocol.answers import Answer, Error, Event, Snapshot
from homeport_protocol.codec import decode_message, encode
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Request

A = TypeVar("A")

ANSWER_TIMEOUT = 30.0
"""Seconds after which a hub that does not answer fails the run, unless said otherwise."""

_parse_uri = lru_cache(parse_uri)  # a fleet has one URL
_PONG_HEAD = 0x80 | Opcode.PONG


class Heard(Struct, frozen=True):
    """An answer, with the instants at which its request was sent and it was heard."""

    answer: Answer
    sent: float
    at: float

    @property
    def latency(self) -> float:
        """Seconds from the request to its answer."""
        return self.at - self.sent


class RefusedError(BenchError):
    """The hub answered with an error where the run needs it to do what was asked."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"the hub refused: {error.code}: {error.message}")
        self.error = error


class GoneError(BenchError):
    """The connection ended with a question open."""


Push = Snapshot[AgentRecord] | Event[AgentRecord]


class Driver(asyncio.Protocol):
    """One websocket to a hub.

    `pongs` False never answers a ping: the peer looks dead while its socket lives. `on_push` is
    given each message of a watch and when it was heard; `on_end` is called once, when the
    connection is gone.
    """

    def __init__(
        self,
        url: str,
        *,
        pongs: bool = True,
        on_push: Callable[[Push, float], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.pongs = pongs
        self.close_code: int | None = None
        self._on_push = on_push
        self._on_end = on_end
        self._ws = ClientProtocol(
            _parse_uri(url), subprotocols=[Subprotocol("homeport.v1")], max_size=None
        )
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ids = itertools.count(1)
        self._asked: dict[int | str, tuple[asyncio.Future[Heard], float]] = {}
        self._message = bytearray()
        self._ended = False

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pongs: bool = True,
        on_push: Callable[[Push, float], None] | None = None,
        on_end: Callable[[], None] | None = None,
        source: str | None = None,
        seconds: float = ANSWER_TIMEOUT,
    ) -> Self:
        """Connect to `url` (ws://HOST:PORT/ws), from the address `source` if given.

        Raises GoneError when the hub cannot be reached or refuses.
        """
        uri = _parse_uri(url)
        driver = cls(url, pongs=pongs, on_push=on_push, on_end=on_end)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: driver,
                    uri.host,
                    uri.port,
                    local_addr=None if source is None else (source, 0),
                )
                await driver._opened
        except TimeoutError:
            driver.abort()
            raise GoneError(f"no websocket to {url} within {seconds:g} s") from None
        except OSError as error:
            raise GoneError(f"cannot connect to {url}: {error.strerror or error}") from None
        return driver

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return self._ended

    def send(self, request: Request) -> asyncio.Future[Heard]:
        """Send a request under an id of this connection's own; the future is its answer.

        The future fails with GoneError when the connection ends first.
        """
        number = next(self._ids)
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        if self._ended or self._ws.state is not State.OPEN:
            future.set_exception(self._gone())
            return future
        self._ws.send_text(encode(structs.replace(request, id=number)))
        self._asked[number] = (future, time.monotonic())
        self._flush()
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
        if not self._ended and self._ws.state is State.OPEN:
            self._ws.send_text(text.encode())
            self._flush()

    def stop_reading(self) -> None:
        """Take nothing more of what the hub sends."""
        assert self._transport is not None
        self._transport.pause_reading()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the transport calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast(asyncio.Transport, transport)
        self._ws.send_request(self._ws.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes of the hub."""
        at = time.monotonic()
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                self._frame(event, at)
            elif isinstance(event, Response) and self._ws.state is State.OPEN:
                self._opened.set_result(None)
        self._flush()
        if self._ws.handshake_exc is not None and not self._opened.done():
            self._opened.set_exception(GoneError(f"no websocket: {self._ws.handshake_exc}"))
            self.abort()

    def eof_received(self) -> None:
        """The hub has finished sending."""
        self._ws.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended = True
        self.close_code = self._ws.close_rcvd.code if self._ws.close_rcvd else None
        if not self._opened.done():
            self._opened.set_exception(GoneError("the hub hung up during the handshake"))
            self._opened.exception()  # nobody may be waiting for it any more
        asked, self._asked = self._asked, {}
        for future, _ in asked.values():
            if not future.done():
                future.set_exception(self._gone())
                future.exception()
        if self._on_end is not None:
            self._on_end()

    # --- within ----------------------------------------------------------------------------------

    def _frame(self, frame: Frame, at: float) -> None:
        if frame.opcode is Opcode.TEXT and frame.fin:
            self._hear(bytes(frame.data), at)
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._message += frame.data
            if frame.fin:
                message, self._message = bytes(self._message), bytearray()
                self._hear(message, at)

    def _hear(self, data: bytes, at: float) -> None:
        message = decode_message(data)
        if isinstance(message, Snapshot | Event):
            if self._on_push is not None:
                self._on_push(message, at)
            return
        future, sent = self._asked.pop(message.id if message.id is not None else 0, (None, 0.0))
        if future is not None and not future.done():
            future.set_result(Heard(message, sent, at))

    def _flush(self) -> None:
        assert self._transport is not None
        for chunk in self._ws.data_to_send():
            if not chunk:
                if not self._transport.is_closing():
                    self._transport.close()
            elif self.pongs or chunk[0] != _PONG_HEAD:
                self._transport.write(chunk)

    def _gone(self) -> GoneError:
        code = self._ws.close_rcvd.code if self._ws.close_rcvd else None
        return GoneError(f"the hub closed with {code}" if code else "the connection is gone")
