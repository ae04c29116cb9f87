"""The connection on which a `HubClient` asks its questions, at whichever hub answers."""

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


class Questions:
    """Connects at the first question, and again when it must; for idempotent requests only.

    A question that a hub did not answer is asked once more: at the next hub, when there are
    several, and else on a new connection if the old one broke.
    """

    def __init__(self, dialer: Dialer, *, timeout: float, keepalive: float) -> None:
        self._dialer = dialer
        self._timeout = timeout
        self._keepalive = keepalive
        self._channel: Channel | None = None
        self._dialling: asyncio.Task[Channel] | None = None
        self._closed = False

    async def close(self) -> None:
        """End the connection; calls under way and later ones raise ConnectionLost."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait({self._dialling})
        if self._channel is not None:
            await self._channel.close()

    async def ask(self, request: Request, expected: type[A]) -> A:
        """The answer, from the second hub asked if the first one fails; raises as `HubClient`."""
        endpoints = self._dialer.endpoints
        channel = await self._connected()
        try:
            # A connection often turns out dead only when used, so the first try is a short one.
            seconds = endpoints.patience(self._timeout)
            return await channel.request(request, expected, seconds=seconds)
        except ConnectionLost:
            if self._closed:
                raise
        except (Timeout, Unavailable, Internal) as error:
            if self._closed or not endpoints.several or not error.retryable:
                raise
            # Whoever else waits for this hub is sent to the next one, too.
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
            seconds = endpoints.patience(self._timeout)
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
            task.exception()  # whoever asked may be gone

    def _ended(self, channel: Channel, error: HomeportError) -> None:
        """A hub that said goodbye between two questions is not the first to be asked the next."""
        if isinstance(error, ConnectionLost) and error.elsewhere:
            self._dialer.endpoints.defer(channel.url)


def client_closed() -> ConnectionLost:
    """What calls of a closed client raise."""
    return ConnectionLost("the client is closed", retryable=False)
