"""The connections that all namespaces of a hub have in common, where one server holds all keys.

With connections of its own, each namespace would cost the hub and Redis three, and names cost their
inventor nothing. On a Redis Cluster namespaces are spread over the nodes, and have their own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ResponseError

from hub.store.backends.backend import Backend
from hub.store.backends.failures import may_be_replaced
from hub.store.backends.lane import FAR

BLOCK = 1.0
"""Seconds that Redis waits for a change of any log before it answers that there is none."""

PAUSE = 0.006
"""Seconds between two questions, in which those that were answered ask again."""

LONGEST = 10.0
"""Seconds after which one is told that nothing has changed."""

WAKE_TTL = b"60000"


class SharedLanes:
    """One connection for the writes of all namespaces, one for their reads, and one to wait.

    `wake` is a key that only this hub writes, to end a question that is being waited for. The
    caller closes them after all stores.
    """

    def __init__(self, backend: Backend, wake: bytes, timeout: float) -> None:
        self.writes = backend.lane(wake, timeout)
        self.reads = backend.lane(wake, timeout)
        self.writes.shared = self.reads.shared = True
        self._follow = backend.lane(wake, timeout)
        self._wake = wake
        self._woken = b"0-0"
        """The last entry of `wake` that has been seen."""
        self._patience = BLOCK + FAR * timeout
        self._waiting: dict[_Wait, None] = {}
        self._asked: set[_Wait] = set()
        """Those that the question that is being waited for is about."""
        self._asking: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None

    async def await_change(self, log: bytes, after: int) -> bool:
        """Whether the log has an entry after that revision; False after LONGEST seconds.

        Raises as a lane does.
        """
        wait = _Wait(log, after)
        self._waiting[wait] = None
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="changes of logs")
        elif self._asked and self._waking is None:
            self._waking = asyncio.create_task(self._end_question(), name="changes of logs")
        try:
            async with asyncio.timeout(LONGEST):
                return await wait.changed
        except TimeoutError:
            if wait.changed.done() and not wait.changed.cancelled():
                raise  # the store did not answer in time
            return False
        finally:
            self._waiting.pop(wait, None)

    async def close(self) -> None:
        """Close the connections."""
        for task in (self._asking, self._waking):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for lane in (self.writes, self.reads, self._follow):
            await lane.drop()

    async def _ask(self) -> None:
        """Ask about all that is waited for, again and again."""
        try:
            while self._waiting:
                waits = list(self._waiting)
                self._asked = set(waits)
                try:
                    answer = await self._read(waits, block=True)
                except ResponseError as error:
                    if may_be_replaced(error):
                        _fail(waits, error)
                    else:
                        await self._ask_each(waits)  # one of them is to blame
                except Exception as error:
                    _fail(waits, error)
                else:
                    _tell(waits, answer)
                self._asked = set()
                await asyncio.sleep(PAUSE)
        finally:
            self._asking = None

    async def _ask_each(self, waits: list[_Wait]) -> None:
        for wait in waits:
            try:
                _tell([wait], await self._read([wait], block=False))
            except Exception as error:
                _fail([wait], error)

    async def _read(self, waits: list[_Wait], *, block: bool) -> dict[bytes, Any]:
        blocking = (b"BLOCK", b"%d" % (BLOCK * 1000)) if block else ()
        # Of two that wait for one log, the lower revision would do for both.
        logs: dict[bytes, int] = {}
        for wait in waits:
            logs[wait.log] = min(wait.after, logs.get(wait.log, wait.after))
        answer = await self._follow.ask(
            *(b"XREAD", b"COUNT", b"1", *blocking, b"STREAMS", *logs, self._wake),
            *(b"%d-0" % after for after in logs.values()),
            self._woken,
            timeout=self._patience,
        )
        found = dict(answer.items() if isinstance(answer, dict) else (answer or ()))
        woken = found.pop(self._wake, None)
        if woken:
            self._woken = woken[-1][0]
        return found

    async def _end_question(self) -> None:
        """Have Redis answer now, since there is more to wait for."""
        try:
            await self.reads.ask(b"XADD", self._wake, b"MAXLEN", b"1", b"*", b"wake", b"")
            await self.reads.ask(b"PEXPIRE", self._wake, WAKE_TTL)
        except Exception:  # noqa: S110 - the question ends by itself within a second
            pass
        finally:
            self._waking = None


class _Wait:
    """What one namespace waits for."""

    __slots__ = ("after", "changed", "log")

    def __init__(self, log: bytes, after: int) -> None:
        self.log = log
        self.after = after
        self.changed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


def _tell(waits: list[_Wait], changed: dict[bytes, Any]) -> None:
    for wait in waits:
        if wait.log in changed and not wait.changed.done():
            wait.changed.set_result(True)


def _fail(waits: list[_Wait], error: Exception) -> None:
    for wait in waits:
        if not wait.changed.done():
            wait.changed.set_exception(error)
