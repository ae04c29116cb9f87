"""Requests and their answers over one connection, matched by id."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from msgspec import structs

from agent_client.errors import ConnectionLost, HomeportError, Internal, Timeout, TooLarge
from agent_client.transport.connection import Connection
from agent_client.transport.decoding import Answer, Message, NotUnderstood, failure
from homeport_protocol.answers import Error, Event, Reading, Snapshot
from homeport_protocol.codec import encode
from homeport_protocol.requests import Request

logger = logging.getLogger("homeport.client")

A = TypeVar("A")
T = TypeVar("T")


class Channel:
    """Makes requests over one connection, which it reads until the connection ends.

    `on_end` is called once, as soon as the end is known and before any waiting request fails
    with it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float,
        on_end: Callable[[Channel, HomeportError], None] = lambda _channel, _error: None,
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._waiting: dict[int | str, _Waiting] = {}
        self._ended: asyncio.Future[HomeportError] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(), name="homeport-channel")

    @property
    def url(self) -> str:
        """The hub's URL, secrets included."""
        return self._connection.url

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return self._ended.done()

    async def wait_ended(self) -> HomeportError:
        """Wait until the connection ends, and return why."""
        return await asyncio.shield(self._ended)

    async def request(
        self, request: Request, expected: type[A], *, seconds: float | None = None
    ) -> A:
        """Send `request` under an id that the channel chooses, and return the answer.

        `seconds` replaces the channel's timeout. Raises the hub's refusal, the error with which
        the connection ended, or Timeout. A timeout also ends the connection: answers come in
        order, so no later one would come either.
        """
        if self._ended.done():
            raise self._ended.result().with_traceback(None)
        request_id = next(self._ids)
        future: asyncio.Future[Answer | HomeportError] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = _Waiting(request, future)
        seconds = self._timeout if seconds is None else seconds
        try:
            await self._send(structs.replace(request, id=request_id), seconds)
            if not await _done_within(future, seconds):
                raise self._timed_out(seconds)
        finally:
            self._waiting.pop(request_id, None)
        answer = future.result()
        if isinstance(answer, HomeportError):
            answer.url = self._connection.shown_url
            raise answer.with_traceback(None)  # the end of a connection fails many requests
        if not isinstance(answer, expected):
            raise Internal(f"the hub answered with {type(answer).__name__}, which is no answer")
        return answer

    async def ping(self, seconds: float) -> None:
        """Wait for the hub's pong; raises as `request` does, except for refusals."""
        try:
            async with asyncio.timeout(seconds):
                pong = await self._connection.ping()
        except TimeoutError:
            raise self._timed_out(seconds) from None
        if not await _done_within(pong, seconds):
            raise self._timed_out(seconds)

    def drop(self, error: HomeportError) -> None:
        """Abort the connection; waiting requests fail with `error`."""
        self._end(error)
        self._connection.abort()
        self._reader.cancel()

    async def close(self) -> None:
        """Close the connection with a closing handshake."""
        self._end(ConnectionLost("the client closed the connection", retryable=False))
        self._reader.cancel()
        await self._connection.close()

    async def _send(self, request: Request, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._connection.send(request)
        except TimeoutError:
            raise self._timed_out(seconds) from None
        except HomeportError as error:
            # The reader raises the same error after it has read what arrived before the end.
            logger.debug("a request could not be sent: %s", error)

    def _timed_out(self, seconds: float) -> Timeout:
        late = Timeout(f"the hub did not answer within {seconds:g} s")
        error = self._connection.located(late)
        self.drop(ConnectionLost(f"the connection was dropped: {error}", elsewhere=True))
        return error

    async def _read(self) -> None:
        try:
            while True:
                message = await self._connection.receive()
                if message is not None:
                    self._dispatch(message)
        except HomeportError as error:
            self._end(error)
        except Exception as error:
            logger.exception("reading from the hub failed")
            self._end(ConnectionLost(f"reading from the hub failed: {error}"))
            self._connection.abort()

    def _dispatch(self, message: Message | NotUnderstood) -> None:
        if isinstance(message, Snapshot | Event | Reading):
            return
        if message.id is None:
            logger.warning("the hub could not read a message of this client: %s", message)
            return
        waiting = self._waiting.pop(message.id, None)
        if waiting is None or waiting.future.done():
            return
        waiting.future.set_result(
            failure(message) if isinstance(message, Error | NotUnderstood) else message
        )

    def _end(self, error: HomeportError) -> None:
        if self._ended.done():
            return
        self._connection.located(error)
        self._ended.set_result(error)
        self._on_end(self, error)
        requests = list(self._waiting.values())
        self._waiting.clear()
        if isinstance(error, TooLarge) and len(requests) > 1:
            # One message was: the others are lost with the connection.
            largest = max(requests, key=lambda waiting: len(encode(waiting.request)))
            lost = ConnectionLost(f"the connection ended by another message: {error}")
            lost.url = error.url
            for waiting in requests:
                if waiting is not largest:
                    waiting.end(lost)
        for waiting in requests:
            waiting.end(error)


class _Waiting(NamedTuple):
    request: Request
    future: asyncio.Future[Answer | HomeportError]

    def end(self, error: HomeportError) -> None:
        if not self.future.done():
            self.future.set_result(error)


async def _done_within(future: asyncio.Future[T], seconds: float) -> bool:
    """Wait for `future` for at most `seconds`, and return whether it is done."""
    # In two halves: when the whole process was suspended, the first timeout fires although the
    # answer has arrived, and the second half lets the reader read it.
    for _ in range(2):
        await asyncio.wait({future}, timeout=seconds / 2)
        if future.done():
            return True
    return False
