"""One websocket to a hub: messages in and out.

Exceptions of the websocket library end here: all other modules see `HomeportError`s only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agent_client.errors import ConnectionLost, HomeportError, Unauthorized, closed
from agent_client.forks import close_in_children
from agent_client.transport.decoding import Message, NotUnderstood, decode
from agent_client.transport.urls import without_secrets
from homeport_protocol.codec import encode
from homeport_protocol.errors import CloseCode
from homeport_protocol.requests import Request

E = TypeVar("E", bound=HomeportError)

CLOSING_TIMEOUT = 1.0
"""Seconds that a hub has to complete the closing handshake before the connection is aborted."""

PONG_TIMEOUT = 3.0
"""Seconds that a hub has to answer a ping.

With a ping after 5 s of silence, a dead hub is left within 8 s. Its own lease lasts 10 s, and the
other hubs then give its agents the resume window, 5 s by default: enough to reach one of them.
"""


class Connection:
    """An open websocket to the hub at `url`. Any task may send; only one may receive.

    `on_unauthorized` is called when the hub has closed it with 4401.
    """

    def __init__(
        self,
        websocket: ClientConnection,
        url: str,
        proxy: str | None = None,
        on_unauthorized: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url
        self.proxy = proxy
        """The proxy that it goes through, without secrets."""
        self._websocket = websocket
        self._on_unauthorized = on_unauthorized
        close_in_children(self)

    def fileno(self) -> int:
        """The descriptor of its socket; -1 once that is closed."""
        opened = self._websocket.transport.get_extra_info("socket")
        return -1 if opened is None else int(opened.fileno())

    @property
    def shown_url(self) -> str:
        """The URL without its secrets, for messages and logs."""
        return without_secrets(self.url)

    def located(self, error: E) -> E:
        """`error`, which says that it is of this connection."""
        return error.at(self.shown_url, self.proxy)

    async def send(self, request: Request) -> None:
        """Send one request; raises as `receive` does when the connection has ended."""
        try:
            await self._websocket.send(encode(request), text=True)
        except ConnectionClosed as error:
            raise self._end(error) from None

    async def receive(self) -> Message | NotUnderstood | None:
        """Wait for the next message; None stands for one that is to be ignored.

        Messages that arrived before the connection ended are returned first. Then this raises
        Fenced, Unauthorized, Forbidden, TooLarge or RateLimited by the close code, and
        ConnectionLost for any other end. Cancelling it loses no message.
        """
        try:
            data = await self._websocket.recv(decode=False)
        except ConnectionClosed as error:
            raise self._end(error) from None
        return decode(data)

    async def ping(self) -> asyncio.Future[float]:
        """Send a ping; the future returned is done when the pong arrives."""
        try:
            return asyncio.ensure_future(await self._websocket.ping())
        except ConnectionClosed as error:
            raise self._end(error) from None

    async def receive_or_ping(
        self, keepalive: float, pong_timeout: float
    ) -> Message | NotUnderstood | None:
        """Receive as `receive` does, and ping the hub after `keepalive` seconds of silence.

        Raises ConnectionLost when a ping has no pong within `pong_timeout` seconds.
        """
        while True:
            try:
                async with asyncio.timeout(keepalive):
                    return await self.receive()
            except TimeoutError:
                pass
            pong: asyncio.Future[float] | None = None
            try:
                async with asyncio.timeout(pong_timeout):
                    pong = await self.ping()
                    return await self.receive()
            except TimeoutError:
                if pong is None or not pong.done():
                    raise self._silent() from None

    def abort(self) -> None:
        """Drop the connection at once, without a closing handshake."""
        self._websocket.transport.abort()

    async def close(self) -> None:
        """Close with 1000; abort when the hub does not answer within `CLOSING_TIMEOUT`."""
        try:
            # The library's timeout does not cover a write buffer that never drains.
            async with asyncio.timeout(2 * CLOSING_TIMEOUT):
                await self._websocket.close()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def _silent(self) -> ConnectionLost:
        return self.located(ConnectionLost("the hub fell silent", elsewhere=True))

    def _end(self, error: ConnectionClosed) -> HomeportError:
        end = self.located(_from_close(error))
        if isinstance(end, Unauthorized):
            self._on_unauthorized()
        return end


def _from_close(error: ConnectionClosed) -> HomeportError:
    if error.rcvd is not None:
        return closed(error.rcvd.code, error.rcvd.reason)
    if error.sent is not None:  # for instance after a ping without a pong
        words = f"this side closed the connection ({error.sent.reason or 'done'})"
        return ConnectionLost(words, elsewhere=error.sent.code == CloseCode.INTERNAL)
    return closed(None, "")
