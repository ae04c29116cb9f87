"""A lane: one private connection, with one command at a time in progress on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError

from hub.store.backends.dialer import close_connection, resets_as_gone
from hub.store.scripts import Script

_HEADERS = [b"\r\n$%d\r\n" % size for size in range(2048)]
"""The header of an argument for each usual size; formatting it takes three times as long."""


def pack(arguments: list[bytes]) -> bytes:
    """A command in RESP; many times faster than redis-py, which accepts arguments of any type."""
    parts = [b"*%d" % len(arguments)]
    for argument in arguments:
        size = len(argument)
        parts += (_HEADERS[size] if size < len(_HEADERS) else b"\r\n$%d\r\n" % size, argument)
    parts.append(b"\r\n")
    return b"".join(parts)


class ReconnectedError(Exception):
    """A command was not sent, because the connection that it was for is gone."""


class Lane:
    """Sends commands in the order of the calls, each answered within `timeout` seconds.

    `connect` makes a connection that is ready for use, within the same time limit. Any failure
    except an unknown script drops the connection, so that a late answer cannot be mistaken for that
    of a later command, and a server that was replaced (in a failover) is looked up again.
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
        """The number of the connection for the next command; it rises when a connection is gone.

        A new connection may lead to another server, which may lack data of the last one.
        """

    async def ask(
        self,
        *arguments: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - commands of one lane have several limits
    ) -> Any:
        """Send one command; return its undecoded answer. Raises redis-py's errors, TimeoutError.

        `timeout` is for commands that wait at the server; None means the lane's timeout.
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
        """Run a script; its text is sent only if the server does not know it yet.

        With `connection_number` it is sent on that connection only; raises ReconnectedError if that
        one is gone.
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
            await close_connection(connection)

    def retire(self) -> None:
        """Drop the connection as soon as the command in progress on it is answered."""
        self._retired = True

    async def drop_if_idle(self, seconds: float) -> None:
        """Close the connection if it has not been used for so many seconds.

        A firewall may have dropped an idle connection, and a server may close it.
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
                        # The lane has its own timeout; the library's costs a task per command.
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
