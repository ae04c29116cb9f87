"""uvicorn whose `ws=` protocol does the handshake of `ServerProtocol`, and next to nothing after.

uvicorn, its settings and the event loop are those of the hub. It understands two words: `write N`
writes N bytes to every connection, as a hub does to its watchers; after `ends` it sends this
connection the instant (`time.monotonic()`) at which any other connection ended.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar, cast

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.net.listener import BACKLOG, UVICORN
from hub.websocket.frames import text_frame

_logger = logging.getLogger("bench.uvicorn_upgrades")
_logger.setLevel(logging.WARNING)  # at info level the library logs two lines for each connection


async def serve(announce: Callable[[str], None], _size: int) -> None:
    """Serve until cancelled."""
    gc.freeze()  # a server collects garbage, but not what it began with
    config = Config(
        _nothing,
        http="httptools",
        ws=cast(Any, BareWebsocket),
        interface="asgi3",
        **UVICORN,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: HttpToolsProtocol(config, state, {}, loop), "127.0.0.1", 0, backlog=BACKLOG
    )
    announce(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")
    await loop.create_future()


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """The application, which is never called."""


class BareWebsocket(asyncio.Protocol):
    """One connection after its upgrade."""

    __slots__ = ("_everyone", "_transport", "_ws")

    told_of_ends: ClassVar[set[BareWebsocket]] = set()

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._everyone = cast(set[BareWebsocket], server_state.connections)
        self._ws = ServerProtocol(logger=_logger)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._everyone.add(self)

    def data_received(self, data: bytes) -> None:
        ws = self._ws
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Request):
                ws.send_response(ws.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._obey(bytes(event.data).decode().split())
        self._transport.write(b"".join(ws.data_to_send()))

    def connection_lost(self, exc: Exception | None) -> None:
        """This is the earliest that a server can know of a peer's end."""
        at = time.monotonic()
        self._everyone.discard(self)
        self.told_of_ends.discard(self)
        for each in self.told_of_ends:
            each._transport.write(text_frame(repr(at).encode()))

    def _obey(self, words: list[str]) -> None:
        if words[0] == "write":
            frame = text_frame(b"x" * int(words[1]))
            for each in self._everyone:
                each._transport.write(frame)
        elif words[0] == "ends":
            self.told_of_ends.add(self)
            self._ws.send_text(b"so be it")
