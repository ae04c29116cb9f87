"""The store of a namespace that does not exist yet: empty, without a key or a connection.

Whoever reads in a namespace, or watches it, must not make it: names would cost their inventor
nothing, and the hub and Redis something each. Once an agent registers here, or another hub has made
the namespace, the store is made `real`; the hub opens it as after an outage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from hmac import digest
from typing import TypeVar

from msgspec import structs

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
from hub.store.redis_store import CHANGE_WAIT, RedisStore

T = TypeVar("T")


class LatentStore:
    """`actors.ports.store.Store` that answers as an empty store would, until it is real.

    `seed` asks for the cluster's seed when the store is opened, and None if some hub has made the
    namespace; `make` makes the real store, given the name of its first log, and the first secret.
    `hubs` are those of the cluster. Needs a running loop, on which every reply is called.

    The log of a namespace that does not exist has a name already, which goes with its first entry
    into Redis: so who watched before that misses nothing and need not start over. All hubs make the
    same name of their common seed.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        hubs: Callable[[], list[HubLease]],
        seed: Callable[[], Awaitable[bytes | None]],
        make: Callable[[str, bytes], RedisStore],
    ) -> None:
        self.name = name
        self._namespace = namespace
        self.real: RedisStore | None = None
        self._seed = seed
        self._make = make
        self._hubs = hubs
        self._log = ""
        self._secret = b""
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    def become_real(self, seed: bytes = b"") -> RedisStore:
        """Make the namespace's own store; the caller has it opened. `seed` is "" if not known."""
        if self.real is None:
            if seed and not self._log:
                self._plant(seed)  # another hub may be about to begin the same log
            self.real = self._make(self._log, self._secret)
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
            self.real.open(position, partial(self._opened, position, reply), new_log=new_log)
        else:
            asked = self._look(position, reply, new_log)
            self._asking = asyncio.get_running_loop().create_task(asked)

    async def _look(
        self, position: Position, reply: Callable[[Opened | Away], None], new_log: bool
    ) -> None:
        try:
            seed = await self._seed()
        except StoreError as error:
            if not self._closed:
                reply(Away(str(error)))
            return
        if self._closed:
            return
        if seed is None or self.real is not None:
            self.become_real().open(position, reply, new_log=new_log)
            return
        self._plant(seed)
        reply(Opened(self._log, 0, fresh=True, secret=self._secret))

    def _plant(self, seed: bytes) -> None:
        self._log = digest(seed, f"log {self._namespace}".encode(), "sha256").hex()[:16]
        self._secret = digest(seed, f"secret {self._namespace}".encode(), "sha256").hex().encode()

    def _opened(
        self, position: Position, reply: Callable[[Opened | Away], None], answer: Opened | Away
    ) -> None:
        if isinstance(answer, Opened) and answer.fresh and position.log:
            begun = (answer.log, answer.revision) == (self._log, 0)
            if begun and (position.log, position.revision) == (self._log, 0):
                # Redis had none: it goes on with the log that could be watched before.
                answer = structs.replace(answer, fresh=False, why="")
        reply(answer)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """Nothing is stored."""
        if self.real is not None:
            self.real.load(reply)
        else:
            self._answer(reply, Loaded([], [], [], Roster([], 0, 0)))

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        """Nothing can be written before the store is real; nothing waits to be read."""
        if self.real is not None:
            self.real.commit(changes, reply, announce=announce, sent=sent)
            return
        if sent is not None:
            asyncio.get_running_loop().call_soon(sent)
        self._answer(reply, Fenced() if changes else Committed(self._log, 0, []))

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
            asyncio.get_running_loop().call_later(CHANGE_WAIT, reply, False)

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
        """There are the cluster's hubs, and none need know of this one here."""
        if self.real is not None:
            self.real.renew_lease(report, reply)
        else:
            self._answer(reply, Roster(self._hubs(), 0, 0))

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
