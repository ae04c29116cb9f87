"""A lane: one connection of its own, on which one command at a time is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from hub.store.scripts import Script

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection


_HEADERS = [b"\r\n$%d\r\n" % size for size in range(2048)]
"""What goes before an argument of each usual size; making it anew takes three times as long."""


def pack(arguments: list[bytes]) -> bytes:
    """A command in RESP, many times faster than redis-py, which takes arguments of any type."""
    parts = [b"*%d" % len(arguments)]
    for argument in arguments:
        size = len(argument)
        parts += (_HEADERS[size] if size < len(_HEADERS) else b"\r\n$%d\r\n" % size, argument)
    parts.append(b"\r\n")
    return b"".join(parts)


class Lane:
    """Commands in the order in which they were asked for, each answered within `timeout` seconds.

    Any failure but a refused script drops the connection. So no late answer can be taken for that
    of a later command, and a server that was replaced (a failover) is looked up anew.
    """

    def __init__(self, client: Redis, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._used = 0.0

    async def ask(self, *arguments: bytes) -> Any:
        """Send one command; the answer is undecoded. Raises what redis-py raises, TimeoutError."""
        return await self._send(pack(list(arguments)))

    async def run(self, script: Script, keys: list[bytes], arguments: list[bytes]) -> Any:
        """Run a script, with its text only where the server does not know it yet."""
        rest = [b"%d" % len(keys), *keys, *arguments]
        try:
            return await self._send(pack([b"EVALSHA", script.digest, *rest]))
        except NoScriptError:  # nothing was run
            return await self._send(pack([b"EVAL", script.source, *rest]))

    async def drop(self) -> None:
        """Close the connection; the next command opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.disconnect(nowait=True)
            except Exception:  # noqa: S110 - it is gone either way
                pass

    async def drop_if_idle(self, seconds: float) -> None:
        """Close the connection when it has not been used for so long.

        A firewall may have forgotten a quiet connection, and the server may close it.
        """
        if not self._turn.locked() and asyncio.get_running_loop().time() - self._used > seconds:
            await self.drop()

    async def _send(self, command: bytes) -> Any:
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout):
                    connection = self._connection
                    if connection is None:
                        # Not lent from the pool, but our own for good.
                        connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
                        self._connection = connection
                        await connection.connect()
                    self._used = asyncio.get_running_loop().time()
                    await connection.send_packed_command(command)
                    return await connection.read_response()
            except NoScriptError:
                raise
            except BaseException:
                await self.drop()
                raise
