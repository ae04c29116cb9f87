"""One Redis server, or the one inside this process."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from hub.store.backends.dialer import open_connection
from hub.store.backends.lane import Lane
from hub.store.backends.server_check import check_server


class Standalone:
    """A server that holds all keys; `client` says how to connect to it."""

    hash_tags = False

    def __init__(self, client: Redis, timeout: float) -> None:
        self.client = client
        self._timeout = timeout

    def lane(self, key: bytes, timeout: float | None = None) -> Lane:
        """A lane to the server, for any key."""
        return Lane(self._connect, self._timeout if timeout is None else timeout)

    async def check(self) -> list[str]:
        """See `Backend.check`."""
        return await check_server(self.lane(b""))

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self.client.aclose()

    async def _connect(self) -> AbstractConnection:
        # Not borrowed from the pool: the lane keeps it.
        connection: AbstractConnection = self.client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return await open_connection(connection)
