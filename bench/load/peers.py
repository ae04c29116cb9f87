"""A crowd of websockets as plain sockets behind one epoll: the cheapest peers Python can be.

Nothing here is asynchronous: what a step waits for is known, and it is waited for. A peer costs a
process some system calls and a few microseconds besides, so that thousands of them can connect, or
hear of something, faster than any server of ours lets them.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from bench.errors import BenchError
from bench.load.connection import Target
from bench.rig.machine import source_address

TIMEOUT = 30.0
"""Seconds without any news after which what is waited for will not come."""

_TEXT = 0x81
_ENOUGH = 256 * 1024


class Peer:
    """One websocket: its socket, and what it has heard and nobody has taken yet."""

    __slots__ = ("_heard", "first", "open", "socket")

    def __init__(self, connected: socket.socket, first: bytes) -> None:
        self.socket = connected
        self.first = first
        self.open = False
        self._heard = b""

    def read(self) -> None:
        """Take in what has come; raises BenchError when that is the end."""
        try:
            data = self.socket.recv(_ENOUGH)
        except ConnectionError as error:
            raise BenchError(f"the server broke a connection: {error.strerror}") from None
        if not data:
            raise BenchError(f"the server ended a connection after {self._heard[-100:]!r}")
        self._heard = self._heard + data if self._heard else data

    def shake_hands(self, target: Target) -> bool:
        """Whether the upgrade has been answered; then the first message, if any, is sent."""
        headers, found, rest = self._heard.partition(b"\r\n\r\n")
        if not found:
            return False
        target.check(headers)
        self.open = True
        self._heard = rest
        if self.first:
            self.socket.sendall(self.first)
        return True

    def ends_with(self, ending: bytes) -> bool:
        """Whether this is the end of what has been heard."""
        return self._heard.endswith(ending)

    def whole(self, count: int) -> bool:
        """Whether so many messages have been heard; raises BenchError when there are more."""
        data, size, start = self._heard, len(self._heard), 0
        for _ in range(count):
            start = _end(data, start)
            if start > size:
                return False
        if start < size:
            raise BenchError(f"a message too many: {data[start : start + 200]!r}")
        return True

    def take(self) -> list[bytes]:
        """The messages heard since the last time."""
        data, self._heard = self._heard, b""
        messages, start = [], 0
        while start < len(data):
            if data[start] != _TEXT:
                raise BenchError(f"a frame that is no text: {data[start : start + 130]!r}")
            end = _end(data, start)
            messages.append(data[start + _head(data[start + 1]) : end])
            start = end
        return messages


class Peers:
    """Peers of one server."""

    def __init__(self, target: Target) -> None:
        self._target = target
        if not hasattr(select, "epoll"):
            raise BenchError("a crowd needs Linux: other systems tell less cheaply who has heard")
        self._epoll = select.epoll()
        self._peers: dict[int, Peer] = {}
        self._most = 1

    def open(
        self, firsts: Iterable[bytes], answered: Callable[[Peer], bool], at_once: int
    ) -> list[Peer]:
        """Connect a peer for each first message, and wait until each has been answered.

        So many are on their way at a time: who is done is followed by the next one.
        """
        waiting = iter(enumerate(firsts))
        peers = [self._connect(*each) for _, each in zip(range(at_once), waiting, strict=False)]
        missing = len(peers)
        while missing:
            for peer in self._arrivals():
                peer.read()
                if not (peer.open or peer.shake_hands(self._target)) or not answered(peer):
                    continue
                following = next(waiting, None)
                if following is None:
                    missing -= 1
                else:
                    peers.append(self._connect(*following))
        return peers

    def hear(self, hearers: Collection[Peer]) -> float:
        """Wait until each has heard one message: when the last one had, by `time.monotonic()`.

        It is read only then, so that reading keeps nobody from hearing.
        """
        missing = set(hearers)
        while missing:
            missing.difference_update(self._arrivals())
        at = time.monotonic()
        for peer in hearers:
            peer.read()
        while not all(peer.whole(1) for peer in hearers):  # it came in parts
            for peer in self._arrivals():
                peer.read()
            at = time.monotonic()
        return at

    def end(self, peer: Peer) -> float:
        """End a connection as the kernel does for a killed process; returns when."""
        self._epoll.unregister(peer.socket)
        at = time.monotonic()
        peer.socket.close()
        return at

    def _connect(self, number: int, first: bytes) -> Peer:
        source = source_address(number)
        try:
            connected = socket.create_connection(
                (self._target.host, self._target.port),
                TIMEOUT,
                source_address=None if source is None else (source, 0),
            )
        except OSError as error:
            raise self._target.unreachable(error) from None
        connected.settimeout(None)  # it is read when there is something to read
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.sendall(self._target.upgrade)
        peer = Peer(connected, first)
        self._epoll.register(connected, select.EPOLLIN | select.EPOLLET)
        self._peers[connected.fileno()] = peer
        self._most = len(self._peers)
        return peer

    def _arrivals(self) -> Iterator[Peer]:
        """The peers for which something has come; each is told once of all that has."""
        ready = self._epoll.poll(TIMEOUT, self._most)
        if not ready:
            raise BenchError(f"nothing was heard for {TIMEOUT:g} s")
        peers = self._peers
        return (peers[number] for number, _ in ready)


def _head(length: int) -> int:
    """Bytes before the payload, from the second byte of a frame that is not masked."""
    return 2 if length < 126 else 4 if length == 126 else 10


def _end(data: bytes, start: int) -> int:
    """Where the frame from `start` on ends; behind the end of `data` while it is not whole."""
    if start + 2 > len(data):
        return len(data) + 1
    length = data[start + 1]
    body = start + _head(length)
    if body > len(data):
        return len(data) + 1
    return body + (length if length < 126 else int.from_bytes(data[start + 2 : body], "big"))
