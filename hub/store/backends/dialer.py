"""Making one connection to a server, asking it something by the way, and ending it."""

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
        """A connection that is not opened yet; raises TypeError for a setting that is none."""
        host, port = address
        return self._class(host=host, port=port, **self._settings)

    async def dial(self, address: Address) -> AbstractConnection:
        """A connection that is ready for use."""
        return await opened(self.make(address))

    async def ask(self, address: Address, *arguments: bytes) -> Any:
        """One command on a connection that is closed again at once."""
        connection = await self.dial(address)
        try:
            return await said(connection, *arguments)
        finally:
            await closed(connection)


@contextmanager
def resets_as_gone() -> Iterator[None]:
    """Raise redis-py's ConnectionError for a connection that was reset before it was written to.

    uvloop raises RuntimeError then, which redis-py passes on.
    """
    try:
        yield
    except RuntimeError as error:
        raise GoneError("the connection is gone") from error


async def said(connection: AbstractConnection, *arguments: bytes) -> Any:
    """One command's answer."""
    with resets_as_gone():
        await connection.send_command(*arguments)
    return await connection.read_response()


async def opened(connection: AbstractConnection) -> AbstractConnection:
    """The connection, once it is made and has introduced itself; no half of one is left behind."""
    try:
        with resets_as_gone():
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
