"""A lane: one private connection, on which commands are sent and answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as GoneError
from redis.exceptions import NoScriptError, ResponseError

from hub.store.backends.dialer import close_connection, resets_as_gone
from hub.store.backends.failures import may_be_replaced
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


FAR = 5.0
"""How many times its limit a command may take while its server may be far away: before the first
answer, after one that did not come in time, and where the last one took long."""

CROWD = 50
"""So many other commands under way on a shared lane double the time that each of them has."""

_NEAR = 1 / 4
"""The share of the limit within which a server answers that is near."""


class ReconnectedError(Exception):
    """A command was not run: not on the connection that it was for, or not in its turn."""


class Lane:
    """Sends commands in the order of the calls, and does not wait for earlier answers.

    Each is answered within `timeout` seconds, FAR times as many if the server may be far away.
    `connect` makes a connection that is ready for use, within the larger limit. Any failure except
    an unknown script drops the connection, so that a late answer cannot be mistaken for that of
    a later command, and a server that was replaced (in a failover) is looked up again. All that
    waits for an answer on it fails then, unless the failure was an answer of the server.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[AbstractConnection]], timeout: float
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._last: asyncio.Event | None = None
        """Set when the command that was sent last is answered, or has failed."""
        self._near = False
        self._retired = False
        self._used = 0.0
        self.shared = False
        """Whether many use it: the connection stays when the server that it leads to refuses a
        command, and a command's time begins when those before it have been answered. It has the
        more time the more wait with it, since a connection that is dropped costs all of them."""
        self._under_way = 0
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
        in_turn: bool = False,
    ) -> Any:
        """Run a script; its text is sent only if the server does not know it yet.

        With `connection_number` it is sent on that connection only; raises ReconnectedError if that
        one is gone. With `in_turn` its text is not sent while others are under way, and thus out of
        turn; raises ReconnectedError then, and nothing was run.
        """
        alone = not self._busy
        rest = [b"%d" % len(keys), *keys, *arguments]
        try:
            command = pack([b"EVALSHA", script.digest, *rest])
            return await self._send(command, None, connection_number)
        except NoScriptError:  # nothing was run
            if in_turn and (self._busy or not alone):
                raise ReconnectedError from None
            command = pack([b"EVAL", script.source, *rest])
            return await self._send(command, None, connection_number)

    async def connect(self) -> None:
        """Open the connection if there is none, so that the next command need not wait for it."""
        async with self._turn:
            await self._open()

    async def drop(self) -> None:
        """Close the connection; the next command opens another."""
        connection, self._connection = self._connection, None
        self._retired = False
        if connection is not None:
            self.connection_number += 1
            await close_connection(connection)

    def retire(self) -> None:
        """Drop the connection as soon as the commands that were sent on it are answered."""
        self._retired = True

    async def drop_if_idle(self, seconds: float) -> None:
        """Close the connection if it has not been used for so many seconds.

        A firewall may have dropped an idle connection, and a server may close it.
        """
        if not self._busy and asyncio.get_running_loop().time() - self._used > seconds:
            await self.drop()

    @property
    def _busy(self) -> bool:
        """Whether a command is being sent, or waits for its answer."""
        return self._turn.locked() or not (self._last is None or self._last.is_set())

    @property
    def _limit(self) -> float:
        limit = self._timeout if self._near else FAR * self._timeout
        return limit * (1 + (self._under_way - 1) / CROWD) if self.shared else limit

    async def _send(self, command: bytes, patience: float | None, number: int | None = None) -> Any:
        self._under_way += 1
        try:
            return await self._send_one(command, patience, number)
        finally:
            self._under_way -= 1

    async def _send_one(self, command: bytes, patience: float | None, number: int | None) -> Any:
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._retired:
                if self._last is not None:
                    await self._last.wait()
                await self.drop()
            elif self._connection is not None and not self._connection.is_connected:
                await self.drop()  # the library would open it again, at another server perhaps
            if number is not None and number != self.connection_number:
                raise ReconnectedError
            connection = await self._write(command)
            limit = self._limit if patience is None else patience
            before, self._last = self._last, asyncio.Event()
            answered, sent_at = self._last, loop.time()
            self._used = sent_at
        try:
            if before is not None and self.shared:
                await before.wait()  # which ends: each of them has a limit
            async with asyncio.timeout(limit):
                if before is not None:
                    await before.wait()
                if connection is not self._connection:
                    raise GoneError("the connection is gone")
                answer = await connection.read_response()
        except NoScriptError:
            raise
        except BaseException as error:
            self._near &= not isinstance(error, TimeoutError)
            last = self._last is answered
            waits = before is not None and not before.is_set()
            if connection is not self._connection:
                pass  # it is gone already
            elif self.shared and not may_be_replaced(error):
                pass  # the answer has been read, and came from the right server
            elif (waits and last) or (isinstance(error, ResponseError) and not last):
                self._retired = True  # the others' answers can be read yet
            else:
                await self.drop()
            raise
        finally:
            answered.set()
        if patience is None:
            self._near = loop.time() - sent_at < _NEAR * self._timeout
        return answer

    async def _open(self) -> AbstractConnection:
        connection = self._connection
        if connection is None:
            async with asyncio.timeout(FAR * self._timeout):
                connection = self._connection = await self._connect()
            # The lane has its own timeout; the library's costs a task per command.
            connection.socket_timeout = None
            self._near = False  # what is known was of another connection, and perhaps server
        return connection

    async def _write(self, command: bytes) -> AbstractConnection:
        """Write the command to the connection, which is opened if there is none."""
        try:
            connection = await self._open()
            async with asyncio.timeout(self._limit):
                with resets_as_gone():
                    await connection.send_packed_command(command)
        except BaseException:
            await self.drop()
            raise
        return connection
