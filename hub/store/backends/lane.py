"""A lane: one connection of its own, on which one command at a time is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError

from hub.store.backends.dialer import closed, resets_as_gone
from hub.store.scripts import Script

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


class ReconnectedError(Exception):
    """A command was not sent, because the connection that it was meant for is gone."""


class Lane:
    """Commands in the order in which they were asked for, each answered within `timeout` seconds.

    `connect` makes a connection that is ready to be used, and has part in that time. Any failure
    but a refused script drops the connection. So no late answer can be taken for that of a later
    command, and a server that was replaced (a failover) is looked up anew.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[AbstractConnection]], timeout: float
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._retired = False
        self._used = 0.0
        self.connection_number = 1
        """The connection that the next command goes over; higher as soon as one is gone.

        Behind a new connection may be another server, which lacks what the last one had.
        """

    async def ask(
        self,
        *arguments: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - one lane has commands of several patiences
    ) -> Any:
        """Send one command; the answer is undecoded. Raises what redis-py raises, TimeoutError.

        `timeout` is for commands that wait at the server, None for the lane's own.
        """
        return await self._send(pack(list(arguments)), timeout)

    async def run(
        self,
        script: Script,
        keys: list[bytes],
        arguments: list[bytes],
        *,
        connection_number: int | None = None,
    ) -> Any:
        """Run a script, with its text only where the server does not know it yet.

        With `connection_number` it is sent over that connection or never: ReconnectedError.
        """
        rest = [b"%d" % len(keys), *keys, *arguments]
        try:
            command = pack([b"EVALSHA", script.digest, *rest])
            return await self._send(command, None, connection_number)
        except NoScriptError:  # nothing was run
            command = pack([b"EVAL", script.source, *rest])
            return await self._send(command, None, connection_number)

    async def drop(self) -> None:
        """Close the connection; the next command opens another."""
        connection, self._connection = self._connection, None
        self._retired = False
        if connection is not None:
            self.connection_number += 1
            await closed(connection)

    def retire(self) -> None:
        """Have the connection dropped as soon as the command under way on it is answered."""
        self._retired = True

    async def drop_if_idle(self, seconds: float) -> None:
        """Close the connection when it has not been used for so long.

        A firewall may have forgotten a quiet connection, and the server may close it.
        """
        if not self._turn.locked() and asyncio.get_running_loop().time() - self._used > seconds:
            await self.drop()

    async def _send(self, command: bytes, patience: float | None, number: int | None = None) -> Any:
        async with self._turn:
            if self._retired:
                await self.drop()
            if number is not None and number != self.connection_number:
                raise ReconnectedError
            try:
                async with asyncio.timeout(self._timeout if patience is None else patience):
                    connection = self._connection
                    if connection is None:
                        connection = self._connection = await self._connect()
                        # The lane keeps time; the library would start a task for each command.
                        connection.socket_timeout = None
                    self._used = asyncio.get_running_loop().time()
                    with resets_as_gone():
                        await connection.send_packed_command(command)
                    return await connection.read_response()
            except NoScriptError:
                raise
            except BaseException:
                await self.drop()
                raise
