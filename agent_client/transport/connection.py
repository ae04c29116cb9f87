"""One websocket to a hub: dialling it, and messages in and out.

Failures of the websocket library end here: everything above sees `HomeportError`s only.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from agent_client.errors import (
    BadRequest,
    BadURL,
    CannotConnect,
    ConnectionLost,
    Forbidden,
    HomeportError,
    RateLimited,
    Unauthorized,
    Unavailable,
    closed,
)
from agent_client.transport.decoding import NotUnderstood, understand
from agent_client.transport.endpoints import Endpoints
from agent_client.transport.urls import hub_urls, is_loopback, without_secrets
from homeport_protocol.answers import Message
from homeport_protocol.bounds import NAMESPACE
from homeport_protocol.codec import encode
from homeport_protocol.errors import CloseCode
from homeport_protocol.requests import Request

CLOSING_TIMEOUT = 1.0
"""Seconds that a hub has to complete the closing handshake before the connection is cut."""

_QUEUED_FRAMES = 64
"""Messages read ahead of who consumes them; past it the socket is not read: backpressure."""


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


class Dialer:
    """How to reach the hubs: their URLs and what to present there.

    `token` falls back to HOMEPORT_TOKEN. `shuffle` and `chance` are those of `Endpoints`. Raises
    BadURL, and BadRequest for a namespace or token that no hub could accept.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None,
        *,
        namespace: str | None,
        token: str | None,
        shuffle: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.endpoints = Endpoints(hub_urls(url), shuffle=shuffle, chance=chance)
        self._headers: dict[str, str] = {}
        if namespace is not None:
            if not re.fullmatch(NAMESPACE, namespace):
                raise BadRequest(
                    "namespace: expected 1 to 63 letters, digits, dots, dashes and underscores, "
                    "beginning with a letter or digit",
                    field="namespace",
                )
            self._headers["Homeport-Namespace"] = namespace
        token = os.environ.get("HOMEPORT_TOKEN") if token is None else token
        if token:
            self._headers["Authorization"] = bearer(token)

    async def dial(self, url: str, *, seconds: float, keepalive: float | None = None) -> Connection:
        """Connect to `url` within `seconds`. With `keepalive` (seconds) the library pings.

        Raises CannotConnect; BadRequest, Unauthorized, Forbidden, RateLimited or Unavailable when
        a hub refused the handshake for that reason.
        """
        try:
            return await self._open(url, seconds, keepalive)
        except HomeportError as error:
            error.url = without_secrets(url)
            raise

    async def _open(self, url: str, seconds: float, keepalive: float | None) -> Connection:
        try:
            websocket = await connect(
                url,
                additional_headers=self._headers,
                compression=None,
                subprotocols=[Subprotocol("homeport.v1")],
                max_size=None,
                max_queue=_QUEUED_FRAMES,
                open_timeout=seconds,
                ping_interval=keepalive,
                ping_timeout=keepalive,
                close_timeout=CLOSING_TIMEOUT,
                proxy=None if is_loopback(url) else True,
            )
        except InvalidStatus as error:
            raise _handshake_refused(url, error) from None
        except (OSError, WebSocketException) as error:
            words = str(error) or type(error).__name__
            raise CannotConnect(f"cannot connect to {without_secrets(url)}: {words}") from error
        except ValueError as error:
            raise BadURL(f"cannot use the URL {without_secrets(url)}: {error}") from None
        return Connection(websocket, url)


def bearer(token: str) -> str:
    """The Authorization header's value; raises BadRequest, without repeating the token."""
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise BadRequest("token: expected visible ASCII characters only", field="token")
    return f"Bearer {token}"


def _reason(error: ConnectionClosed) -> HomeportError:
    if error.rcvd is not None:
        return closed(error.rcvd.code, error.rcvd.reason)
    if error.sent is not None:  # after a ping without a pong, say
        words = f"this side closed the connection ({error.sent.reason or 'done'})"
        return ConnectionLost(words, elsewhere=error.sent.code == CloseCode.INTERNAL)
    return closed(None, "")


class _Body(Struct):
    error: str


def _handshake_refused(url: str, error: InvalidStatus) -> HomeportError:
    status = error.response.status_code
    try:
        words = msgspec.json.decode(error.response.body or b"", type=_Body).error[:500]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        words = f"HTTP {status}"
    message = f"{without_secrets(url)} refused the connection: {words}"
    retry_after = _seconds(error.response.headers.get("Retry-After"))
    match status:
        case 400:
            return BadRequest(message)
        case 401:
            return Unauthorized(message)
        case 403:
            return Forbidden(message)
        case 429:
            return RateLimited(message, retry_after=retry_after)
        case 503:
            return Unavailable(message, retry_after=retry_after)
        case _:
            return CannotConnect(message, retry_after=retry_after)


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, str) and value.isdecimal() else None
