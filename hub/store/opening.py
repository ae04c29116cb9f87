"""Making one connection to a server, and ending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


async def opened(connection: AbstractConnection) -> AbstractConnection:
    """The connection, once it is made and has introduced itself; no half of one is left behind."""
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await closed(connection)
        raise
    return connection


async def closed(connection: AbstractConnection) -> None:
    """Close a connection, in whatever state it is."""
    try:
        await connection.disconnect(nowait=True)
    except Exception:  # noqa: S110 - it is gone either way
        pass
