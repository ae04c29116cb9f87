"""Watch: the directory's changes in order, none twice and none missing, over lost connections."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from msgspec import UNSET

from agent_client.errors import (
    CannotConnect,
    ConnectionLost,
    HomeportError,
    Internal,
    Timeout,
    Unavailable,
)
from agent_client.one_loop import HUB_INSTEAD, OneLoop
from agent_client.records import AgentRecord
from agent_client.session.callbacks import Callback, CallbackTasks
from agent_client.transport.backoff import Backoff
from agent_client.transport.connection import PONG_TIMEOUT, Connection
from agent_client.transport.decoding import NotUnderstood, failure
from agent_client.transport.dialer import Dialer
from agent_client.watch_items import Event, Reading, Resync, Snapshot, WatchItem
from homeport_protocol import answers
from homeport_protocol.bounds import Kind
from homeport_protocol.filters import Filter
from homeport_protocol.requests import Watch as WatchRequest

logger = logging.getLogger("homeport.client")

_LAGGING_ANSWERS = 5
"""Answers in a row that may lag behind a watch before one of them is accepted."""


class Watch:
    """An async iterator of `Snapshot`, then `Event`s, and a `Resync` where there is a gap.

    With `readings`, of `Reading`s as well.

    After a lost connection it continues from `position`; a program may store that and begin a later
    watch there. It reads from the socket only when the program
    asks for the next item, so a slow program fills its hub's queue for this watch and delays
    nothing else. For the first connection every URL is tried once before CannotConnect is raised,
    and a refusal that is not retryable is raised at once. Later connections are tried until one
    works, at any of the hubs, whatever hubs or proxies answer meanwhile; only a hub's refusal of
    the watch itself is raised. `on_disconnected` gets the error that ended a connection, and that
    of each round of attempts that failed.

    It ends by `close()`, by leaving its `async with`, or when the last reference to it is dropped.
    """

    def __init__(
        self,
        dialer: Dialer,
        filter: Filter,
        *,
        kinds: tuple[Kind, ...] | None,
        readings: bool,
        start: tuple[str, int] | str | None,
        on_disconnected: Callback[HomeportError] | None,
        timeout: float,
        keepalive: float,
        backoff: Backoff,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._dialer = dialer
        self._filter = filter
        self._kinds = kinds
        self._readings = readings
        self._goes_on = start is not None
        self._position = start if isinstance(start, str) else None
        self._log: str | None = None
        self._revision: int | None = None
        if isinstance(start, tuple):
            self._log, self._revision = start
        self._on_disconnected = on_disconnected
        self._callbacks = CallbackTasks()
        self._timeout = timeout
        self._keepalive = keepalive
        self._backoff = backoff
        self._sleep = sleep
        self._connection: Connection | None = None
        self._abort: Callable[[], None] = lambda: None
        self._ids = itertools.count(1)
        self._watch_number = 0
        self._was_connected = False
        self._connected_at = 0.0
        self._refusal: HomeportError | None = None
        self._delay: float | None = None
        self._chunks: list[answers.Snapshot[AgentRecord]] = []
        self._in_snapshot = False
        self._buffered: deque[answers.Event[AgentRecord]] = deque()
        self._closing = asyncio.Event()
        self._lag_tolerance = _LAGGING_ANSWERS
        self._loop = OneLoop("watch", HUB_INSTEAD)

    def __repr__(self) -> str:
        state = "closed" if self._closing.is_set() else f"connected={self._connection is not None}"
        return f"<Watch revision={self._revision} {state}>"

    @property
    def position(self) -> str | None:
        """Where a later watch may go on; None before the first item, unless one was given."""
        return self._position

    @property
    def log(self) -> str | None:
        """The name of the log that `revision` belongs to; None before the first item."""
        return self._log

    @property
    def revision(self) -> int | None:
        """The revision of the newest item; None before the first."""
        return self._revision

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchItem:
        self._loop.check()
        while not self._closing.is_set():
            try:
                item = await self._next()
            except HomeportError as error:
                connection = self._forget_connection()
                if self._closing.is_set():
                    break
                refused_first = isinstance(error, CannotConnect) and not self._was_connected
                if refused_first or self._is_final(error):
                    raise
                if connection is None:
                    logger.warning("a watch found no hub: %s", error.located)
                else:
                    logger.warning("a watch lost the hub %s: %s", connection.shown_url, error)
                    lived = asyncio.get_running_loop().time() - self._connected_at
                    self._delay = self._dialer.endpoints.wait_after_loss(
                        connection.url, error, self._backoff, lived=lived
                    )
                self._callbacks.call(self._on_disconnected, error)
            else:
                if item is not None:
                    return item
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the watch; a pending wait for the next item ends the iteration."""
        self._closing.set()
        if self._loop.elsewhere:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        await self._callbacks.finish()

    def __del__(self) -> None:
        abort: Callable[[], None] | None = getattr(self, "_abort", None)
        if abort is not None:
            abort()

    async def _next(self) -> WatchItem | None:
        if self._buffered and not self._in_snapshot:
            return self._event(self._buffered.popleft())
        connection = self._connection
        if connection is None:
            connection = await self._connect()
        pong_timeout = min(self._timeout, PONG_TIMEOUT)
        message = await connection.receive_or_ping(self._keepalive, pong_timeout)
        if isinstance(message, answers.Snapshot) and message.watch == self._watch_number:
            return self._snapshot_chunk(message)
        if isinstance(message, answers.Event) and message.watch == self._watch_number:
            if not self._in_snapshot:
                return self._event(message)
            self._buffered.append(message)
        if isinstance(message, answers.Reading) and message.watch == self._watch_number:
            return Reading(loads=message.loads)
        return None

    def _snapshot_chunk(self, chunk: answers.Snapshot[AgentRecord]) -> WatchItem | None:
        first = self._chunks[0] if self._chunks else chunk
        if (chunk.log, chunk.revision) != (first.log, first.revision):
            self._chunks.clear()  # a new log began within a snapshot
        self._in_snapshot = True
        self._chunks.append(chunk)
        if not chunk.last:
            return None
        agents = [agent for part in self._chunks for agent in part.agents]
        type_ = Resync if self._goes_on else Snapshot
        self._goes_on = True
        self._log, self._revision = chunk.log, chunk.revision
        self._position = chunk.position or None
        self._chunks.clear()
        self._in_snapshot = False
        self._backoff.reset()
        return type_(agents=agents, log=chunk.log, revision=chunk.revision, position=self._position)

    def _event(self, event: answers.Event[AgentRecord]) -> Event | None:
        if self._revision is not None and event.revision <= self._revision:
            return None
        self._revision, self._position = event.revision, event.position or None
        self._backoff.reset()
        if self._kinds is not None and event.kind not in self._kinds:
            return None  # an older hub ignores `kinds`, and sends them all
        return Event(
            kind=event.kind,
            agent=event.agent,
            revision=event.revision,
            coalesced=event.coalesced is True,
            position=self._position,
        )

    async def _connect(self) -> Connection:
        if self._delay is not None:
            await self._wait(self._delay)
            self._delay = None
            if self._closing.is_set():
                raise ConnectionLost("the watch is closed", retryable=False)
        endpoints = self._dialer.endpoints
        failures: list[HomeportError] = []
        for url in endpoints.in_turn():
            connection: Connection | None = None
            seconds = endpoints.attempt_timeout(self._timeout)
            now = asyncio.get_running_loop().time()
            try:
                connection = await self._dialer.dial(url, seconds=seconds)
                spent = asyncio.get_running_loop().time() - now if endpoints.several else 0.0
                await self._subscribe(connection, seconds - spent)
                if self._closing.is_set():
                    raise ConnectionLost("the watch is closed", retryable=False)
            except HomeportError as error:
                if connection is not None:
                    connection.abort()
                if self._closing.is_set() or self._is_final(error):
                    raise
                endpoints.defer(url)
                failures.append(error)
            except BaseException:
                if connection is not None:
                    connection.abort()
                raise
            else:
                endpoints.prefer(url)
                self._was_connected = True
                self._attach(connection)
                return connection
        self._delay = endpoints.wait_after_round(failures, self._backoff)
        raise failures[-1]

    async def _subscribe(self, connection: Connection, seconds: float) -> None:
        request_id = next(self._ids)
        request = WatchRequest(
            id=request_id,
            filter=self._filter,
            kinds=UNSET if self._kinds is None else [*self._kinds],
            readings=True if self._readings else UNSET,
            **self._start(),
        )
        try:
            async with asyncio.timeout(seconds):
                await connection.send(request)
                answer = await connection.receive()
                while getattr(answer, "id", None) != request_id:
                    answer = await connection.receive()
        except TimeoutError:
            late = Timeout(f"the hub did not answer within {seconds:.3g} s")
            raise connection.located(late) from None
        if isinstance(answer, answers.Error | NotUnderstood):
            self._refusal = failure(answer)
            self._refusal.url = connection.shown_url
            raise self._refusal
        if not isinstance(answer, answers.Watching):
            raise Internal(f"the hub answered with {type(answer).__name__}")
        self._check_position(answer, connection)
        if answer.resumed:
            self._log = answer.log
        self._watch_number = answer.watch
        self._in_snapshot = not answer.resumed
        self._chunks.clear()
        self._buffered.clear()

    def _is_final(self, error: HomeportError) -> bool:
        """Whether trying again is useless.

        Once a watch has worked, its URL and token are good: what refuses them is a proxy, or a hub
        that does not yet know them. Only what the hub says of the watch itself counts then, and
        that the token is refused for good.
        """
        if error.final:
            return True
        return not error.retryable and (not self._was_connected or error is self._refusal)

    def _start(self) -> dict[str, Any]:
        """Where the next subscription begins. Only a position tells of a log that went back."""
        if self._position is not None:
            return {"position": self._position}
        if self._revision is not None:
            return {"since": self._revision, "log": self._log}
        return {}

    def _check_position(self, answer: answers.Watching, connection: Connection) -> None:
        """Raise Unavailable when the hub has not yet read changes that this watch has yielded.

        Its snapshot would be older, and the changes after it would be repeated. A hub lags only
        for a moment; one that still does after a few attempts is right, and this watch is not.
        """
        revision = self._revision or 0
        behind = answer.log == self._log and answer.revision < revision and not answer.resumed
        if behind and self._lag_tolerance > 0:
            self._lag_tolerance -= 1
            lagging = Unavailable("the hub has not caught up with this watch", retry_after=0.25)
            lagging.url = connection.shown_url
            raise lagging
        self._lag_tolerance = _LAGGING_ANSWERS

    async def _wait(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({sleeping, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            closing.cancel()

    def _attach(self, connection: Connection) -> None:
        self._connection = connection
        loop = asyncio.get_running_loop()
        self._connected_at = loop.time()

        process = os.getpid()

        def abort() -> None:
            if os.getpid() != process:
                return  # in a forked child, where the loop is the parent's
            # The last reference may be dropped in any thread, and after the loop was closed.
            try:
                loop.call_soon_threadsafe(connection.abort)
            except RuntimeError:
                pass

        self._abort = abort

    def _forget_connection(self) -> Connection | None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        return connection
