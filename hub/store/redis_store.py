"""The store of one namespace in Redis: `actors.ports.Store` over redis-py."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from actors.ports import Away, Change, Committed, Fenced, Loaded, LogEntry, Opened
from hub import logs
from hub.store import reading, server
from hub.store.backend import Backend
from hub.store.batches import arguments_of, committed, milliseconds
from hub.store.connection import DEFAULT_TIMEOUT
from hub.store.failures import STOPPING, StoreError, StoreUnavailableError, is_bug, reason_of
from hub.store.keys import DEFAULT_NAMESPACE, Keys
from hub.store.scripts import CLOSE, COMMIT, OPEN, RENEW
from protocol.bounds import NAMESPACE

T = TypeVar("T")

LOG_LENGTH = 50_000
"""Entries of the log that are kept; Redis trims in blocks and keeps up to some hundred more."""

HUB_LEASE = 10.0
"""Seconds that a silent hub remains the writer of its generation."""

_RENEWALS_PER_LEASE = 3
_IDLE = 30.0
"""Seconds after which a connection that only reads is closed."""

_log = logs.get("hub.store")
_namespace = re.compile(NAMESPACE)


class RedisStore:
    """The durable side of one namespace, for one hub.

    Three connections of its own, lent from nobody: one for everything that writes, so that it
    arrives in the order in which it was asked for, one for reads, which may be long, and one to
    wait for others' changes. `backend` says how to connect and remains the caller's. Needs a
    running loop; every reply comes on it, exactly once, also when the store is closed meanwhile.
    `url`, `version` and `started` describe the hub to others in its lease.
    """

    def __init__(
        self,
        backend: Backend,
        keys: Keys,
        hub_id: str,
        *,
        url: str = "",
        version: str = "",
        started: str = "",
        log_length: int = LOG_LENGTH,
        command_timeout: float = DEFAULT_TIMEOUT,
        hub_lease: float = HUB_LEASE,
    ) -> None:
        self._keys = keys
        self._hub_key = keys.hub(hub_id)
        self._described = [url.encode(), version.encode(), started.encode()]
        self._log_length = log_length
        self._lease = milliseconds(hub_lease)
        self._renew_interval = hub_lease / _RENEWALS_PER_LEASE
        self._writes = backend.lane(keys.log, command_timeout)
        self._reads = backend.lane(keys.log, command_timeout)
        self._follow = backend.lane(keys.log, command_timeout)
        # The list of namespaces belongs to none of them, and may be kept elsewhere.
        self._names = self._writes
        if backend.hash_tags:
            self._names = backend.lane(keys.namespaces, command_timeout)
        self._lanes = [self._writes, self._reads, self._follow, self._names]
        self._generation = b""
        self._is_open = False
        self._log_name = ""
        # Kept, so that sessions can still be resumed when Redis has lost all it had.
        self._secret = b""
        self._renewed = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._commits: set[asyncio.Task[Any]] = set()
        self._others: set[asyncio.Task[Any]] = set()
        self._closing = False

    # --- actors.ports.Store ---------------------------------------------------------------------

    def open(
        self, log: str, revision: int, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """Begin a writer generation; see `actors.ports.Store.open`.

        `Opened.fresh` is true as well when another hub began a new log since `log` was known.
        """
        self._begin(partial(self._open, log, revision, new_log), reply, self._others)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """Read all that is stored, and drop the ids in the active set that have no entry."""
        read = partial(reading.load, self._reads, self._keys, self._log_length)
        self._begin(read, reply, self._others)

    def commit(
        self, changes: list[Change], reply: Callable[[Committed | Fenced | Away], None]
    ) -> None:
        """Apply the changes in one step, in order; Fenced also before the first `open`."""
        self._begin(partial(self._commit, changes), reply, self._commits)

    def read_log(
        self, after: int, upto: int, reply: Callable[[list[LogEntry] | Away], None]
    ) -> None:
        """The log's entries with `after` < revision <= `upto`, oldest first."""
        read = partial(reading.read_log, self._reads, self._keys, after, upto)
        self._begin(read, reply, self._others)

    # --- for the hub ----------------------------------------------------------------------------

    async def check_server(self) -> list[str]:
        """What is unwise about the server's settings, one sentence each.

        Raises StoreError when it can never do, StoreUnavailableError when it cannot be asked now.
        """
        return await self._asking(partial(server.check_server, self._reads))

    async def namespaces(self) -> list[str]:
        """All namespaces that any hub ever opened under this key prefix, the default one first.

        Every `open` remembers its own. Raises StoreUnavailableError when Redis cannot be asked.
        """
        members = await self._asking(partial(self._names.ask, b"SMEMBERS", self._keys.namespaces))
        names = {member.decode(errors="replace") for member in members} - {DEFAULT_NAMESPACE}
        return [DEFAULT_NAMESPACE, *sorted(filter(_namespace.match, names))]

    async def forget(self) -> None:
        """Take the namespace off the list that a starting hub opens; its next `open` adds it."""
        try:
            await self._names.ask(b"SREM", self._keys.namespaces, self._keys.namespace.encode())
        except Exception as error:
            self._note(error)

    async def close(self) -> None:
        """End this hub's lease and its connections. Everything that waits is answered before.

        A commit under way has its time to finish; anything else is answered with Away, and so is
        whatever is asked from now on.
        """
        if self._closing:
            return
        self._closing = True
        waiting = [*self._others]
        if self._keeper is not None:
            waiting.append(self._keeper)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, *self._commits, return_exceptions=True)
        try:
            if self._generation:
                await self._writes.run(CLOSE, [self._hub_key], [self._generation])
        except Exception as error:
            self._note(error)
        finally:
            for lane in self._lanes:
                await lane.drop()

    # --- how ------------------------------------------------------------------------------------

    def _begin(
        self,
        work: Callable[[], Awaitable[T]],
        reply: Callable[[T | Away], None],
        tasks: set[asyncio.Task[Any]],
    ) -> None:
        loop = asyncio.get_running_loop()
        if self._closing:
            loop.call_soon(reply, Away(STOPPING))
            return
        task = loop.create_task(self._guard(work))
        tasks.add(task)
        # The callback and not the task answers: a task that is cancelled early never runs.
        task.add_done_callback(partial(self._answer, reply, tasks))

    def _answer(
        self,
        reply: Callable[[T | Away], None],
        tasks: set[asyncio.Task[Any]],
        task: asyncio.Task[T],
    ) -> None:
        tasks.discard(task)
        if task.cancelled():
            reply(Away(STOPPING))
            return
        error = task.exception()
        if error is None:
            reply(task.result())
        else:
            self._note(error)
            reply(Away(reason_of(error)))

    async def _guard(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except Exception:
            # What ails one connection may well ail the others: begin anew with all.
            for lane in self._lanes:
                await lane.drop_if_idle(0)
            raise

    async def _asking(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._guard(work)
        except StoreError:
            raise
        except Exception as error:
            self._note(error)
            raise StoreUnavailableError(reason_of(error)) from None

    def _note(self, error: BaseException) -> None:
        if is_bug(error):
            _log.error("the store failed in an unforeseen way", exc_info=error)

    async def _open(self, log: str, revision: int, new_log: bool) -> Opened:
        keys = self._keys
        # From here on no commit is sent before this has succeeded.
        self._is_open = False
        self._generation = secrets.token_hex(16).encode()
        arguments = [
            self._generation,
            *self._described,
            self._lease,
            log.encode(),
            b"%d" % revision,
            b"1" if new_log else b"0",
            secrets.token_hex(8).encode(),
            self._secret or secrets.token_hex(32).encode(),
        ]
        await self._names.ask(b"SADD", keys.namespaces, keys.namespace.encode())
        name, reached, fresh, secret = await self._writes.run(
            OPEN, [self._hub_key, keys.log_name, keys.log, keys.secret, keys.active], arguments
        )
        self._log_name, self._secret, self._is_open = name.decode(), secret, True
        self._renewed = asyncio.get_running_loop().time()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        return Opened(self._log_name, int(reached), fresh == b"1", secret)

    async def _commit(self, changes: list[Change]) -> Committed | Fenced:
        if not self._is_open:
            return Fenced()
        keys, log = self._keys, self._log_name
        answer = await self._writes.run(
            COMMIT,
            [
                self._hub_key,
                keys.log_name,
                keys.log,
                keys.active,
                *(keys.agent(change.agent_id) for change in changes),
            ],
            [
                self._generation,
                log.encode(),
                self._lease,
                b"%d" % self._log_length,
                *arguments_of(changes),
            ],
        )
        if answer == b"fenced":
            self._is_open = False
            return Fenced()
        self._renewed = asyncio.get_running_loop().time()
        return committed(log, answer)

    async def _keep(self) -> None:
        """Renew the hub's lease while nothing is committed, which would renew it as well.

        Whether it worked does not matter here: when the lease has lapsed or is another's, the
        next commit is answered with Fenced.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._renew_interval)
            for lane in self._lanes:
                if lane is not self._writes:
                    await lane.drop_if_idle(_IDLE)
            if not self._is_open or loop.time() - self._renewed < self._renew_interval / 2:
                continue
            try:
                keys, arguments = [self._hub_key], [self._generation, self._lease]
                await self._guard(partial(self._writes.run, RENEW, keys, arguments))
            except Exception as error:
                self._note(error)
