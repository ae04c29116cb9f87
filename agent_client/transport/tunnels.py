"""Tunnels through proxies: HTTP's CONNECT, and SOCKS by the package python-socks."""

from __future__ import annotations

import asyncio
import base64
import importlib
import re
import socket
from collections.abc import Callable
from typing import Any, cast

from agent_client.forks import close_in_children
from agent_client.transport.proxies import Proxy, ProxyError, authority
from agent_client.transport.sockets import connect_socket, connect_socket_blocking, send_at_once

_MAX_ANSWER_BYTES = 1 << 16

CREDENTIALS_WANTED = (
    "it wants credentials (HTTP 407): put them into its URL, as http://USER:PASSWORD@HOST:PORT"
)

_NO_PACKAGE = (
    "SOCKS needs a package that is not installed: pip install python-socks "
    "(hosts named in NO_PROXY are reached without the proxy)"
)


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A socket whose other end is `host`, through an http or SOCKS proxy; raises OSError."""
    if proxy.is_socks:
        _require_package()
        connect, refused = _socks(await with_answering_address(proxy), "async_.asyncio")
        try:
            tunnel = cast(socket.socket, await connect(host, port))
        except refused as error:
            raise ProxyError(f"it refused: {error}") from None
        send_at_once(tunnel)
        close_in_children(tunnel)
        return tunnel
    tunnel = await connect_socket(proxy.host, proxy.port)
    try:
        await _ask_to_connect(tunnel, proxy, authority(host, port))
    except BaseException:
        tunnel.close()
        raise
    return tunnel


def open_socks_blocking(proxy: Proxy, host: str, port: int, seconds: float) -> socket.socket:
    """The same through a SOCKS proxy, for programs without asyncio; `seconds` is its timeout."""
    _require_package()
    with connect_socket_blocking(proxy.host, proxy.port, seconds) as answered:
        connect, refused = _socks(proxy._replace(host=answered.getpeername()[0]), "sync")
    try:
        return cast(socket.socket, connect(host, port, timeout=seconds))
    except refused as error:
        raise ProxyError(f"it refused: {error}") from None


async def with_answering_address(proxy: Proxy) -> Proxy:
    """`proxy` by an address that answers, for a library that connects to one address only."""
    with await connect_socket(proxy.host, proxy.port) as answered:
        return proxy._replace(host=answered.getpeername()[0])


def _require_package() -> None:
    """Raise ProxyError when the package is missing, which no further attempt mends."""
    try:
        importlib.import_module("python_socks")
    except ImportError:
        raise ProxyError(_NO_PACKAGE, retryable=False) from None


def _socks(proxy: Proxy, flavour: str) -> tuple[Callable[..., Any], type[Exception]]:
    """How the package connects through `proxy`, and how it says that the proxy refused."""
    package = importlib.import_module("python_socks")
    module = importlib.import_module(f"python_socks.{flavour}")
    kinds = package.ProxyType
    socks = module.Proxy(
        kinds.SOCKS5 if proxy.scheme.startswith("socks5") else kinds.SOCKS4,
        proxy.host,
        proxy.port,
        username=proxy.user,
        password=proxy.password,
        rdns=proxy.scheme in ("socks5h", "socks4a"),
    )
    return socks.connect, package.ProxyError


async def _ask_to_connect(tunnel: socket.socket, proxy: Proxy, to: str) -> None:
    loop = asyncio.get_running_loop()
    lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}"]
    if proxy.user is not None:
        pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    await loop.sock_sendall(tunnel, "\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        # Nothing of the hub's is read with it: a hub says nothing before it is asked.
        piece = await loop.sock_recv(tunnel, 4096)
        answer += piece
        if not piece or len(answer) > _MAX_ANSWER_BYTES:
            raise ProxyError("it ended the connection without an answer, as no HTTP proxy does")
    status = re.match(rb"HTTP/1\.\d (\d{3})", answer)
    if status is None:
        raise ProxyError("its answer is not one of an HTTP proxy")
    if status[1] == b"407":
        raise ProxyError(CREDENTIALS_WANTED, retryable=False)
    if not status[1].startswith(b"2"):
        raise ProxyError(f"it refused with HTTP {status[1].decode()}")
