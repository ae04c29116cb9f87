"""A primary with replicas under Redis Sentinel: whoever is the primary now holds all keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError, ResponseError

from hub.redis_url import Address
from hub.store.failures import StoreError, StoreUnavailableError, reason_of
from hub.store.guides import Guides, UnguidedError
from hub.store.lane import Lane
from hub.store.opening import Dialer, closed, said
from hub.store.server import check_server

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


class _UnknownPrimaryError(StoreError):
    """A Sentinel that answers, and knows no primary of that name."""


class SentinelPrimary:
    """The primary that the Sentinels know as `name`; they are asked anew for each connection."""

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
        # Half, so that one that is gone leaves the next one time enough.
        self._guides = Guides(sentinels, timeout / 2)

    def lane(self, key: bytes, timeout: float | None = None) -> Lane:
        """A lane to the primary, whatever the key."""
        return Lane(self._connect, self._timeout if timeout is None else timeout)

    async def check(self) -> list[str]:
        """See `Backend.check`."""
        lane = self.lane(b"")
        try:
            return await check_server(lane)
        finally:
            await lane.drop()

    async def aclose(self) -> None:
        """Nothing is kept open."""

    async def _connect(self) -> AbstractConnection:
        try:
            return await self._guides.lead(self._look_up, self._reach)
        except UnguidedError as error:
            raise self._explained(error.problems) from None

    async def _look_up(self, sentinel: Address) -> Address:
        answer = await self._sentinels.ask(
            sentinel, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._name.encode()
        )
        if not answer:
            raise _UnknownPrimaryError(
                f"Redis Sentinel knows no primary named {self._name}: check what follows the "
                "addresses in the Redis URL"
            )
        host, port = answer
        return host.decode(), int(port)

    async def _reach(self, address: Address) -> AbstractConnection:
        connection = await self._servers.dial(address)
        try:
            role = (await said(connection, b"ROLE"))[0]
        except NoPermissionError:
            return connection  # a replica will refuse the first write
        except BaseException:
            await closed(connection)
            raise
        if role != b"master":
            await closed(connection)
            raise StoreUnavailableError(
                "Redis Sentinel still names a primary that is none any more"
            )
        return connection

    def _explained(self, problems: list[Exception]) -> StoreError:
        """The most telling of what the Sentinels said, or did not say."""
        answers = [each for each in problems if isinstance(each, StoreError | ResponseError)]
        problem = (answers or problems)[0]
        if isinstance(problem, _UnknownPrimaryError):
            # While some are silent it may be the one that answers who is wrong.
            final = len(answers) == len(problems)
            return problem if final else StoreUnavailableError(str(problem))
        if isinstance(problem, ResponseError) and "unknown command" in str(problem).lower():
            return StoreError(
                "the Redis server is no Redis Sentinel: give the Sentinels' addresses (their port "
                "is 26379 as a rule), or redis://HOST:PORT for a server without them"
            )
        return StoreUnavailableError(reason_of(problem).replace("Redis", "Redis Sentinel", 1))
