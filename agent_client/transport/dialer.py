"""Dialling a hub: its URLs, the headers sent there, and what a refused handshake raises."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from agent_client.errors import (
    BadRequest,
    BadURL,
    CannotConnect,
    Forbidden,
    HomeportError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from agent_client.transport.connection import CLOSING_TIMEOUT, Connection
from agent_client.transport.endpoints import Endpoints
from agent_client.transport.urls import hub_urls, is_loopback, without_secrets
from homeport_protocol.namespaces import NAMESPACE_HEADER, NAMESPACE_RULE, is_namespace
from homeport_protocol.websocket import SUBPROTOCOL

_QUEUED_FRAMES = 64
"""Messages buffered for a slow reader; beyond it the socket is not read, which is backpressure."""


class Dialer:
    """Connects to hubs: holds their URLs and the headers to send.

    `url` is read by `hub_urls`; `token` falls back to HOMEPORT_TOKEN; `shuffle` is that of
    `Endpoints`. Raises BadURL, and BadRequest for a namespace or token that no hub could
    accept.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None,
        *,
        namespace: str | None,
        token: str | None,
        shuffle: bool = True,
    ) -> None:
        self.endpoints = Endpoints(hub_urls(url), shuffle=shuffle)
        self._headers: dict[str, str] = {}
        if namespace is not None:
            if not is_namespace(namespace):
                raise BadRequest(f"namespace: expected {NAMESPACE_RULE}", field="namespace")
            self._headers[NAMESPACE_HEADER] = namespace
        token = os.environ.get("HOMEPORT_TOKEN") if token is None else token
        if token:
            self._headers["Authorization"] = bearer(token)

    async def dial(self, url: str, *, seconds: float, keepalive: float | None = None) -> Connection:
        """Connect to `url` within `seconds`; with `keepalive` (seconds) the library sends pings.

        Raises CannotConnect, or BadRequest, Unauthorized, Forbidden, RateLimited or Unavailable
        when the hub refused the handshake for that reason, or BadURL.
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
                subprotocols=[Subprotocol(SUBPROTOCOL)],
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
    """The Authorization header's value; raises BadRequest, which does not repeat the token."""
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise BadRequest("token: expected visible ASCII characters only", field="token")
    return f"Bearer {token}"


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
