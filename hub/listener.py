"""The one port of a hub: uvicorn's HTTP, and the gateway's websockets beside it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from hub import logs
from hub.errors import HubError
from hub.http_connection import HttpConnection
from hub.limits import UNLIMITED

BACKLOG = 4096
"""Connections that may wait to be accepted; a fleet that comes back arrives all at once."""

KEEP_ALIVE = 75
"""Seconds that an HTTP connection may idle between requests."""

NOTSENT_BYTES = 128 * 1024
"""What the kernel keeps of a connection beyond the peer's window. Without it a slow watcher's
megabytes would pile up there, out of reach of coalescing."""

POLL = 0.02
"""Seconds between looks at what is still open, while stopping."""

WARN_EVERY = 60.0
"""Seconds between warnings that connections are refused."""

log = logs.get("hub.listener")


class ListenError(HubError):
    """The address cannot be listened on."""


class Listener:
    """Serves `app` and websockets on one port, inside the running loop.

    `ws_protocol_factory` makes the asyncio protocol of each upgrade (`Gateway.protocol`). Beyond
    `max_connections`, connections are answered 503, so that files are left for the hub's own use.
    Signals and logging are the caller's.
    """

    def __init__(
        self,
        app: ASGIApp,
        ws_protocol_factory: Callable[..., asyncio.Protocol],
        host: str,
        port: int,
        *,
        backlog: int = BACKLOG,
        max_connections: int = UNLIMITED,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._backlog = backlog
        self._max_connections = max_connections
        self._warned_at = -WARN_EVERY
        self._stopping = False
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._state = ServerState()
        self._config = Config(
            self._serve,
            http=HttpConnection,
            ws=cast(Any, ws_protocol_factory),
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
        )

    @property
    def open_connections(self) -> int:
        """Connections now open, HTTP and websocket."""
        return len(self._state.connections)

    async def bind(self) -> tuple[str, int]:
        """Take the port; who connects waits until `start`.

        Returns the address and port, which for port 0 the system has chosen. Raises ListenError
        with one plain sentence.
        """
        self._sockets = await self._bind()
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> tuple[str, int]:
        """Serve on the port, which is taken now unless `bind` has; returns and raises as `bind`."""
        loop = asyncio.get_running_loop()
        self._config.load()
        if not self._sockets:
            await self.bind()
        host, port = self._sockets[0].getsockname()[:2]
        while self._sockets:
            server = await loop.create_server(
                self._connect, sock=self._sockets.pop(0), backlog=self._backlog
            )
            self._servers.append(server)
        return host, port

    def release(self) -> None:
        """Give a port back that was taken and never served."""
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and let requests under way finish for up to `grace` seconds.

        What is still open then is cut off. Websockets are asked to close with 1001; a hub with
        more to say to them does so before.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        self._stopping = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._state.connections):
            connection.shutdown()
        while self._busy() and loop.time() < deadline:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(POLL)
        if self._busy():
            log.warning(
                "connections cut off",
                connections=len(self._state.connections),
                requests=len(self._state.tasks),
            )
            for connection in list(self._state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)  # handlers learn of it before they are cancelled
            await asyncio.sleep(0)
            tasks = list(self._state.tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=POLL)

    def _busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks)

    def _connect(self) -> asyncio.Protocol:
        overload = len(self._state.connections) >= self._max_connections
        if overload:
            now = asyncio.get_running_loop().time()
            if now - self._warned_at >= WARN_EVERY:
                self._warned_at = now
                log.warning(
                    "connections refused: the limit is reached; raise the limit of open files",
                    limit=self._max_connections,
                )
        return HttpConnection(self._config, self._state, overload=overload)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            # Cut off by `stop`, which has said so; uvicorn would log a traceback.

    async def _bind(self) -> list[socket.socket]:
        """A listening socket for each address of the host, all on one port."""
        where = f"{self._host or '*'}:{self._port}"
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, OverflowError, UnicodeError) as error:
            raise ListenError(f"cannot listen on {where}: {_words(error)}") from None
        sockets: list[socket.socket] = []
        failure: Exception | None = None
        port = self._port
        # dict.fromkeys: some systems list an address twice
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                bound = _listen(family, kind, protocol, (address[0], port, *address[2:]))
            except (OSError, OverflowError) as error:
                if getattr(error, "errno", None) == errno.EADDRINUSE:
                    failure = error
                    break  # half a port would be a riddle
                failure = failure or error  # the machine may just lack the family
            else:
                sockets.append(bound)
                port = bound.getsockname()[1]
        in_use = getattr(failure, "errno", None) == errno.EADDRINUSE
        if failure is not None and (in_use or not sockets):
            for bound in sockets:
                bound.close()
            raise ListenError(f"cannot listen on {where}: {_words(failure)}")
        return sockets


def _listen(
    family: socket.AddressFamily, kind: socket.SocketKind, protocol: int, address: tuple[Any, ...]
) -> socket.socket:
    """A bound socket. Its protocol number must be TCP's: asyncio sets TCP_NODELAY on no other."""
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would share a port in use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted connections inherit it
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_BYTES)
        bound.setblocking(False)
        bound.bind(address)
        bound.listen(1)  # in earnest when the loop takes it; here to learn whether the port is free
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
