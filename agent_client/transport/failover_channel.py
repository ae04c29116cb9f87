"""A `HubClient`'s requests, made at one of several hubs and at another one when it fails."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from agent_client.errors import (
    ConnectionLost,
    HomeportError,
    Internal,
    Timeout,
    Unavailable,
)
from agent_client.transport.channel import Channel
from agent_client.transport.dialer import Dialer
from homeport_protocol.requests import Request

A = TypeVar("A")


class FailoverChannel:
    """Connects at the first request, and again when needed; for idempotent requests only.

    A request that a hub did not answer is repeated once: at the next hub when there are several,
    otherwise on a new connection if the old one broke.
    """

    def __init__(self, dialer: Dialer, *, timeout: float, keepalive: float) -> None:
        self._dialer = dialer
        self._timeout = timeout
        self._keepalive = keepalive
        self._channel: Channel | None = None
        self._dialling: asyncio.Task[Channel] | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether a connection is open now."""
        return self._channel is not None and not self._channel.ended

    async def close(self) -> None:
        """Close the connection; pending and later requests raise ConnectionLost."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait({self._dialling})
        if self._channel is not None:
            await self._channel.close()

    async def request(self, request: Request, expected: type[A]) -> A:
        """Return the answer of the first hub, or of the second one asked when that fails.

        Raises as `HubClient` says.
        """
        endpoints = self._dialer.endpoints
        channel = await self._connected()
        try:
            # A connection often proves dead only when it is used, so the first timeout is short.
            seconds = endpoints.attempt_timeout(self._timeout)
            return await channel.request(request, expected, seconds=seconds)
        except ConnectionLost:
            if self._closed:
                raise
        except (Timeout, Unavailable, Internal) as error:
            if self._closed or not endpoints.several or not error.retryable:
                raise
            # All requests that wait for this hub move on to the next one, too.
            channel.drop(ConnectionLost(f"the hub failed: {error}", elsewhere=True))
        channel = await self._connected()
        return await channel.request(request, expected)

    async def _connected(self) -> Channel:
        if self._closed:
            raise client_closed()
        if self._channel is not None and not self._channel.ended:
            return self._channel
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._dial(), name="homeport-dial")
            self._dialling.add_done_callback(self._dialled)
        dialling = self._dialling
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if dialling.cancelled() and not (caller and caller.cancelling()):
                raise client_closed() from None
            raise

    async def _dial(self) -> Channel:
        endpoints = self._dialer.endpoints
        failure: HomeportError | None = None
        for url in endpoints.in_turn():
            seconds = endpoints.attempt_timeout(self._timeout)
            try:
                connection = await self._dialer.dial(
                    url, seconds=seconds, keepalive=self._keepalive
                )
            except HomeportError as error:
                if not error.retryable:
                    raise
                endpoints.defer(url)
                failure = error
            else:
                endpoints.prefer(url)
                self._channel = Channel(connection, timeout=self._timeout, on_end=self._ended)
                return self._channel
        endpoints.round_failed()
        assert failure is not None  # there is at least one URL
        raise failure

    def _dialled(self, task: asyncio.Task[Channel]) -> None:
        self._dialling = None
        if not task.cancelled():
            task.exception()  # its caller may have been cancelled: nobody else retrieves it

    def _ended(self, channel: Channel, error: HomeportError) -> None:
        """Try a hub last that went away between two requests."""
        if isinstance(error, ConnectionLost) and error.elsewhere:
            self._dialer.endpoints.defer(channel.url)


def client_closed() -> ConnectionLost:
    """What the calls of a closed client raise."""
    return ConnectionLost("the client is closed", retryable=False)
