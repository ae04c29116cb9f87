"""Making one connection to a server, sending single commands on it, and closing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import ConnectionError as GoneError

from hub.settings.redis_url import Address


class Dialer:
    """Makes connections of one kind, with the same settings, to any address."""

    def __init__(self, connection_class: type[Connection], settings: dict[str, Any]) -> None:
        self._class = connection_class
        self._settings = settings

    def make(self, address: Address) -> Connection:
        """A connection that is not opened yet; raises TypeError for an unknown setting."""
        host, port = address
        return self._class(host=host, port=port, **self._settings)

    async def dial(self, address: Address) -> AbstractConnection:
        """A connection that is ready for use."""
        return await open_connection(self.make(address))

    async def ask(self, address: Address, *arguments: bytes) -> Any:
        """The answer to one command, on a connection that is closed afterwards."""
        connection = await self.dial(address)
        try:
            return await execute(connection, *arguments)
        finally:
            await close_connection(connection)


@contextmanager
def resets_as_gone() -> Iterator[None]:
    """Raise redis-py's ConnectionError for a connection that was reset before a write.

    uvloop raises RuntimeError then, which redis-py does not convert.
    """
    try:
        yield
    except RuntimeError as error:
        raise GoneError("the connection is gone") from error


async def execute(connection: AbstractConnection, *arguments: bytes) -> Any:
    """Send one command, and return its answer."""
    with resets_as_gone():
        await connection.send_command(*arguments)
    return await connection.read_response()


async def open_connection(connection: AbstractConnection) -> AbstractConnection:
    """Open the connection and complete its handshake; close it if that fails."""
    try:
        with resets_as_gone():
            await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await close_connection(connection)
        raise
    return connection


async def close_connection(connection: AbstractConnection) -> None:
    """Close a connection in any state."""
    try:
        await connection.disconnect(nowait=True)
    except Exception:  # noqa: S110 - it is gone either way
        pass
