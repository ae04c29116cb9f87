"""What urllib opens connections with here: our choice of the proxy, and of an address."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any

from agent_client.forks import close_in_children
from agent_client.transport.proxies import Proxy, proxy_for
from agent_client.transport.sockets import connect_socket_blocking
from agent_client.transport.tls import Tls
from agent_client.transport.tunnels import open_socks_blocking


def opener(tls: Tls, *handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """An opener that follows `proxies`, and tries the addresses of a name as `sockets` does."""
    return urllib.request.build_opener(_Proxies(), _Http(), _Https(tls), *handlers)


class _Proxies(urllib.request.ProxyHandler):
    """Decides for each request, since a redirection may lead to a host without a proxy."""

    def __init__(self) -> None:
        super().__init__({})

    def http_open(self, request: urllib.request.Request) -> Any:
        proxy = None if request.has_proxy() else proxy_for(request.full_url)
        if proxy is None or proxy.is_socks:
            return None  # the next handler connects
        return self.proxy_open(request, proxy.url, request.type)

    https_open = http_open


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_maker(HTTPConnection, req), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, tls: Tls) -> None:
        super().__init__()
        self._tls = tls

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_maker(_TlsConnection, req), req, context=self._tls.context())


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        close_in_children(self.sock)  # which is no longer the socket that was connected


def _maker(
    kind: type[HTTPConnection], request: urllib.request.Request
) -> Callable[..., HTTPConnection]:
    proxy = proxy_for(request.full_url)
    socks = proxy if proxy is not None and proxy.is_socks else None

    def make(host: str, **options: Any) -> HTTPConnection:
        connection = kind(host, **options)
        # The only place at which the library lets a socket in; it is the same in every version.
        connection._create_connection = _Connecting(socks)  # type: ignore[attr-defined]
        return connection

    return make


class _Connecting:
    """Stands for `socket.create_connection`."""

    def __init__(self, socks: Proxy | None) -> None:
        self._socks = socks

    def __call__(self, address: tuple[str, int], timeout: float, *_source: object) -> socket.socket:
        if self._socks is not None:
            return open_socks_blocking(self._socks, *address, timeout)
        return connect_socket_blocking(*address, timeout)
