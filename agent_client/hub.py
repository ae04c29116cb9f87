"""Hub: `HubClient` for programs without asyncio, and for any number of threads at once."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, wait
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from agent_client.answers import FlappingAgent, Hubs, LossAcknowledged
from agent_client.blocking_watch import BlockingWatch
from agent_client.errors import HomeportError
from agent_client.forks import OneProcess
from agent_client.hub_client import HubClient
from agent_client.loop_thread import SHARED
from agent_client.records import AgentRecord
from agent_client.session.callbacks import Callback
from agent_client.transport.backoff import Backoff
from agent_client.transport.credentials import FilePath
from agent_client.transport.failover_channel import client_closed
from agent_client.validation import FilterKeys
from agent_client.watch import Watch
from homeport_protocol.bounds import (
    DEFAULT_FLAPPING_CHANGES,
    DEFAULT_FLAPPING_LIMIT,
    DEFAULT_FLAPPING_WITHIN,
    Kind,
    Strategy,
)
from homeport_protocol.filters import Filter

T = TypeVar("T")

_EXIT_TIMEOUT = 1.0
"""Seconds that closing may take when the process exits."""


class Hub(OneProcess):
    """Asks a hub about agents, in any thread and without an event loop.

        hub = Hub("http://hub:8080")
        agent = hub.pick(type="cost", capabilities=["spot_migration"])

    Arguments, methods, results and errors are those of `HubClient`; each call blocks its thread
    only. One `Hub` is enough for a program: threads share its connection, which one thread of
    Homeport's own serves. It connects at the first call, again when needed, and anew in a forked
    process, so a server that forks its workers may make it before. In a coroutine, `HubClient` is
    the better choice, for a call here blocks the loop.

    Close it, or use it as a context manager; at the latest it is closed when the program exits.
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
        self._make = partial(
            HubClient,
            url,
            namespace=namespace,
            token=token,
            token_file=token_file,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            headers=headers,
            request_timeout=request_timeout,
            keepalive=keepalive,
            shuffle=shuffle,
            backoff=backoff,
        )
        # By process: what a parent connected is not this one's. No lock, which a fork might copy
        # while it is held: `setdefault` is atomic, and making a client connects nothing.
        self._clients = {os.getpid(): self._make()}
        self._closed = False
        _OPEN.add(self)

    def __repr__(self) -> str:
        return repr(self._client).replace("HubClient", "Hub", 1)

    @property
    def connected(self) -> bool:
        """Whether a connection for requests is open now; one is made at the next call."""
        return self._client.connected

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every watch and the connection; pending and later calls raise ConnectionLost."""
        self._closed = True
        _OPEN.discard(self)
        _wait_for(self._client.close())

    def find(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        **keys: Unpack[FilterKeys],
    ) -> list[AgentRecord]:
        """Return the agents that match, ordered by id: all of them, or the first `limit`."""
        return self._call(lambda client: client.find(filter, limit=limit, **keys))

    def get(self, agent_id: str) -> AgentRecord:
        """Return one agent; raises NotFound."""
        return self._call(lambda client: client.get(agent_id))

    def pick(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        strategy: Strategy = "round_robin",
        key: str | None = None,
        **keys: Unpack[FilterKeys],
    ) -> AgentRecord:
        """Return one agent to give work to; raises NoMatch."""
        return self._call(lambda client: client.pick(filter, strategy=strategy, key=key, **keys))

    def flapping(
        self,
        filter: Filter | Mapping[str, Any] | None = None,
        *,
        changes: int = DEFAULT_FLAPPING_CHANGES,
        within: float = DEFAULT_FLAPPING_WITHIN,
        limit: int = DEFAULT_FLAPPING_LIMIT,
        **keys: Unpack[FilterKeys],
    ) -> list[FlappingAgent]:
        """Return the agents that match and change often, the worst first."""
        return self._call(
            lambda client: client.flapping(
                filter, changes=changes, within=within, limit=limit, **keys
            )
        )

    def remove(self, agent_id: str) -> None:
        """Remove an agent, whoever registered it; raises NotFound when there is none."""
        self._call(lambda client: client.remove(agent_id))

    def ping(self) -> float:
        """Ask the hub for a `pong`, and return the round trip in seconds."""
        return self._call(lambda client: client.ping())

    def hubs(self) -> Hubs:
        """Return the live hubs of the cluster, ordered by id, and which of them answered."""
        return self._call(lambda client: client.hubs())

    def acknowledge_loss(self) -> LossAcknowledged:
        """Let the hubs remove agents that they hold back because many were lost at once."""
        return self._call(lambda client: client.acknowledge_loss())

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
    ) -> BlockingWatch:
        """Follow the agents that match: an iterator that blocks until the next item.

        The items are those of `HubClient.watch`. `on_disconnected` is called in Homeport's thread,
        which it must not block: it may not call this `Hub`.
        """

        async def begin(client: HubClient) -> Watch:
            return client.watch(
                filter,
                kinds=kinds,
                readings=readings,
                since=since,
                log=log,
                position=position,
                on_disconnected=on_disconnected,
                **keys,
            )

        return BlockingWatch(self._call(begin))

    @property
    def _client(self) -> HubClient:
        """This process's."""
        process = os.getpid()
        return self._clients.get(process) or self._clients.setdefault(process, self._make())

    def _call(self, request: Callable[[HubClient], Coroutine[Any, Any, T]]) -> T:
        if self._closed:
            raise client_closed()
        return _wait_for(request(self._client))


def _wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` in Homeport's thread; an exception here, such as Ctrl-C, cancels it."""
    if SHARED.current:
        coroutine.close()
        raise RuntimeError(
            "a Hub cannot be called in Homeport's own thread, from a callback: it would wait for "
            "itself; hand the work to another thread"
        )
    future = SHARED.submit(coroutine)
    try:
        return future.result()
    except CancelledError:
        raise client_closed() from None  # the process is exiting
    finally:
        future.cancel()


_OPEN: weakref.WeakSet[Hub] = weakref.WeakSet()


def _close_all() -> None:
    closing = [SHARED.submit(hub._client.close()) for hub in _OPEN if hub.connected]
    wait(closing, _EXIT_TIMEOUT)


# After that of the thread, which is therefore called later.
atexit.register(_close_all)
