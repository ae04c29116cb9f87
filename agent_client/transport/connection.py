"""One websocket to a hub: messages in and out.

Failures of the websocket library end here: everything above sees `HomeportError`s only.
"""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agent_client.errors import ConnectionLost, HomeportError, closed
from agent_client.transport.decoding import NotUnderstood, understand
from agent_client.transport.urls import without_secrets
from homeport_protocol.answers import Message
from homeport_protocol.codec import encode
from homeport_protocol.errors import CloseCode
from homeport_protocol.requests import Request

CLOSING_TIMEOUT = 1.0
"""Seconds that a hub has to complete the closing handshake before the connection is cut."""

PONG_PATIENCE = 3.0
"""Seconds that a hub has to answer a ping.

With a ping after 5 s of silence a dead hub is left within 8 s. Its own lease lasts 10, after which
the other hubs give its agents the resume window, 5 s by default: enough to come to one of them.
"""


class Connection:
    """An open websocket to the hub at `url`. One task receives; any may send."""

    def __init__(self, websocket: ClientConnection, url: str) -> None:
        self.url = url
        self._websocket = websocket

    @property
    def shown_url(self) -> str:
        """The URL as it may be shown."""
        return without_secrets(self.url)

    async def send(self, request: Request) -> None:
        """Send one request; raises the connection's end as `receive` does."""
        try:
            await self._websocket.send(encode(request), text=True)
        except ConnectionClosed as error:
            raise self._end(error) from None

    async def receive(self) -> Message | NotUnderstood | None:
        """The next message; None for one to be ignored.

        What had arrived before the connection ended still comes; then its end is raised: Fenced,
        Unauthorized, Forbidden, TooLarge, RateLimited by the close code, otherwise
        ConnectionLost. Cancelling loses no message.
        """
        try:
            data = await self._websocket.recv(decode=False)
        except ConnectionClosed as error:
            raise self._end(error) from None
        return understand(data)

    async def ping(self) -> asyncio.Future[float]:
        """Send a ping; the future returned is done when its pong came."""
        try:
            return asyncio.ensure_future(await self._websocket.ping())
        except ConnectionClosed as error:
            raise self._end(error) from None

    async def receive_or_ping(
        self, keepalive: float, patience: float
    ) -> Message | NotUnderstood | None:
        """As `receive`, but after `keepalive` seconds of silence the hub is pinged.

        A hub that does not answer a ping within `patience` seconds is a ConnectionLost.
        """
        while True:
            try:
                async with asyncio.timeout(keepalive):
                    return await self.receive()
            except TimeoutError:
                pass
            pong: asyncio.Future[float] | None = None
            try:
                async with asyncio.timeout(patience):
                    pong = await self.ping()
                    return await self.receive()
            except TimeoutError:
                if pong is None or not pong.done():
                    raise self._silent() from None

    def abort(self) -> None:
        """Cut the connection now, without a handshake."""
        self._websocket.transport.abort()

    async def close(self) -> None:
        """Close with 1000; a hub that does not answer in `CLOSING_TIMEOUT` is cut off."""
        try:
            # The library's own timeout does not cover a write buffer that never drains.
            async with asyncio.timeout(2 * CLOSING_TIMEOUT):
                await self._websocket.close()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def _silent(self) -> ConnectionLost:
        error = ConnectionLost("the hub fell silent", elsewhere=True)
        error.url = self.shown_url
        return error

    def _end(self, error: ConnectionClosed) -> HomeportError:
        end = _reason(error)
        end.url = self.shown_url
        return end


def _reason(error: ConnectionClosed) -> HomeportError:
    if error.rcvd is not None:
        return closed(error.rcvd.code, error.rcvd.reason)
    if error.sent is not None:  # after a ping without a pong, say
        words = f"this side closed the connection ({error.sent.reason or 'done'})"
        return ConnectionLost(words, elsewhere=error.sent.code == CloseCode.INTERNAL)
    return closed(None, "")
