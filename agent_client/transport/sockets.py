"""Connecting a socket to a name that has several addresses ("happy eyeballs", RFC 8305).

An address that swallows connections must not use up the whole attempt: while it does not answer,
the next one is tried as well, and the first connection made is taken. The families take turns.
"""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from agent_client.forks import close_in_children

HEAD_START = 0.25
"""Seconds that an address has to answer before the next one is tried beside it."""


class Address(NamedTuple):
    """Where to connect to: an address family, and an address of it."""

    family: int
    address: tuple[Any, ...]


async def connect_socket(host: str, port: int) -> socket.socket:
    """A non-blocking socket, connected to `host`; raises OSError when no address answers.

    A caller that no longer waits cancels it, and nothing stays open.
    """
    loop = asyncio.get_running_loop()
    # Looking a name up takes a thread, which an address needs not; and Python warns of a fork in
    # a process with threads.
    found = _numeric(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    waiting = in_turn(found)
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    winner: socket.socket | None = None
    try:
        while winner is None:
            if waiting:
                attempts.add(asyncio.create_task(_connect(loop, waiting.pop(0))))
            elif not attempts:
                raise _all_failed(host, failures)
            done, _ = await asyncio.wait(
                attempts,
                timeout=HEAD_START if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                error = attempt.exception()
                if isinstance(error, OSError):
                    failures.append(error)
                    attempts.discard(attempt)
                elif winner is None:
                    winner = attempt.result()
                    attempts.discard(attempt)
        return winner
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


def connect_socket_blocking(host: str, port: int, seconds: float) -> socket.socket:
    """A socket connected to `host` within `seconds`, which are also its timeout.

    Raises OSError when no address answers, TimeoutError when that took too long.
    """
    until = time.monotonic() + seconds
    waiting = in_turn(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    attempts: list[socket.socket] = []
    failures: list[OSError] = []
    winner: socket.socket | None = None
    with selectors.DefaultSelector() as selector:
        try:
            while winner is None:
                if waiting:
                    to = waiting.pop(0)
                    try:
                        attempt = _begin(to)
                    except OSError as error:
                        failures.append(error)
                        continue
                    attempts.append(attempt)
                    selector.register(attempt, selectors.EVENT_WRITE, (attempt, to))
                elif not selector.get_map():
                    raise _all_failed(host, failures)
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError("timed out")
                for key, _ in selector.select(min(HEAD_START, left) if waiting else left):
                    attempt, to = key.data
                    selector.unregister(attempt)
                    number = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if number:
                        failures.append(_no_connection(number, to))
                    elif winner is None:
                        winner = attempt
            winner.settimeout(seconds)
            return winner
        finally:
            for attempt in attempts:
                if attempt is not winner:
                    attempt.close()


def in_turn(found: Iterable[tuple[Any, ...]]) -> list[Address]:
    """The answers of `getaddrinfo` without duplicates, the families taking turns."""
    families: dict[int, dict[Address, None]] = {}
    for family, _type, _protocol, _name, address in found:
        families.setdefault(family, {})[Address(family, address)] = None
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


def _numeric(host: str, port: int) -> list[tuple[Any, ...]]:
    """The answer for an address, in any of its forms; empty for a name."""
    try:
        flags = socket.AI_NUMERICHOST
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)]
    except socket.gaierror:
        return []


async def _connect(loop: asyncio.AbstractEventLoop, to: Address) -> socket.socket:
    attempt = _socket(to)
    try:
        await loop.sock_connect(attempt, to.address)
    except BaseException as error:
        attempt.close()
        if isinstance(error, OSError) and error.errno:
            raise _no_connection(error.errno, to) from None
        raise
    return attempt


def _begin(to: Address) -> socket.socket:
    """A socket that has begun to connect; raises OSError when that failed at once."""
    attempt = _socket(to)
    number = attempt.connect_ex(to.address)
    if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        attempt.close()
        raise _no_connection(number, to)
    return attempt


def _socket(to: Address) -> socket.socket:
    made = socket.socket(to.family, socket.SOCK_STREAM)
    made.setblocking(False)
    send_at_once(made)
    close_in_children(made)
    return made


def send_at_once(connection: socket.socket) -> None:
    """Send small messages without waiting for more; event loops do so for sockets of theirs."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _no_connection(number: int, to: Address) -> OSError:
    return OSError(number, f"{os.strerror(number)} ({to.address[0]} port {to.address[1]})")


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """Close what a lost attempt connected after all."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _all_failed(host: str, failures: Sequence[OSError]) -> OSError:
    if not failures:
        return OSError(f"{host} has no address")
    reasons = "; ".join(dict.fromkeys(each.strerror or str(each) for each in failures))
    return OSError(failures[0].errno, reasons)
