"""Dialling a hub: its URLs, the headers sent there, and what a refused handshake raises."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    WebSocketException,
)
from websockets.http11 import Response
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
from agent_client.forks import belongs_elsewhere
from agent_client.transport.connection import CLOSING_TIMEOUT, Connection
from agent_client.transport.credentials import Credentials, FilePath, TokenSource
from agent_client.transport.endpoints import Endpoints
from agent_client.transport.headers import (
    Headers,
    check_authorization,
    headers_to_hub,
    with_authorization,
)
from agent_client.transport.proxies import Proxy, ProxyError, proxy_for
from agent_client.transport.readable import warn_if_readable
from agent_client.transport.reasons import mismatch
from agent_client.transport.retry_after import retry_after
from agent_client.transport.revocation import Revocation
from agent_client.transport.sockets import connect_socket
from agent_client.transport.tls import Tls
from agent_client.transport.tunnels import CREDENTIALS_WANTED, open_tunnel, with_answering_address
from agent_client.transport.urls import (
    hub_urls,
    keeps_secrets,
    origin,
    redirect_target,
    without_secrets,
    without_user,
)
from agent_client.transport.websocket_log import websocket_logger
from homeport_protocol.websocket import SUBPROTOCOL

_QUEUED_FRAMES = 64
"""Messages buffered for a slow reader; beyond it the socket is not read, which is backpressure."""

_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_CREDENTIALS_WANTED = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED


class Dialer:
    """Connects to hubs: holds their URLs and what to show there.

    `url` is read by `hub_urls`; `namespace` and `headers` by `headers_to_hub`; `token` and
    `token_file` by `Credentials`; the other files by `Tls`; `shuffle` is that of `Endpoints`.
    Raises BadURL, and BadRequest for a value that no hub could accept.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None,
        *,
        namespace: str | None,
        token: str | None = None,
        token_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        client_cert: FilePath | None = None,
        client_key: FilePath | None = None,
        headers: Mapping[str, str] | None = None,
        shuffle: bool = True,
    ) -> None:
        urls = hub_urls(url)
        self.endpoints = Endpoints(urls, shuffle=shuffle)
        self._headers = headers_to_hub(headers, namespace=namespace)
        credentials = Credentials(token, token_file)
        self._sources = {each: credentials.of(each) for each in urls}
        for source in self._sources.values():
            check_authorization(self._headers, source)
        self._tls = Tls(ca_file, client_cert, client_key)
        self._revocation = Revocation()
        self._process = 0

    def may_come_as_another(self, url: str) -> bool:
        """Whether another token or certificate may be shown to `url` at the next connection."""
        source = self._sources[url]
        return self._tls.shown is not None if source is None else source.replaceable

    async def dial(self, url: str, *, seconds: float, keepalive: float | None = None) -> Connection:
        """Connect to `url` within `seconds`; with `keepalive` (seconds) the library sends pings.

        Raises CannotConnect, or BadRequest, Unauthorized, Forbidden, RateLimited or Unavailable
        when the hub refused the handshake for that reason, or BadURL; RuntimeError in a child of
        the process that dialled first.
        """
        self._process = self._process or os.getpid()
        if self._process != os.getpid():
            raise belongs_elsewhere("client", self._process)
        at, proxy, shown = without_user(url), None, without_secrets(url)
        source = self._sources[url]
        try:
            headers = with_authorization(self._headers, source)
            async with asyncio.timeout(seconds):
                for _ in range(_MOST_REDIRECTS):
                    proxy = proxy_for(at)
                    warn_if_readable(at, headers)
                    try:
                        websocket = await self._handshake(at, proxy, headers, keepalive)
                    except InvalidStatus as error:
                        # Answered below, so that no error has this one, which shows a gateway's
                        # cookies, as its context.
                        answer = error.response
                    else:
                        self._revocation.accepted()
                        return Connection(
                            websocket, url, _shown(proxy), self._revocation.session_ended
                        )
                    location = answer.headers.get("Location")
                    if answer.status_code not in _REDIRECTS or location is None:
                        raise _handshake_refused(shown, answer, self._advice(source))
                    at = _redirected(at, location, headers)
            raise CannotConnect(f"{shown} redirects without end")
        except HomeportError as error:
            if isinstance(error, Unauthorized):
                error.final = self._revocation.refused(replaceable=self.may_come_as_another(url))
            error.at(shown, _shown(proxy))
            raise
        except TimeoutError as error:
            late = CannotConnect(f"{shown} did not answer within {seconds:g} s")
            raise late.at(shown, _shown(proxy)) from error
        except (OSError, WebSocketException) as error:
            raise _cannot_connect(shown, proxy, error, secure=origin(at).secure) from error
        except ValueError as error:
            raise BadURL(f"cannot use the URL {shown}: {error}") from None

    def _advice(self, source: TokenSource | None) -> str:
        """What was shown to a hub that answered 401."""
        if source is not None:
            return f"the token is from {source.given_by}"
        if self._tls.shown is not None:
            return f"no token was given; the certificate is from {self._tls.shown}"
        return "no token was given: set HOMEPORT_TOKEN or HOMEPORT_TOKEN_FILE"

    async def _handshake(
        self, url: str, proxy: Proxy | None, headers: Headers, keepalive: float | None
    ) -> ClientConnection:
        to = origin(url)
        # Before the socket: what is wrong with the files needs no connection.
        tls = {"ssl": self._tls.context()} if to.secure else {}
        way: dict[str, Any]
        if proxy is None:
            way = {"sock": await connect_socket(to.host, to.port)}
        elif proxy.scheme == "https":
            # The library's way: TLS in TLS where the hub has TLS as well.
            by_address = await with_answering_address(proxy)
            way = {"proxy": by_address.url, "proxy_server_hostname": proxy.host}
        else:
            way = {"sock": await open_tunnel(proxy, to.host, to.port)}
        try:
            once = _Once(
                url,
                additional_headers=headers,
                compression=None,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                max_size=None,
                max_queue=_QUEUED_FRAMES,
                open_timeout=None,
                ping_interval=keepalive,
                ping_timeout=keepalive,
                close_timeout=CLOSING_TIMEOUT,
                logger=websocket_logger,
                **{"proxy": None, **way, **tls},
            )
        except BaseException:
            if "sock" in way:
                way["sock"].close()
            raise
        return await once  # the socket is the event loop's from here on


def _redirected(at: str, location: str, headers: Headers) -> str:
    """Where the answer of `at` redirects to. Raises BadURL when that must not be followed."""
    to = without_user(redirect_target(at, location))
    before, after = origin(at), origin(to)
    shown = f"{without_secrets(at)} redirects to {without_secrets(to)}"
    if before.secure and not after.secure:
        raise BadURL(f"{shown}, which has no TLS")
    if headers and not keeps_secrets(before, after):
        # They may be secrets of the first; and without its namespace an agent would go astray.
        name = next(iter(headers))
        raise BadURL(
            f"{shown}, another origin, to which {name} is not sent: use that URL if it is the hub's"
        )
    return to


def _shown(proxy: Proxy | None) -> str | None:
    return None if proxy is None else str(proxy)


def _cannot_connect(
    shown: str, proxy: Proxy | None, error: Exception, *, secure: bool
) -> CannotConnect:
    words = mismatch(error, secure=secure) or str(error) or type(error).__name__
    if isinstance(error, InvalidProxyStatus) and error.response.status_code == _CREDENTIALS_WANTED:
        words = CREDENTIALS_WANTED
    through = "" if proxy is None else f" through the proxy {proxy}"
    failure = CannotConnect(f"cannot connect to {shown}{through}: {words}", broken=_broke(error))
    if words == CREDENTIALS_WANTED or (isinstance(error, ProxyError) and not error.retryable):
        failure.retryable = False
    failure.at(shown, _shown(proxy))
    return failure


class _Once(connect):
    """`connect` without its redirects, which take a user's headers along to other origins."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _broke(error: Exception) -> bool:
    """Whether the connection was made, and ended before the hub had answered the handshake."""
    if isinstance(error, InvalidMessage):
        return isinstance(error.__cause__, EOFError)
    return isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError)


class _Body(Struct):
    error: str


def _handshake_refused(shown: str, answer: Response, advice: str) -> HomeportError:
    status = answer.status_code
    try:
        words = msgspec.json.decode(answer.body or b"", type=_Body).error[:500]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        words = f"HTTP {status}"
    message = f"{shown} refused the connection: {words}"
    given = answer.headers.get_all("Retry-After")
    seconds = retry_after(given[0]) if given else None
    match status:
        case 400:
            return BadRequest(message)
        case 401:
            return Unauthorized(f"{message} ({advice})")
        case 403:
            return Forbidden(message)
        case 429:
            return RateLimited(message, retry_after=seconds)
        case 503:
            return Unavailable(message, retry_after=seconds)
        case _:
            return CannotConnect(message, retry_after=seconds)
