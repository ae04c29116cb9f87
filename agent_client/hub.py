"""HubClient: finding agents and watching them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from msgspec import UNSET

from agent_client.backoff import Backoff
from agent_client.channel import Channel
from agent_client.connection import Dialer
from agent_client.errors import BadRequest, ConnectionLost, HomeportError
from agent_client.query import FilterKeys, as_filter
from agent_client.watch import Watch
from protocol.answers import Agent, Agents, Pong
from protocol.bounds import DEFAULT_FIND_LIMIT, MAX_FIND_LIMIT, Strategy
from protocol.filters import Filter
from protocol.record import AgentRecord
from protocol.requests import Find, Get, Pick, Ping, Request

A = TypeVar("A")


class HubClient:
    """Asks a hub about agents; connects at the first question, and again when it must.

        async with HubClient("http://hub:8080") as hub:
            agent = await hub.pick(type="cost", capabilities=["spot_migration"])

    `url`, `namespace` and `token` are as for `AgentClient`. Several questions may be under way at
    once. A question whose connection breaks is asked once more on a new one. Every method
    raises CannotConnect when no hub can be reached, Timeout after `request_timeout` seconds
    without an answer, and the error of the hub's refusal. Each watch has a connection of
    its own, which pings after `keepalive` seconds of silence.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        namespace: str | None = None,
        token: str | None = None,
        request_timeout: float = 10.0,
        keepalive: float = 20.0,
        backoff: Callable[[], Backoff] = Backoff,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._dialer = Dialer(url, namespace=namespace, token=token, timeout=request_timeout)
        self._timeout = request_timeout
        self._keepalive = keepalive
        self._backoff = backoff
        self._sleep = sleep
        self._channel: Channel | None = None
        self._dialling: asyncio.Task[Channel] | None = None
        self._watches: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._closed = False

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
        """End every watch and the connection; calls under way raise ConnectionLost."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait({self._dialling})
        for watch in list(self._watches):
            await watch.close()
        if self._channel is not None:
            await self._channel.close()

    async def find(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        **keys: Unpack[FilterKeys],
    ) -> list[AgentRecord]:
        """The agents that match, ordered by id: all of them, or the first `limit`."""
        wanted = as_filter(filter, keys)
        if limit is not None and limit < 1:
            raise BadRequest(f"limit: expected at least 1, got {limit}", field="limit")
        found: list[AgentRecord] = []
        cursor: str | Any = UNSET
        while True:
            page = DEFAULT_FIND_LIMIT if limit is None else min(limit - len(found), MAX_FIND_LIMIT)
            answer: Agents[AgentRecord] = await self._ask(
                Find(id=0, filter=wanted, limit=page, cursor=cursor), Agents
            )
            found += answer.agents
            cursor = answer.next_cursor
            if cursor is UNSET or (limit is not None and len(found) >= limit):
                return found

    async def get(self, agent_id: str) -> AgentRecord:
        """One agent; raises NotFound."""
        answer: Agent[AgentRecord] = await self._ask(Get(id=0, agent_id=str(agent_id)), Agent)
        return answer.agent

    async def pick(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        strategy: Strategy = "round_robin",
        key: str | None = None,
        **keys: Unpack[FilterKeys],
    ) -> AgentRecord:
        """One agent to give work to; raises NoMatch.

        Only healthy agents are considered, unless the filter names `status`. `sticky` needs a
        `key`: the same key gets the same agent while it lives.
        """
        wanted = as_filter(filter, keys)
        request = Pick(id=0, filter=wanted, strategy=strategy, key=UNSET if key is None else key)
        answer: Agent[AgentRecord] = await self._ask(request, Agent)
        return answer.agent

    async def ping(self) -> float:
        """Ask for a sign of life; returns the round trip in seconds."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._ask(Ping(id=0), Pong)
        return loop.time() - begun

    def watch(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        since: int | None = None,
        log: str | None = None,
        **keys: Unpack[FilterKeys],
    ) -> Watch:
        """Follow the agents that match: an async iterator of `Snapshot`, `Event` and `Resync`.

        With `since` and `log` (of an earlier watch's `revision` and `log`) it begins there.
        """
        if (since is None) != (log is None):
            missing = "log" if log is None else "since"
            raise BadRequest(f"{missing}: since and log belong together", field=missing)
        if self._closed:
            raise _closed()
        watch = Watch(
            self._dialer,
            as_filter(filter, keys),
            position=None if since is None or log is None else (log, since),
            timeout=self._timeout,
            keepalive=self._keepalive,
            backoff=self._backoff(),
            sleep=self._sleep,
        )
        self._watches.add(watch)
        return watch

    async def _ask(self, request: Request, expected: type[A]) -> A:
        channel = await self._connected()
        try:
            return await channel.request(request, expected)
        except ConnectionLost:
            if self._closed:
                raise
        # Every question is idempotent, and a connection often turns out dead only when used.
        channel = await self._connected()
        return await channel.request(request, expected)

    async def _connected(self) -> Channel:
        if self._closed:
            raise _closed()
        if self._channel is not None and not self._channel.ended:
            return self._channel
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._dial(), name="homeport-dial")
            self._dialling.add_done_callback(self._dialled)
        dialling = self._dialling
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if dialling.cancelled() and not (caller and caller.cancelling()):
                raise _closed() from None
            raise

    async def _dial(self) -> Channel:
        failure: HomeportError | None = None
        for url in self._dialer.endpoints.in_turn():
            try:
                connection = await self._dialer.dial(url, keepalive=self._keepalive)
            except HomeportError as error:
                if not error.retryable:
                    raise
                failure = error
            else:
                self._dialer.endpoints.prefer(url)
                self._channel = Channel(connection, timeout=self._timeout)
                return self._channel
        assert failure is not None  # there is at least one URL
        raise failure

    def _dialled(self, task: asyncio.Task[Channel]) -> None:
        self._dialling = None
        if not task.cancelled():
            task.exception()  # whoever asked may be gone


def _closed() -> ConnectionLost:
    return ConnectionLost("the client is closed", retryable=False)
