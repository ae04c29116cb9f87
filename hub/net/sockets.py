"""Binding a port: the sockets of all addresses of a host, and the words when that fails."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

from hub.errors import HubError

NOTSENT_BYTES = 128 * 1024
"""Unsent bytes of a connection that the kernel keeps (TCP_NOTSENT_LOWAT). Without it the megabytes
of a slow watcher would pile up there, where they cannot be coalesced."""


class ListenError(HubError):
    """The address cannot be listened on."""


async def bind(
    host: str, port: int, *, listening: bool = True, shared: bool = False
) -> list[socket.socket]:
    """A socket for each address of the host, all on one port; the system chooses it for port 0.

    With `shared`, other processes of this user may bind the same port if they share it too. Raises
    ListenError with one plain sentence.
    """
    where = f"{host or '*'}:{port}"
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, OverflowError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {where}: {_words(error)}") from None
    sockets: list[socket.socket] = []
    failure: Exception | None = None
    # dict.fromkeys: some systems list an address twice
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            bound = _bound(
                socket.socket(family, kind, protocol),
                (address[0], port, *address[2:]),
                listening=listening,
                shared=shared,
            )
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                failure = error
                break  # a port that is free on some addresses only would be confusing
            failure = failure or error  # the machine may lack the address family
        else:
            sockets.append(bound)
            port = bound.getsockname()[1]
    in_use = getattr(failure, "errno", None) == errno.EADDRINUSE
    if failure is not None and (in_use or not sockets):
        release(sockets)
        raise ListenError(f"cannot listen on {where}: {_words(failure)}")
    return sockets


async def reserve(host: str, port: int) -> list[socket.socket]:
    """Reserve a port for workers that bind it as `shared`; Linux only.

    The sockets themselves accept nothing. Raises ListenError as `bind` does.
    """
    held = await bind(host, port, listening=False)
    try:
        # Listening for a moment shows whether another process does.
        probes = await bind(host, held[0].getsockname()[1])
    except BaseException:
        release(held)
        raise
    for each in held:
        # Binding needed SO_REUSEADDR because of old connections. It is off from here on, so that
        # other programs cannot use it to share the port; SO_REUSEPORT lets the workers in.
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    release(probes)
    return held


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    """The URL of what listens there."""
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def release(sockets: list[socket.socket]) -> None:
    """Close the sockets."""
    for each in sockets:
        each.close()
    sockets.clear()


def _bound(
    bound: socket.socket, address: tuple[Any, ...], *, listening: bool, shared: bool
) -> socket.socket:
    """Bind the socket. Its protocol number must be TCP's: asyncio sets TCP_NODELAY on no other."""
    try:
        if os.name == "posix":  # elsewhere it would share a port that is in use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # inherited by accepted connections
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_BYTES)
        bound.setblocking(False)
        bound.bind(address)
        if listening:
            bound.listen(1)  # only to see whether the port is free; the loop listens again
    except BaseException:
        bound.close()
        raise
    return bound


def _words(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return "the host name is not known"
        case OSError(errno=errno.EADDRINUSE):
            return "address already in use"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return "this machine has no such address"
        case OSError(errno=errno.EACCES):
            return "permission denied; ports below 1024 need privileges"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return str(error)
