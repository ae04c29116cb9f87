"""A primary with replicas under Redis Sentinel: the current primary holds all keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError, ResponseError

from hub.settings.redis_url import Address
from hub.store.backends.dialer import Dialer, close_connection, execute
from hub.store.backends.failures import StoreError, StoreUnavailableError, reason_of
from hub.store.backends.lane import Lane
from hub.store.backends.seeds import NoSeedAnsweredError, SeedNodes
from hub.store.backends.server_check import check_server
from hub.telemetry import logs

WATCH_INTERVAL = 1.0
"""Seconds between two checks with all Sentinels that the primary is still the same."""

KnownPrimary = tuple[int, Address]
"""A Sentinel's answer: the epoch, which rises with every failover, and the primary's address."""

logger = logs.get("hub.store")


class _UnknownPrimaryError(StoreError):
    """A Sentinel answered that it knows no primary of that name."""


class SentinelPrimary:
    """The primary that the Sentinels know as `name`; they are asked again for each connection.

    A primary that was replaced may run for a while and accept writes, all of which will be lost.
    So all Sentinels are also asked every second. When one knows a newer primary, every lane
    reconnects to it, and Sentinels that still name the old one are skipped.
    """

    hash_tags = False

    def __init__(
        self,
        name: str,
        sentinels: Iterable[Address],
        *,
        ask_sentinel: Dialer,
        dial_primary: Dialer,
        timeout: float,
    ) -> None:
        self._name = name
        self._sentinels = ask_sentinel
        self._servers = dial_primary
        self._timeout = timeout
        # Half, so that there is time for another Sentinel after one that does not answer.
        self._patience = timeout / 2
        self._seeds = SeedNodes(sentinels, self._patience)
        self._newest: KnownPrimary | None = None
        """The newest answer of the last check; None when no Sentinel answered."""
        self._lanes: WeakKeyDictionary[Lane, list[KnownPrimary]] = WeakKeyDictionary()
        """Every lane, with the answer that led to its connection."""
        self._watch: asyncio.Task[None] | None = None

    def lane(self, key: bytes, timeout: float | None = None) -> Lane:
        """A lane to the primary, for any key."""
        basis: list[KnownPrimary] = []
        lane = Lane(partial(self._connect, basis), self._timeout if timeout is None else timeout)
        self._lanes[lane] = basis
        return lane

    async def check(self) -> list[str]:
        """See `Backend.check`."""
        return await check_server(self.lane(b""))

    async def aclose(self) -> None:
        """Stop asking the Sentinels."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None

    # --- finding the primary --------------------------------------------------------------------

    async def _connect(self, basis: list[KnownPrimary]) -> AbstractConnection:
        try:
            connection = await self._seeds.connect_via(self._look_up, partial(self._reach, basis))
        except NoSeedAnsweredError as error:
            raise self._most_informative(error.problems) from None
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_sentinels(), name="sentinel watch")
        return connection

    async def _look_up(self, sentinel: Address) -> KnownPrimary:
        connection = await self._sentinels.dial(sentinel)
        try:
            known = _parse_answer(await execute(connection, *self._question))
        except ResponseError as error:
            if "no such master" not in str(error).lower():
                raise
            raise _UnknownPrimaryError(
                f"Redis Sentinel knows no primary named {self._name}: check what follows the "
                "addresses in the Redis URL"
            ) from None
        finally:
            await close_connection(connection)
        if self._newest is not None and known[0] < self._newest[0]:
            raise StoreUnavailableError("Redis Sentinel has not heard of the last failover yet")
        return known

    async def _reach(self, basis: list[KnownPrimary], known: KnownPrimary) -> AbstractConnection:
        connection = await self._servers.dial(known[1])
        try:
            role = (await execute(connection, b"ROLE"))[0]
        except NoPermissionError:
            role = b"master"  # a replica will refuse the first write
        except BaseException:
            await close_connection(connection)
            raise
        if role != b"master":
            await close_connection(connection)
            raise StoreUnavailableError(
                "Redis Sentinel still names a primary that is none any more"
            )
        basis[:] = [known]
        return connection

    def _most_informative(self, problems: list[Exception]) -> StoreError:
        """The most informative of the Sentinels' errors."""
        answers = [each for each in problems if isinstance(each, StoreError | ResponseError)]
        problem = (answers or problems)[0]
        if isinstance(problem, _UnknownPrimaryError):
            # If some do not answer, the one that does may be wrong.
            final = len(answers) == len(problems)
            return problem if final else StoreUnavailableError(str(problem))
        if isinstance(problem, StoreError):
            return problem
        if isinstance(problem, ResponseError) and "unknown command" in str(problem).lower():
            return StoreError(
                "the Redis server is no Redis Sentinel: give the Sentinels' addresses (their port "
                "is 26379 as a rule), or redis://HOST:PORT for a server without them"
            )
        reason = reason_of(problem).replace("Redis", "Redis Sentinel", 1)
        what, _, remedy = reason.partition(": ")
        if what.endswith(("asks for a password", "the user name or password")):
            remedy = "give it as ?sentinel_password=… in the Redis URL"
        return StoreUnavailableError(f"{what}: {remedy}" if remedy else what)

    # --- watching it ----------------------------------------------------------------------------

    async def _watch_sentinels(self) -> None:
        sentinels = [
            Lane(partial(self._sentinels.dial, each), self._patience)
            for each in self._seeds.addresses
        ]
        try:
            while True:
                await asyncio.sleep(WATCH_INTERVAL)
                answers = await asyncio.gather(*map(self._ask, sentinels), return_exceptions=True)
                known = [each for each in answers if not isinstance(each, BaseException)]
                self._newest = max(known, default=None)
                if self._newest is not None:
                    self._move_lanes_to(*self._newest)
        finally:
            for each in sentinels:
                await each.drop()

    def _move_lanes_to(self, epoch: int, primary: Address) -> None:
        moved = 0
        for lane, basis in self._lanes.items():
            # In one epoch, Sentinels may know the same server by different names.
            if basis and basis[0][0] < epoch and basis[0][1] != primary:
                lane.retire()
                basis.clear()
                moved += 1
        if moved:
            logger.info("Redis Sentinel names another primary", connections=moved)

    async def _ask(self, sentinel: Lane) -> KnownPrimary:
        return _parse_answer(await sentinel.ask(*self._question))

    @property
    def _question(self) -> tuple[bytes, ...]:
        return (b"SENTINEL", b"MASTER", self._name.encode())


def _parse_answer(answer: Any) -> KnownPrimary:
    if not isinstance(answer, dict):
        answer = dict(zip(answer[::2], answer[1::2], strict=True))
    return int(answer[b"config-epoch"]), (answer[b"ip"].decode(), int(answer[b"port"]))
