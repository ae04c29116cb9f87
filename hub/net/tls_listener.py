"""Accepting TLS connections: few unfinished ones, for a short time, and a few at a time.

asyncio's own server takes one context for its whole life, makes TLS objects for connections that
never say anything, and does the work of all handshakes at once. Here each connection gets the
certificate of the moment, once it has said something, and those that begin at once wait for turns.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable

from hub.net.admission import Admission
from hub.net.certificate import ServerCertificate
from hub.net.raw_response import error_response
from hub.telemetry import logs

PAUSE = 1.0
"""Seconds to accept nothing after the system had no room for another connection."""

AT_ONCE = 64
"""Connections that are accepted in one turn of the event loop."""

STARTS = 8
"""Handshakes that begin in one turn: each costs a signature, up to a millisecond."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_HANDSHAKE = b"\x16"
"""The first byte of a TLS connection."""

logger = logs.get("hub.tls")


class TlsListener:
    """Accepts on a socket that is bound; gives each connection to what `connect` makes.

    `admission` bounds the handshakes in progress, in number and time. A connection that closes has
    `close_timeout` seconds to read what is left.
    """

    def __init__(
        self,
        bound: socket.socket,
        certificate: ServerCertificate,
        connect: Callable[[], asyncio.Protocol],
        *,
        backlog: int,
        admission: Admission,
        close_timeout: float,
    ) -> None:
        self.certificate = certificate
        self.connect = connect
        self.admission = admission
        self.close_timeout = close_timeout
        self._loop = asyncio.get_running_loop()
        self._socket = bound
        self._arrivals: set[_Arrival] = set()
        self._ready: deque[_Arrival] = deque()
        self._pause: asyncio.TimerHandle | None = None
        bound.listen(backlog)
        self._accept_on()

    def close(self) -> None:
        """Accept nothing more, and end the handshakes in progress; other connections stay."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for arrival in list(self._arrivals):
            arrival.make_room()

    def ready(self, arrival: _Arrival) -> None:
        """The connection has said something: begin its handshake in one of the next turns."""
        self._ready.append(arrival)
        if len(self._ready) == 1:
            self._loop.call_soon(self._start)

    def ended(self, arrival: _Arrival) -> None:
        """The handshake is done, in whichever way."""
        self._arrivals.discard(arrival)
        self.admission.greeted(arrival)

    def _start(self) -> None:
        for _ in range(min(STARTS, len(self._ready))):
            self._ready.popleft().begin()
        if self._ready:
            self._loop.call_soon(self._start)

    def _accept_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                logger.warning("no connection accepted", reason=str(error.strerror).lower())
                self._loop.remove_reader(self._socket.fileno())
                self._pause = self._loop.call_later(PAUSE, self._accept_on)
                return
            if len(self._arrivals) >= self.admission.max_connections:
                accepted.close()  # the limit of open files would be next
                continue
            accepted.setblocking(False)
            arrival = _Arrival(self, accepted, str(peer))
            self._arrivals.add(arrival)
            self.admission.began(arrival)


class _Arrival:
    """A connection until its handshake is done: silent, ready, or in its handshake."""

    __slots__ = (
        "_deadline",
        "_listener",
        "_loop",
        "_peer",
        "_socket",
        "_taken",
        "_task",
        "_timer",
    )

    def __init__(self, listener: TlsListener, accepted: socket.socket, peer: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._socket = accepted
        self._peer = peer
        self._task: asyncio.Task[None] | None = None
        self._taken = False
        timeout = listener.admission.limits.handshake_timeout
        self._deadline = self._loop.time() + timeout
        self._timer = self._loop.call_later(timeout, self.make_room)
        self._loop.add_reader(accepted.fileno(), self._said)

    def make_room(self) -> None:
        """Close the connection: it took too long, or newer ones need its room."""
        if self._task is not None:
            self._task.cancel()
        elif self._socket.fileno() >= 0:
            self._end()

    def begin(self) -> None:
        """Do the handshake, unless the connection was closed meanwhile."""
        if self._socket.fileno() >= 0:
            self._timer.cancel()
            self._task = self._loop.create_task(self._shake_hands())
            self._task.add_done_callback(self._done)

    def _said(self) -> None:
        """The first bytes are there, or the end."""
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if first == _HANDSHAKE:
            self._loop.remove_reader(self._socket.fileno())
            self._listener.ready(self)
            return
        if first.isalpha():
            self._tell_plainly()
        logger.debug("no TLS connection", peer=self._peer, reason="it does not begin as one")
        self._end()

    def _tell_plainly(self) -> None:
        """Answer a request that came without TLS, as far as that goes without waiting."""
        try:
            self._socket.send(error_response(400, "this port speaks TLS: use https or wss"))
            self._socket.recv(64 * 1024)  # what stays unread would take the answer back
        except OSError:
            pass

    def _end(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._listener.ended(self)

    def _done(self, _task: asyncio.Task[None]) -> None:
        if not self._taken:  # the task was cancelled before it began
            self._socket.close()
        self._listener.ended(self)

    async def _shake_hands(self) -> None:
        listener, self._taken = self._listener, True  # a transport closes the socket from here on
        try:
            await self._loop.connect_accepted_socket(
                listener.connect,
                self._socket,
                ssl=listener.certificate.context,
                ssl_handshake_timeout=max(0.1, self._deadline - self._loop.time()),
                ssl_shutdown_timeout=listener.close_timeout,
            )
        except ssl.SSLError as error:
            reason = str(error.reason or error).lower().replace("_", " ")
            logger.debug("no TLS connection", peer=self._peer, reason=reason)
        except OSError as error:
            logger.debug("no TLS connection", peer=self._peer, reason=str(error))
