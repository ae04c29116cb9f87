"""A Redis Cluster: each key is held by the node that owns its hash slot, which may change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError, ResponseError

from hub.settings.redis_url import Address
from hub.store.backends.dialer import Dialer, close_connection, execute
from hub.store.backends.failures import StoreError, StoreUnavailableError, reason_of
from hub.store.backends.lane import Lane
from hub.store.backends.seeds import NoSeedAnsweredError, SeedNodes
from hub.store.backends.server_check import check_server

_HOPS = 3
"""How often one connection may be redirected to another node."""


class Cluster:
    """The nodes of a Redis Cluster; the owner of a key's slot is looked up for each connection.

    Every node knows the owners of the slots, but may be out of date. So the supposed owner is asked
    for the key first; a node that does not own it redirects to the one that does.
    """

    hash_tags = True

    def __init__(self, nodes: Iterable[Address], dialer: Dialer, timeout: float) -> None:
        self._dialer = dialer
        self._timeout = timeout
        # Half, so that there is time for another seed after one that does not answer.
        self._seeds = SeedNodes(nodes, timeout / 2)
        self._primaries: list[Address] = []

    def lane(self, key: bytes, timeout: float | None = None) -> Lane:
        """A lane to the node that owns the key's slot."""
        return Lane(partial(self._connect, key), self._timeout if timeout is None else timeout)

    async def check(self) -> list[str]:
        """See `Backend.check`; every primary that can be reached is asked."""
        async with asyncio.timeout(self._timeout):
            await close_connection(await self._connect_via(0, self._dialer.dial))
        warnings: list[str] = []
        for address in self._primaries:
            lane = Lane(partial(self._dialer.dial, address), self._timeout)
            try:
                warnings += await check_server(lane, in_cluster=True)
            except (RedisError, OSError):
                pass  # lanes to it fail with the reason
        return list(dict.fromkeys(warnings))

    async def aclose(self) -> None:
        """Nothing is kept open."""

    async def _connect(self, key: bytes) -> AbstractConnection:
        return await self._connect_via(key_slot(key), partial(self._reach, key))

    async def _connect_via(
        self, slot: int, reach: Callable[[Address], Awaitable[AbstractConnection]]
    ) -> AbstractConnection:
        try:
            return await self._seeds.connect_via(partial(self._look_up, slot), reach)
        except NoSeedAnsweredError as error:
            raise _most_informative(error.problems) from None

    async def _look_up(self, slot: int, node: Address) -> Address:
        """The owner of a slot, according to a node."""
        owner: Address | None = None
        primaries: list[Address] = []
        others: list[Address] = []
        for first, last, *servers in await self._dialer.ask(node, b"CLUSTER", b"SLOTS"):
            addresses = [_address(server, node) for server in servers]
            primaries.append(addresses[0])
            others += addresses[1:]
            if first <= slot <= last:
                owner = addresses[0]
        self._primaries = list(dict.fromkeys(primaries))
        self._seeds.learn([*primaries, *others])
        if owner is None:
            raise StoreUnavailableError("the Redis Cluster has no node for these keys")
        return owner

    async def _reach(self, key: bytes, address: Address) -> AbstractConnection:
        for _ in range(_HOPS):
            connection = await self._dialer.dial(address)
            try:
                await execute(connection, b"EXISTS", key)
                return connection
            except MovedError as moved:
                await close_connection(connection)
                address = (moved.host or address[0], moved.port)
            except BaseException:
                await close_connection(connection)
                raise
        raise StoreUnavailableError("the Redis Cluster does not agree on who has these keys")


def _address(server: list[Any], asked: Address) -> Address:
    host, port = server[0], int(server[1])
    # A node that does not know its own address leaves it out.
    return (host.decode() if host else asked[0]), port


def _most_informative(problems: list[Exception]) -> StoreError:
    """The most informative of the nodes' errors."""
    answers = [each for each in problems if isinstance(each, StoreError | ResponseError)]
    problem = (answers or problems)[0]
    if isinstance(problem, StoreError):
        return problem
    if isinstance(problem, ResponseError):
        text = str(problem).lower()
        if "cluster support disabled" in text or "unknown command" in text:
            return StoreError(
                "the Redis server is not part of a Redis Cluster: use redis://HOST:PORT for it"
            )
    return StoreUnavailableError(reason_of(problem))
