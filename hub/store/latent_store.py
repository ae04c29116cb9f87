"""The store of a namespace that does not exist yet: empty, without a key or a connection.

Whoever reads in a namespace, or watches it, must not make it: names would cost their inventor
nothing, and the hub and Redis something each. Once an agent registers here, or another hub has made
the namespace, the store is made `real`; the hub opens it as after an outage.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors.ports.store import (
    Away,
    Change,
    Committed,
    Fenced,
    ForeignRenewals,
    HubLease,
    HubReport,
    Loaded,
    LogEntry,
    Looked,
    Opened,
    Position,
    Renewal,
    Roster,
    Stored,
)
from hub.store.backends.failures import StoreError
from hub.store.redis_store import RedisStore

T = TypeVar("T")


class LatentStore:
    """`actors.ports.store.Store` that answers as an empty store would, until it is real.

    `exists` asks whether some hub has made the namespace, when the store is opened; `make` makes
    the real store. `me` is this hub. Needs a running loop, on which every reply is called.
    """

    def __init__(
        self,
        name: str,
        me: HubLease,
        *,
        exists: Callable[[], Awaitable[bool]],
        make: Callable[[], RedisStore],
    ) -> None:
        self.name = name
        self.real: RedisStore | None = None
        self._exists = exists
        self._make = make
        self._roster = Roster([me], 0, 0)
        self._log = secrets.token_hex(8)
        self._secret = secrets.token_hex(32).encode()
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    def become_real(self) -> RedisStore:
        """Make the namespace's own store; the caller has it opened."""
        if self.real is None:
            self.real = self._make()
        return self.real

    async def close(self) -> None:
        """Answer nothing more; as `RedisStore.close` where the store is real."""
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
        if self.real is not None:
            await self.real.close()

    def unreadable(self, record: bytes) -> None:
        """As `RedisStore.unreadable`."""
        if self.real is not None:
            self.real.unreadable(record)

    # --- actors.ports.store.Store ----------------------------------------------------------------

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """Open the real store, also when another hub has made the namespace meanwhile."""
        if self.real is not None:
            self.real.open(position, reply, new_log=new_log)
        else:
            asked = self._look(position, reply, new_log)
            self._asking = asyncio.get_running_loop().create_task(asked)

    async def _look(
        self, position: Position, reply: Callable[[Opened | Away], None], new_log: bool
    ) -> None:
        try:
            exists = await self._exists()
        except StoreError as error:
            if not self._closed:
                reply(Away(str(error)))
            return
        if self._closed:
            return
        if exists or self.real is not None:
            self.become_real().open(position, reply, new_log=new_log)
        else:
            reply(Opened(self._log, 0, fresh=True, secret=self._secret))

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """Nothing is stored."""
        if self.real is not None:
            self.real.load(reply)
        else:
            self._answer(reply, Loaded([], [], [], self._roster))

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        """Nothing can be written before the store is real."""
        if self.real is not None:
            self.real.commit(changes, reply, announce=announce, sent=sent)
            return
        if sent is not None:
            asyncio.get_running_loop().call_soon(sent)
        self._answer(reply, Fenced())

    def read_log(
        self,
        position: Position,
        upto: int | None,
        reply: Callable[[list[LogEntry] | Fenced | Away], None],
    ) -> None:
        """The log is empty."""
        if self.real is not None:
            self.real.read_log(position, upto, reply)
        else:
            self._answer(reply, [])

    def await_change(self, after: int, reply: Callable[[bool | Away], None]) -> None:
        """The log does not grow."""
        if self.real is not None:
            self.real.await_change(after, reply)
        else:
            self._answer(reply, False)

    def read(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """There is no agent."""
        if self.real is not None:
            self.real.read(agent_id, reply)
        else:
            self._answer(reply, None)

    def read_renewals(self, position: str, reply: Callable[[ForeignRenewals | Away], None]) -> None:
        """Nobody renews anything."""
        if self.real is not None:
            self.real.read_renewals(position, reply)
        else:
            self._answer(reply, ForeignRenewals(position, []))

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        """No other hub need know of this one."""
        if self.real is not None:
            self.real.renew_lease(report, reply)
        else:
            self._answer(reply, self._roster)

    def look(
        self, agent_ids: list[str], cursor: str, reply: Callable[[Looked | Fenced | Away], None]
    ) -> None:
        """No other program has written anything."""
        if self.real is not None:
            self.real.look(agent_ids, cursor, reply)
        else:
            self._answer(reply, Looked([], [], [], ""))

    def acknowledge_loss(self, revision: int, reply: Callable[[bool | Away], None]) -> None:
        """There is no loss."""
        if self.real is not None:
            self.real.acknowledge_loss(revision, reply)
        else:
            self._answer(reply, True)

    def _answer(self, reply: Callable[[T], None], answer: T) -> None:
        asyncio.get_running_loop().call_soon(reply, answer)
