"""`websockets.asyncio.server`, as lean as its options allow: no compression, no pings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed

from hub.net.listener import BACKLOG


async def serve(announce: Callable[[str], None], size: int) -> None:
    """Answer each message with so many bytes, or with itself where 0, until cancelled."""
    constant = "x" * size

    async def handle(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(constant or message)
        except ConnectionClosed:
            pass

    server = await serve_websockets(
        handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=BACKLOG
    )
    announce(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")
    await asyncio.get_running_loop().create_future()
