"""One websocket to a hub: dialling it, and messages in and out.

Failures of the websocket library end here: everything above sees `HomeportError`s only.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
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
from agent_client.incoming import NotUnderstood, understand
from agent_client.urls import Endpoints, hub_urls, is_loopback, without_secrets
from protocol.answers import Message
from protocol.bounds import NAMESPACE
from protocol.codec import encode
from protocol.requests import Request

CLOSING_TIMEOUT = 1.0
"""Seconds that a hub has to complete the closing handshake before the connection is cut."""

_QUEUED_FRAMES = 64
"""Messages read ahead of who consumes them; past it the socket is not read: backpressure."""


class Connection:
    """An open websocket. One task receives; any may send."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def send(self, request: Request) -> None:
        """Send one request; raises the connection's end as `receive` does."""
        try:
            await self._websocket.send(encode(request), text=True)
        except ConnectionClosed as error:
            raise _end(error) from None

    async def receive(self) -> Message | NotUnderstood | None:
        """The next message; None for one to be ignored.

        What had arrived before the connection ended still comes; then its end is raised: Fenced,
        Unauthorized, Forbidden, TooLarge, RateLimited by the close code, otherwise
        ConnectionLost. Cancelling loses no message.
        """
        try:
            data = await self._websocket.recv(decode=False)
        except ConnectionClosed as error:
            raise _end(error) from None
        return understand(data)

    async def ping(self) -> asyncio.Future[float]:
        """Send a ping; the future returned is done when its pong came."""
        try:
            return asyncio.ensure_future(await self._websocket.ping())
        except ConnectionClosed as error:
            raise _end(error) from None

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


class Dialer:
    """How to reach the hubs: their URLs and what to present there.

    `token` falls back to HOMEPORT_TOKEN. Raises BadURL, and BadRequest for a namespace or token
    that no hub could accept.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None,
        *,
        namespace: str | None,
        token: str | None,
        timeout: float,
    ) -> None:
        self.endpoints = Endpoints(hub_urls(url))
        self.timeout = timeout
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

    async def dial(self, url: str, *, keepalive: float | None = None) -> Connection:
        """Connect to `url`. With `keepalive` (seconds) the library pings by itself.

        Raises CannotConnect; BadRequest, Unauthorized, Forbidden, RateLimited or Unavailable when
        a hub refused the handshake for that reason.
        """
        try:
            websocket = await connect(
                url,
                additional_headers=self._headers,
                compression=None,
                subprotocols=[Subprotocol("homeport.v1")],
                max_size=None,
                max_queue=_QUEUED_FRAMES,
                open_timeout=self.timeout,
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
        return Connection(websocket)


def bearer(token: str) -> str:
    """The Authorization header's value; raises BadRequest, without repeating the token."""
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise BadRequest("token: expected visible ASCII characters only", field="token")
    return f"Bearer {token}"


def _end(error: ConnectionClosed) -> HomeportError:
    if error.rcvd is not None:
        return closed(error.rcvd.code, error.rcvd.reason)
    if error.sent is not None:
        return ConnectionLost(f"this side closed the connection ({error.sent.reason or 'done'})")
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
