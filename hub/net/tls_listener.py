"""Accepting TLS connections, with a bound on those whose handshake is not done.

asyncio's own server takes one context for its whole life, and any number of connections that never
finish their handshake. Here each connection gets the certificate of the moment.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine

from hub.net.admission import Admission
from hub.net.certificate import ServerCertificate
from hub.telemetry import logs

PAUSE = 1.0
"""Seconds to accept nothing after the system had no room for another connection."""

AT_ONCE = 64
"""Connections that are accepted in one turn of the event loop."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

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
        self._loop = asyncio.get_running_loop()
        self._socket = bound
        self._certificate = certificate
        self._connect = connect
        self._admission = admission
        self._close_timeout = close_timeout
        self._handshakes: set[_Handshake] = set()
        self._pause: asyncio.TimerHandle | None = None
        bound.listen(backlog)
        self._accept_on()

    def close(self) -> None:
        """Accept nothing more, and end the handshakes in progress; other connections stay."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for handshake in self._handshakes:
            handshake.cancel()

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
            if len(self._handshakes) >= self._admission.max_connections:
                accepted.close()  # the limit of open files would be next
                continue
            accepted.setblocking(False)
            handshake = _Handshake(self._shake_hands(accepted, str(peer)))
            self._handshakes.add(handshake)
            self._admission.began(handshake)
            handshake.on_end(self._ended)

    async def _shake_hands(self, accepted: socket.socket, peer: str) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._connect,
                accepted,
                ssl=self._certificate.context,
                ssl_handshake_timeout=self._admission.limits.handshake_timeout,
                ssl_shutdown_timeout=self._close_timeout,
            )
        except ssl.SSLError as error:
            logger.debug("no TLS connection", peer=peer, reason=_words(error))
        except OSError as error:
            logger.debug("no TLS connection", peer=peer, reason=str(error))

    def _ended(self, handshake: _Handshake) -> None:
        self._handshakes.discard(handshake)
        self._admission.greeted(handshake)


class _Handshake:
    """A TLS handshake in progress; it ends early when newer connections need its room."""

    def __init__(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def make_room(self) -> None:
        """End it because of `max_handshakes`."""
        self.cancel()

    def cancel(self) -> None:
        """Close the connection."""
        self._task.cancel()

    def on_end(self, ended: Callable[[_Handshake], None]) -> None:
        """Call back when it is done, in whichever way."""
        self._task.add_done_callback(lambda _: ended(self))


def _words(error: ssl.SSLError) -> str:
    if error.reason == "HTTP_REQUEST":
        return "the client speaks plain HTTP: its URL needs https"
    return str(error.reason or error).lower().replace("_", " ")
