"""Requests and their answers over one connection, matched by id."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import TypeVar

from msgspec import structs

from agent_client.errors import ConnectionLost, HomeportError, Internal, Timeout
from agent_client.transport.connection import Connection
from agent_client.transport.decoding import NotUnderstood, failure
from homeport_protocol.answers import Answer, Error, Event, Message, Snapshot
from homeport_protocol.requests import Request

log = logging.getLogger("homeport.client")

A = TypeVar("A")
T = TypeVar("T")


class Channel:
    """One connection on which requests are made; it reads until the connection ends.

    `on_end` is called once, at the moment the end is known and before any waiting request hears
    of it.
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
        self._waiting: dict[int | str, asyncio.Future[Answer | HomeportError]] = {}
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
        """Why the connection ended, once it has."""
        return await asyncio.shield(self._ended)

    async def request(
        self, request: Request, expected: type[A], *, seconds: float | None = None
    ) -> A:
        """Send `request` under an id of this channel's own, and return the answer.

        Waits for `seconds` instead of the channel's own timeout, if given. Raises the hub's
        refusal; the connection's end; or Timeout, which also ends the
        connection: answers come in order, so no later one would come either.
        """
        if self._ended.done():
            raise self._ended.result().with_traceback(None)
        request_id = next(self._ids)
        future: asyncio.Future[Answer | HomeportError] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        seconds = self._timeout if seconds is None else seconds
        try:
            await self._send(structs.replace(request, id=request_id), seconds)
            if not await _in_time(future, seconds):
                raise self._overdue(seconds)
        finally:
            self._waiting.pop(request_id, None)
        answer = future.result()
        if isinstance(answer, HomeportError):
            answer.url = self._connection.shown_url
            raise answer.with_traceback(None)  # one end may be the answer of many
        if not isinstance(answer, expected):
            raise Internal(f"the hub answered with {type(answer).__name__}, which is no answer")
        return answer

    async def ping(self, seconds: float) -> None:
        """Make sure that the hub is there; raises as `request` does, but for refusals."""
        try:
            async with asyncio.timeout(seconds):
                pong = await self._connection.ping()
        except TimeoutError:
            raise self._overdue(seconds) from None
        if not await _in_time(pong, seconds):
            raise self._overdue(seconds)

    def drop(self, error: HomeportError) -> None:
        """Cut the connection now; waiting requests fail with `error`."""
        self._end(error)
        self._connection.abort()
        self._reader.cancel()

    async def close(self) -> None:
        """Close in good order."""
        self._end(ConnectionLost("the client closed the connection", retryable=False))
        self._reader.cancel()
        await self._connection.close()

    async def _send(self, request: Request, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._connection.send(request)
        except TimeoutError:
            raise self._overdue(seconds) from None
        except HomeportError as error:
            # The reader comes to the same end, once it has read what arrived before it.
            log.debug("a request could not be sent: %s", error)

    def _overdue(self, seconds: float) -> Timeout:
        error = Timeout(f"the hub did not answer within {seconds:g} s")
        error.url = self._connection.shown_url
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
            log.exception("reading from the hub failed")
            self._end(ConnectionLost(f"reading from the hub failed: {error}"))
            self._connection.abort()

    def _dispatch(self, message: Message | NotUnderstood) -> None:
        if isinstance(message, Snapshot | Event):
            return
        if message.id is None:
            log.warning("the hub could not read a message of ours: %s", message)
            return
        future = self._waiting.pop(message.id, None)
        if future is None or future.done():
            return
        future.set_result(
            failure(message) if isinstance(message, Error | NotUnderstood) else message
        )

    def _end(self, error: HomeportError) -> None:
        if self._ended.done():
            return
        error.url = self._connection.shown_url
        self._ended.set_result(error)
        self._on_end(self, error)
        for future in self._waiting.values():
            if not future.done():
                future.set_result(error)
        self._waiting.clear()


async def _in_time(future: asyncio.Future[T], seconds: float) -> bool:
    """Wait for `future`, for at most `seconds`; whether it is done."""
    # In two halves: when this whole program stood still, the time is up although the answer has
    # long arrived; the second half gives the reader its chance.
    for _ in range(2):
        await asyncio.wait({future}, timeout=seconds / 2)
        if future.done():
            return True
    return False
