"""The sans-I/O `ServerProtocol` in a bare `asyncio.Protocol`: no task, no queue, uvloop.

All that one read brought is answered in one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.net.listener import BACKLOG

_logger = logging.getLogger("bench.serverprotocol")
_logger.setLevel(logging.WARNING)  # at info level the library logs two lines for each connection


async def serve(announce: Callable[[str], None], size: int) -> None:
    """Answer each message with so many bytes, or with itself where 0, until cancelled."""
    loop = asyncio.get_running_loop()
    constant = b"x" * size
    server = await loop.create_server(
        lambda: BareConnection(constant), "127.0.0.1", 0, backlog=BACKLOG
    )
    announce(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")
    await loop.create_future()


class BareConnection(asyncio.Protocol):
    """One connection; an echo unless there is a constant answer."""

    __slots__ = ("_constant", "_transport", "_ws")

    def __init__(self, constant: bytes) -> None:
        self._constant = constant

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ws = ServerProtocol(logger=_logger)

    def data_received(self, data: bytes) -> None:
        ws = self._ws
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    ws.send_text(self._constant or event.data)
            else:
                ws.send_response(ws.accept(cast(Request, event)))
        self._transport.write(b"".join(ws.data_to_send()))
