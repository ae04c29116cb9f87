"""HubClient: finding, picking and watching agents."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from msgspec import UNSET

from agent_client.answers import FlappingAgent, Hubs, HubStatus, LossAcknowledged, copied
from agent_client.errors import BadRequest, HomeportError
from agent_client.forks import OneProcess
from agent_client.one_loop import HUB_INSTEAD, OneLoop
from agent_client.records import AgentRecord
from agent_client.session.callbacks import Callback
from agent_client.transport.backoff import Backoff
from agent_client.transport.credentials import FilePath
from agent_client.transport.dialer import Dialer
from agent_client.transport.failover_channel import FailoverChannel, client_closed
from agent_client.transport.seams import current_seams
from agent_client.validation import FilterKeys, as_filter, checked_request
from agent_client.watch import Watch
from homeport_protocol import answers
from homeport_protocol.answers import Agent, Agents, Pong, Removed
from homeport_protocol.bounds import (
    DEFAULT_FIND_LIMIT,
    DEFAULT_FLAPPING_CHANGES,
    DEFAULT_FLAPPING_LIMIT,
    DEFAULT_FLAPPING_WITHIN,
    MAX_FIND_LIMIT,
    Kind,
    Strategy,
)
from homeport_protocol.filters import Filter
from homeport_protocol.requests import (
    AcknowledgeLoss,
    Find,
    FindFlapping,
    Get,
    ListHubs,
    Pick,
    Ping,
    Remove,
    Request,
)
from homeport_protocol.requests import Watch as WatchRequest

A = TypeVar("A")


class HubClient(OneProcess):
    """Asks a hub about agents; connects at the first request, and again when needed.

        async with HubClient("http://hub:8080") as hub:
            agent = await hub.pick(type="cost", capabilities=["spot_migration"])

    `url`, `shuffle`, `namespace`, `headers`, `token` and the files are as for `AgentClient`.
    Requests may be made concurrently. One whose connection breaks is repeated once on a new
    connection; with several hubs, one that a hub did not answer within 3 s or could not answer is
    repeated once at the next hub. Every method raises CannotConnect when no hub can be reached,
    Timeout after `request_timeout` seconds without an answer, and the hub's refusal. Each watch has
    a separate connection. A hub that is silent for `keepalive` seconds is pinged, and left when no
    answer comes within three more.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        namespace: str | None = None,
        token: str | None = None,
        token_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        client_cert: FilePath | None = None,
        client_key: FilePath | None = None,
        headers: Mapping[str, str] | None = None,
        request_timeout: float = 10.0,
        keepalive: float = 5.0,
        shuffle: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        self._dialer = Dialer(
            url,
            namespace=namespace,
            token=token,
            token_file=token_file,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            headers=headers,
            shuffle=shuffle,
        )
        self._timeout = request_timeout
        self._keepalive = keepalive
        self._backoff = backoff or Backoff()
        self._sleep = current_seams().sleep
        self._channel = FailoverChannel(self._dialer, timeout=request_timeout, keepalive=keepalive)
        self._watches: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._closed = False
        self._loop = OneLoop("HubClient", HUB_INSTEAD)

    def __repr__(self) -> str:
        return f"<HubClient {self._dialer.endpoints} connected={self.connected}>"

    @property
    def connected(self) -> bool:
        """Whether a connection for requests is open now; one is made at the next request."""
        return self._channel.connected and not self._loop.elsewhere

    async def __aenter__(self) -> Self:
        self._loop.check()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every watch and the connection; pending requests raise ConnectionLost."""
        self._closed = True
        if self._loop.closed or self._loop.elsewhere:
            return
        self._loop.check()
        for watch in list(self._watches):
            await watch.close()
        await self._channel.close()

    async def find(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        **keys: Unpack[FilterKeys],
    ) -> list[AgentRecord]:
        """Return the agents that match, ordered by id: all of them, or the first `limit`."""
        wanted = as_filter(filter, keys)
        if limit is not None and limit < 1:
            raise BadRequest(f"limit: expected at least 1, got {limit}", field="limit")
        found: list[AgentRecord] = []
        cursor: str | Any = UNSET
        while True:
            page = DEFAULT_FIND_LIMIT if limit is None else min(limit - len(found), MAX_FIND_LIMIT)
            answer: Agents[AgentRecord] = await self._request(
                Find(id=0, filter=wanted, limit=page, cursor=cursor), Agents
            )
            found += answer.agents
            cursor = answer.next_cursor
            if cursor is UNSET or (limit is not None and len(found) >= limit):
                return found

    async def flapping(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        changes: int = DEFAULT_FLAPPING_CHANGES,
        within: float = DEFAULT_FLAPPING_WITHIN,
        limit: int = DEFAULT_FLAPPING_LIMIT,
        **keys: Unpack[FilterKeys],
    ) -> list[FlappingAgent]:
        """Return the agents that match and change often, the worst first.

        These were lost, came back, or changed their status at least `changes` times (32 at most)
        within the last `within` seconds (3,600 at most), as the hub has counted since it started.
        """
        wanted = as_filter(filter, keys)
        request = FindFlapping(id=0, filter=wanted, changes=changes, within=within, limit=limit)
        answer = await self._request(request, answers.Flapping)
        return [copied(FlappingAgent, agent) for agent in answer.agents]

    async def get(self, agent_id: str) -> AgentRecord:
        """Return one agent; raises NotFound."""
        answer: Agent[AgentRecord] = await self._request(Get(id=0, agent_id=str(agent_id)), Agent)
        return answer.agent

    async def pick(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        strategy: Strategy = "round_robin",
        key: str | None = None,
        **keys: Unpack[FilterKeys],
    ) -> AgentRecord:
        """Return one agent to give work to; raises NoMatch.

        Only healthy agents are considered, unless the filter names `status`. `sticky` needs a
        `key`: the same key gets the same agent while it lives.
        """
        wanted = as_filter(filter, keys)
        request = Pick(id=0, filter=wanted, strategy=strategy, key=UNSET if key is None else key)
        answer: Agent[AgentRecord] = await self._request(request, Agent)
        return answer.agent

    async def remove(self, agent_id: str) -> None:
        """Remove an agent, whoever registered it; raises NotFound when there is none.

        This is an operator's decision. An `AgentClient` whose agent is removed stops for good, and
        an agent over HTTP is told that it is not known.
        """
        await self._request(Remove(id=0, agent_id=str(agent_id)), Removed)

    async def ping(self) -> float:
        """Ask the hub for a `pong`, and return the round trip in seconds."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self._request(Ping(id=0), Pong)
        return loop.time() - started

    async def hubs(self) -> Hubs:
        """Return the live hubs of the cluster, ordered by id, and which of them answered."""
        answer = await self._request(ListHubs(id=0), answers.Hubs)
        return copied(Hubs, answer, hubs=[copied(HubStatus, hub) for hub in answer.hubs])

    async def acknowledge_loss(self) -> LossAcknowledged:
        """Let the hubs remove agents that they hold back because many were lost at once.

        This is an operator's decision: make sure first that the agents are gone and not just cut
        off. The answer says how many there were.
        """
        answer = await self._request(AcknowledgeLoss(id=0), answers.LossAcknowledged)
        return copied(LossAcknowledged, answer)

    def watch(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        kinds: Sequence[Kind] | None = None,
        readings: bool = False,
        since: int | None = None,
        log: str | None = None,
        position: str | None = None,
        on_disconnected: Callback[HomeportError] | None = None,
        **keys: Unpack[FilterKeys],
    ) -> Watch:
        """Follow the agents that match: an async iterator of `Snapshot`, `Event` and `Resync`.

        With `kinds` it yields only the `Event`s of these kinds; a `Snapshot` or `Resync` has all
        agents nevertheless. With `position`, which is an earlier watch's, it begins there. So it
        does with `since` and `log`, an earlier watch's `revision` and `log`; but only a position
        shows for certain that Redis came back older than what the earlier watch had seen.

        A load that moves is no `Event`: with `readings` it yields a `Reading` of those that moved
        as well, at most about once a second.

        `on_disconnected`, a function or coroutine function, gets the error that ended a connection
        and that of each round of attempts that failed; the watch goes on by itself.
        """
        if position is not None and since is not None:
            raise BadRequest("position: give it alone, or since and log", field="position")
        if (since is None) != (log is None):
            missing = "log" if log is None else "since"
            raise BadRequest(f"{missing}: since and log belong together", field=missing)
        self._loop.check_process()
        if self._closed:
            raise client_closed()
        wanted = as_filter(filter, keys)
        given: dict[str, Any] = {"since": since, "log": log, "position": position, "kinds": kinds}
        checked_request(
            WatchRequest(id=0, **{key: value for key, value in given.items() if value is not None})
        )
        watch = Watch(
            self._dialer,
            wanted,
            kinds=None if kinds is None else tuple(kinds),
            readings=readings,
            start=position if since is None or log is None else (log, since),
            on_disconnected=on_disconnected,
            timeout=self._timeout,
            keepalive=self._keepalive,
            backoff=self._backoff.again(),
            sleep=self._sleep,
        )
        self._watches.add(watch)
        return watch

    async def _request(self, request: Request, expected: type[A]) -> A:
        self._loop.check()
        return await self._channel.request(checked_request(request), expected)
