"""Seed nodes: servers that know the address of another server, but may be wrong or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from hub.settings.redis_url import Address
from hub.store.backends.failures import StoreError

P = TypeVar("P", bound=Hashable)


class NoSeedAnsweredError(Exception):
    """No seed knew an address; `problems` has the error of each, in order."""

    def __init__(self, problems: list[Exception]) -> None:
        super().__init__("no address of the Redis server is known")
        self.problems = problems


class SeedNodes:
    """Asks one seed after the other for an address, beginning with the one that was last right.

    Each has `patience` seconds to answer. A seed that knows no address, or that of a server which
    does not work, is asked last from then on; so a caller that runs out of time begins with another
    seed the next time. Several callers may ask concurrently.
    """

    def __init__(self, addresses: Iterable[Address], patience: float) -> None:
        self._lasting = list(addresses)
        self._addresses = list(self._lasting)
        self._patience = patience

    @property
    def addresses(self) -> list[Address]:
        """All seeds, in the order in which they would be asked."""
        return list(self._addresses)

    def learn(self, addresses: Iterable[Address]) -> None:
        """Ask these seeds too, besides those that were given at first."""
        known = set(addresses).union(self._lasting)
        old = [each for each in self._addresses if each in known]
        self._addresses = old + sorted(known.difference(old))

    async def connect_via(
        self,
        ask: Callable[[Address], Awaitable[P]],
        reach: Callable[[P], Awaitable[AbstractConnection]],
    ) -> AbstractConnection:
        """A connection to the server that a seed names.

        `ask` gets a seed and returns the address that it names; `reach` connects there and checks
        that it is the right server. Raises the error of the last attempt to reach it, or
        NoSeedAnsweredError.
        """
        problems: list[Exception] = []
        unreached: Exception | None = None
        tried: set[P] = set()
        for seed in self.addresses:
            # Last, until it has been right, however this attempt ends.
            self._move(seed, len(self._addresses))
            try:
                async with asyncio.timeout(self._patience):
                    place = await ask(seed)
            except (RedisError, OSError, StoreError) as error:
                problems.append(error)
                continue
            if place in tried:
                continue
            tried.add(place)
            try:
                connection = await reach(place)
            except (RedisError, OSError, StoreError) as error:
                unreached = error
                continue
            self._move(seed, 0)
            return connection
        raise unreached or NoSeedAnsweredError(problems)

    def _move(self, seed: Address, place: int) -> None:
        if seed in self._addresses:  # `learn` may have removed it in the meantime
            self._addresses.remove(seed)
            self._addresses.insert(place, seed)
