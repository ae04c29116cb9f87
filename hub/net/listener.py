"""The one port of a hub: HTTP by uvicorn, and websockets by the gateway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from hub.net.admission import Admission
from hub.net.browsers import BrowserPolicy, BrowserRules, Permit, check_browser, make_rules
from hub.net.certificate import ServerCertificate
from hub.net.exchange import EXCHANGE, Exchange
from hub.net.head import Head
from hub.net.http_protocol import HttpProtocol
from hub.net.intake import Intake
from hub.net.pipelining import PipelinedHttp
from hub.net.sockets import bind
from hub.net.tls_listener import TlsListener
from hub.net.unsent import UnsentBudget
from hub.telemetry import logs
from hub.telemetry.peer_reports import PeerReports

BACKLOG = 4096
"""Connections that may wait to be accepted: a fleet reconnects all at once."""

ACCEPTS = 4
"""Connections that are accepted in one turn of the loop. uvloop accepts one for each socket, so a
hub whose turns are long, and whose backlog is full, would let few in: the socket is listed as often
as that."""

KEEP_ALIVE = 75
"""Seconds that an HTTP connection may idle between requests."""

UVICORN: dict[str, Any] = {
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,
    "server_header": False,
    "timeout_keep_alive": KEEP_ALIVE,
}
"""uvicorn's settings; the servers that a bench compares a hub with use the same ones."""

POLL = 0.02
"""Seconds between two checks of what is still open, while stopping."""

CHECKS = 10
"""How many times within `send_timeout` it is checked that callers read."""

logger = logs.get("hub.listener")


class Listener:
    """Serves `app` and websockets on one port, inside the running loop.

    `ws_protocol_factory` makes the asyncio protocol of each upgrade (`Gateway.protocol`).
    `admission` bounds the connections, `unsent` what callers may leave unread, and `browsers` says
    which hosts and origins are the hub's; `reports` is told what is refused. With a `certificate`
    it speaks TLS only. With `shared_port` other workers listen on the port too, and the kernel
    chooses among them.
    `intake` has what callers send at once parsed in turn.
    Signals and logging are left to the caller.
    """

    def __init__(
        self,
        app: ASGIApp,
        ws_protocol_factory: Callable[..., asyncio.Protocol],
        host: str,
        port: int,
        *,
        backlog: int = BACKLOG,
        admission: Admission | None = None,
        shared_port: bool = False,
        unsent: UnsentBudget | None = None,
        intake: Intake | None = None,
        certificate: ServerCertificate | None = None,
        browsers: BrowserPolicy | None = None,
        reports: PeerReports | None = None,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._backlog = backlog
        self._admission = admission or Admission()
        self._shared_port = shared_port
        self._unsent = unsent or UnsentBudget()
        self._certificate = certificate
        self._intake = intake or Intake()
        self._browsers = browsers or BrowserPolicy()
        self._rules = BrowserRules()
        self._reports = reports or PeerReports()
        self._check: asyncio.TimerHandle | None = None
        self._stopping = False
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server | TlsListener] = []
        self._state = ServerState()
        self._config = Config(
            self._serve,
            http=HttpProtocol,
            ws=cast(Any, ws_protocol_factory),
            interface="asgi3",
            **UVICORN,
        )

    @property
    def open_connections(self) -> int:
        """The number of open connections, HTTP and websocket."""
        return len(self._state.connections)

    @property
    def addresses(self) -> list[str]:
        """The IP addresses that are bound, from `bind` until `start`."""
        return [each.getsockname()[0] for each in self._sockets]

    async def bind(self) -> tuple[str, int]:
        """Bind the port; connections wait until `start`, or go to another worker.

        Returns the address and the port, which the system chooses for port 0. Raises ListenError
        with one plain sentence.
        """
        self._sockets = await bind(
            self._host,
            self._port,
            # A worker listens only once it can serve: until then the others take connections.
            listening=not self._shared_port,
            shared=self._shared_port,
        )
        addresses = [each.getsockname()[0] for each in self._sockets]
        self._rules = make_rules(self._host, addresses, self._browsers)
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> tuple[str, int]:
        """Serve on the port, and bind it first if need be; returns and raises as `bind`."""
        loop = asyncio.get_running_loop()
        self._config.load()
        if not self._sockets:
            await self.bind()
        host, port = self._sockets[0].getsockname()[:2]
        while self._sockets:
            bound = self._sockets.pop(0)
            if self._certificate is not None:
                self._servers.append(self._serve_tls(bound, self._certificate))
            else:
                for each in (bound, *(bound.dup() for _ in range(ACCEPTS - 1))):
                    self._servers.append(
                        await loop.create_server(self._connect, sock=each, backlog=self._backlog)
                    )
        self._check_reading()
        return host, port

    def _serve_tls(self, bound: socket.socket, certificate: ServerCertificate) -> TlsListener:
        return TlsListener(
            bound,
            certificate,
            self._connect,
            backlog=self._backlog,
            admission=self._admission,
            close_timeout=self._unsent.send_timeout,
        )

    def release(self) -> None:
        """Close the sockets of a port that was bound and never served."""
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and give requests in progress `grace` seconds to finish.

        Connections that are still open then are aborted. Websockets are closed with 1001; the hub
        closes them earlier, with a reason.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        self._stopping = True
        if self._check is not None:
            self._check.cancel()
        self._admission.close()
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._state.connections):
            connection.shutdown()
        while self._busy() and loop.time() < deadline:  # noqa: ASYNC110 - uvicorn has no callback
            await asyncio.sleep(POLL)
        if self._busy():
            logger.warning(
                "connections cut off",
                connections=len(self._state.connections),
                requests=len(self._state.tasks),
            )
            for connection in list(self._state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)  # handlers see the end before they are cancelled
            await asyncio.sleep(0)
            tasks = list(self._state.tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=POLL)

    def _busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks)

    def _connect(self) -> asyncio.Protocol:
        return PipelinedHttp(
            self._intake,
            self._config,
            self._state,
            self._unsent,
            self._admission,
            check=self._admit,
            reports=self._reports,
        )

    def _admit(self, head: Head) -> Permit:
        return check_browser(head, self._rules, asks=self._browsers.asks())

    def _check_reading(self) -> None:
        """Look regularly whether the callers of HTTP read; a websocket's session does it itself."""
        loop = asyncio.get_running_loop()
        for each in list(self._state.connections):
            if isinstance(each, HttpProtocol):
                each.check_reading(loop.time())
        self._check = loop.call_later(self._unsent.send_timeout / CHECKS, self._check_reading)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            # `stop` cancelled it and has logged that; uvicorn would log a traceback.
            exchange.give_up()
