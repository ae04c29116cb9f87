"""The store of one namespace in Redis: `actors.ports.store.Store` over redis-py."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from msgspec import convert

from actors.limits import Limits
from actors.ports.store import (
    Away,
    Change,
    Committed,
    Fenced,
    ForeignRenewals,
    Freshness,
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
from actors.timing import HUB_LEASE
from homeport_protocol.namespaces import DEFAULT_NAMESPACE, is_namespace
from hub.store import reads
from hub.store.backends.backend import Backend
from hub.store.backends.connect import DEFAULT_TIMEOUT
from hub.store.backends.failures import (
    StoreError,
    StoreUnavailableError,
    WrongTypeError,
    is_denied,
    is_stored,
    is_wrong_type,
    may_be_replaced,
    needs_a_person,
    reason_of,
)
from hub.store.backends.lane import FAR, ReconnectedError
from hub.store.commit_batch import arguments_of, committed, keys_of, milliseconds
from hub.store.findings import Findings
from hub.store.keys import Keys
from hub.store.leases import renew_lease
from hub.store.names import REDIS, named
from hub.store.permissions import check_permissions
from hub.store.read_batcher import ReadBatcher
from hub.store.reply_tasks import ReplyTasks, log_bug
from hub.store.scripts import ACKNOWLEDGE_LOSS, CLOSE, COMMIT, FORGET, OPEN
from hub.store.shared_lanes import SharedLanes
from hub.store.written import await_written

T = TypeVar("T")

_ID = re.compile(rb'"id"\s*:\s*"([\w-]{1,64})"')

DEFAULT_LIMITS = Limits()
"""How much of the log is kept; Redis trims in blocks, and keeps some hundred entries more."""

TAKEN = "another hub that started later uses this hub's id"

RivalFound = Callable[[str, bool], None]
"""Called with the URL of another living hub with this one's id, and whether that one continues. It
does if it started later; this store does not open then while the other one lives."""

CHANGE_WAIT = 1.0
"""Seconds that Redis waits for a change of the log before it answers that there is none."""

FORGOTTEN_AFTER = 3600.0
"""Seconds that a namespace's keys are kept after the last hub has released it."""

_SEED = b"seed:"
"""What the seed begins with in the list of namespaces, none of which can have such a name."""

_IDLE = 30.0
"""Seconds after which an unused connection is closed."""


class RedisStore:
    """The durable side of one namespace, for one hub.

    It has three connections: one for all writes, so that they arrive in order, one for reads, which
    may take long, and one to wait for the changes of other hubs. They are those of `shared`, or
    else private. `backend` says how to connect; the caller closes it. Needs a running loop, on
    which every reply is called, exactly once, also when the store is closed in the meantime. `url`,
    `version`, `started` and `times` describe the hub to others in its lease, which expires
    `hub_lease` seconds after the last commit or `renew_lease`. `rival_found` is called when another
    hub has taken over the lease. With `confirm` a commit of changes is answered only once the
    server has written it; see `hub.store.written`. `name` is what people know the store by.
    `first_log` and `first_secret` are for a namespace that is not in Redis yet; "" for random ones.
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
        times: bytes = b"",
        limits: Limits = DEFAULT_LIMITS,
        command_timeout: float = DEFAULT_TIMEOUT,
        hub_lease: float = HUB_LEASE,
        rival_found: RivalFound = lambda _url, _goes_on: None,
        confirm: bool = False,
        name: str = REDIS,
        first_log: str = "",
        first_secret: bytes = b"",
        shared: SharedLanes | None = None,
    ) -> None:
        self.name = name
        self._backend = backend
        self._keys = keys
        self._hub_id = hub_id
        self._hub_key = keys.hub(hub_id)
        self._commit_keys = [
            *(self._hub_key, keys.log_name, keys.log, keys.active, keys.seen, keys.times),
            keys.owners,
        ]
        self._described = [url.encode(), version.encode(), started.encode()]
        self._times = times
        self._limits = limits
        self._lease = milliseconds(hub_lease)
        self._patience = CHANGE_WAIT + FAR * command_timeout
        self._shared = shared
        if shared is not None:
            self._writes, self._reads = shared.writes, shared.reads
        else:
            self._writes = backend.lane(keys.log, command_timeout)
            self._reads = backend.lane(keys.log, command_timeout)
        self._follow = backend.lane(keys.log, command_timeout)  # not used where they are shared
        # The list of namespaces has no hash tag, so another node of a cluster may hold it.
        self._names = self._reads
        if backend.hash_tags:
            self._names = backend.lane(keys.namespaces, command_timeout)
        self._lanes = [self._writes, self._reads, self._follow, self._names]
        self._rival_found = rival_found
        self._confirm = confirm
        self._last_batch: asyncio.Event | None = None
        """Set when the batch that was sent last has ended; only with `confirm`."""
        self._has_opened = False
        self._generation = b""
        self._opened_on: int | None = None
        """The connection on which the generation began; None while the store is not open."""
        self._log_name = ""
        self._report = HubReport(0, 0, 0)
        self._known_hubs: set[bytes] = set()
        # Kept, so that sessions can still be resumed after Redis has lost all its data.
        self._secret = first_secret
        self._first_log = first_log
        self._replies = ReplyTasks(self._reason)
        self._read_batcher: ReadBatcher[Stored] = ReadBatcher(
            self._start, partial(reads.read_entries, self._reads, keys)
        )
        self._closing = False
        self._denied = ""
        """What the Redis user may not do, until that has been checked; "" when it may do all."""
        self.refusal = ""
        """Why the last `open` failed; "" when it did not."""
        self.needs_repair = False
        """Whether it failed for what is stored, which only a person can mend."""
        self.findings = Findings(name)

    # --- actors.ports.store.Store ----------------------------------------------------------------

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """Begin a writer generation; see `actors.ports.store.Store.open`.

        `Opened.fresh` is also true when another hub began a new log since `position`. The reply is
        Away also when another hub has this hub's lease; see `RivalFound`.
        """
        self._start(partial(self._try_open, position, new_log), reply)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """Read everything that is stored, and drop ids in the active set that have no entry."""
        length = self._limits.log_length
        load = partial(reads.load, self._reads, self._keys, self._hub_id, self.findings, length)
        self._start(load, reply)

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        """Apply the changes in one step, in order.

        Fenced also before the first `open`, and when the connection is not the one that it was
        made on: behind another may be a server that a failover put in the place of ours.
        """
        commit = partial(self._commit, changes, announce, sent)
        if self._confirm:  # which one batch may have to wait for, and the next one not
            commit = partial(self._in_turn, commit)
        self._start(commit, reply, finish=True)

    def read_log(
        self,
        position: Position,
        upto: int | None,
        reply: Callable[[list[LogEntry] | Fenced | Away], None],
    ) -> None:
        """The log's entries after `position` up to revision `upto`; Fenced for another log."""
        self._start(partial(reads.read_log, self._reads, self._keys, position, upto), reply)

    def await_change(self, after: int, reply: Callable[[bool | Away], None]) -> None:
        """Whether the log has an entry after that revision; False after CHANGE_WAIT seconds."""
        self._start(partial(self._await_change, after), reply)

    def read(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """The stored entry of an agent; all reads of one turn of the loop are one command."""
        self._read_batcher.ask(agent_id, reply)

    def read_renewals(self, position: str, reply: Callable[[ForeignRenewals | Away], None]) -> None:
        """The renewals that other hubs have announced since `position`."""
        read = partial(reads.read_renewals, self._reads, self._keys, self._hub_id, position)
        self._start(read, reply)

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        """Renew this hub's lease, and read which hubs are alive; Fenced as for `commit`."""
        self._start(partial(self._renew_lease, report), reply)

    def look(
        self, agent_ids: list[str], cursor: str, reply: Callable[[Looked | Fenced | Away], None]
    ) -> None:
        """What other programs did to these agents, and a part of the active set."""
        look = partial(reads.look, self._reads, self._keys, self._log_name, agent_ids, cursor)
        self._start(look, reply)

    def acknowledge_loss(self, revision: int, reply: Callable[[bool | Away], None]) -> None:
        """Store for all hubs that the loss of agents up to `revision` was acknowledged."""
        self._start(partial(self._acknowledge_loss, revision), reply)

    # --- for the hub ----------------------------------------------------------------------------

    async def check_server(self) -> list[str]:
        """Warnings about the server's settings, one sentence each.

        Raises StoreError when the server is unsuitable or the user may not do what a hub does,
        StoreUnavailableError when it cannot be asked now.
        """
        warnings = await self._run(self._backend.check)
        await self._run(partial(check_permissions, self._writes, self._keys))
        return warnings

    async def namespaces(self) -> list[str]:
        """All namespaces that hubs have opened under this key prefix, the default one first.

        Every `open` adds its namespace. Raises StoreUnavailableError when Redis cannot be asked.
        """
        members = await self._listed()
        names = {member.decode(errors="replace") for member in members} - {DEFAULT_NAMESPACE}
        return [DEFAULT_NAMESPACE, *sorted(filter(is_namespace, names))]

    async def _listed(self) -> list[bytes]:
        key = self._keys.namespaces
        try:
            return list(await self._run(partial(self._names.ask, b"SMEMBERS", key)))
        except WrongTypeError:
            self.findings.of_another_type(key, b"set", "hubs do not hear of new namespaces")
            return []

    async def seed(self) -> bytes:
        """A random text that all hubs have in common; `renew_seed` has all take another."""
        seeds = sorted(each for each in await self._listed() if each.startswith(_SEED))
        if seeds:
            return seeds[0]
        await self.renew_seed()
        return min((each for each in await self._listed() if each.startswith(_SEED)), default=_SEED)

    async def renew_seed(self) -> None:
        """Replace the seed. Raises StoreUnavailableError."""
        key, new = self._keys.namespaces, _SEED + secrets.token_hex(16).encode()
        with suppress(WrongTypeError):
            old = [each for each in await self._listed() if each.startswith(_SEED)]
            await self._run(partial(self._names.ask, b"SADD", key, new))
            if old:
                await self._run(partial(self._names.ask, b"SREM", key, *old))

    async def has_namespace(self, name: str) -> bool:
        """Whether a hub has opened that namespace. Raises StoreUnavailableError."""
        ask = partial(self._names.ask, b"SISMEMBER", self._keys.namespaces, name.encode())
        try:
            return bool(await self._run(ask))
        except WrongTypeError:
            return True  # the list is lost, and `namespaces` tells of it: open it and see

    async def remember(self) -> None:
        """Add the namespace to the list that every hub opens, as `open` does."""
        with suppress(WrongTypeError):  # `namespaces` tells of it
            await self._run(self._list_namespace)

    def unreadable(self, record: bytes) -> None:
        """What was loaded for an agent is no record after all: tell of its key."""
        found = _ID.search(record)
        if found is not None:
            self.findings.no_record(self._keys.agent_prefix + found[1])

    async def look_again(self) -> None:
        """Forget findings that are in order by now. Raises StoreUnavailableError."""
        if self.findings.sentences():
            await self._run(partial(self.findings.look_again, self._reads))

    async def forget(self) -> None:
        """Release the namespace; only `close` may be called afterwards.

        It is removed from the list that a starting hub opens; the next `open` adds it again. If
        this was the last hub with the namespace, and there are no agents, all its keys expire after
        FORGOTTEN_AFTER seconds unless it is opened again before, so that made-up names do not stay
        in Redis for ever.
        """
        keys = self._keys
        try:
            await self._names.ask(b"SREM", keys.namespaces, keys.namespace.encode())
            if self._generation:
                await self._writes.run(
                    FORGET,
                    [
                        *(self._hub_key, keys.hubs, keys.active),
                        *(keys.log, keys.log_name, keys.secret, keys.loss, keys.times),
                        keys.owners,
                    ],
                    [self._generation, self._hub_id.encode(), milliseconds(FORGOTTEN_AFTER)],
                )
        except Exception as error:
            log_bug(error)

    async def close(self) -> None:
        """End this hub's lease and close the connections, after every pending reply was called.

        A commit in progress may finish; everything else, and all later requests, are answered with
        Away.
        """
        if self._closing:
            return
        self._closing = True
        await self._replies.close()
        try:
            if self._generation:
                keys, arguments = [self._hub_key, self._keys.hubs], [self._generation]
                await self._writes.run(CLOSE, keys, [*arguments, self._hub_id.encode()])
        except Exception as error:
            log_bug(error)
        finally:
            for lane in self._lanes:
                if self._shared is None or lane is self._follow:
                    await lane.drop()

    # --- internals ------------------------------------------------------------------------------

    def _start(
        self,
        work: Callable[[], Awaitable[T]],
        reply: Callable[[T | Away], None],
        *,
        finish: bool = False,
    ) -> None:
        self._replies.start(partial(self._reconnecting, work), reply, finish=finish)

    async def _reconnecting(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except Exception as error:
            if is_denied(error):
                self._denied = self._reason(error)
            elif may_be_replaced(error):
                # The other connections may have the same problem: reconnect all that are idle.
                for lane in self._lanes:
                    await lane.drop_if_idle(0)
            raise

    def _reason(self, error: BaseException) -> str:
        return named(reason_of(error), self.name)

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._reconnecting(work)
        except StoreError as error:
            raise type(error)(self._reason(error)) from None
        except Exception as error:
            log_bug(error)
            kind = StoreError if needs_a_person(error) else StoreUnavailableError
            kind = WrongTypeError if is_wrong_type(error) else kind
            raise kind(self._reason(error)) from None

    async def _try_open(self, position: Position, new_log: bool) -> Opened:
        try:
            opened = await self._open(position, new_log)
        except Exception as error:
            self.refusal, self.needs_repair = self._reason(error), is_stored(error)
            raise
        self.refusal, self.needs_repair = "", False
        return opened

    async def _open(self, position: Position, new_log: bool) -> Opened:
        keys = self._keys
        # From here on no commit is sent until this has succeeded.
        self._opened_on = None
        self._generation = secrets.token_hex(16).encode()
        arguments = [
            self._hub_id.encode(),
            self._generation,
            self._lease,
            *self._described,
            b"%d" % self._report.agents,
            b"%d" % self._report.sessions,
            position.log.encode(),
            b"%d" % position.revision,
            position.key.encode(),
            b"1" if new_log else b"0",
            self._name_of_new_log(position).encode(),
            self._secret or secrets.token_hex(32).encode(),
            b"1" if self._has_opened else b"0",
            self._times,
        ]
        if self._denied:
            # Opening does not need all permissions: it would work, and the next commit fail again.
            await check_permissions(self._writes, keys)
            self._denied = ""
        # All at once, since the server may be far away. The commit is fenced: it makes the script
        # known, so that none has to be sent again with its text, behind later ones.
        outcomes: list[Any] = await asyncio.gather(
            self._begin_generation(arguments),
            self._writes.run(COMMIT, self._commit_keys, [b"", b"", self._lease, b"1", b"", b"1"]),
            self._list_namespace(),
            self._reads.connect(),
            return_exceptions=True,
        )
        begun, taught, listed, _ = outcomes
        if isinstance(listed, Exception) and (is_wrong_type(listed) or not needs_a_person(listed)):
            listed = None  # by `remember`, later: another node of a cluster may have the list
        for each in (listed, begun, taught):
            if isinstance(each, BaseException):
                raise each
        answer, opened_on = begun
        if answer[0] == b"taken":
            self._rival_found(answer[1].decode(errors="replace"), True)
            raise StoreUnavailableError(TAKEN)
        name, reached, fresh, secret, other_url, other_started, key, found, why = answer
        if found:
            self.findings.mended(f"{found.decode(errors='replace')}: a new change log was begun")
        if self._has_opened and other_started:
            self._rival_found(other_url.decode(errors="replace"), False)
        self._has_opened = True
        self._log_name, self._secret = name.decode(), secret
        self._opened_on = opened_on
        key = key[:256].decode(errors="replace")
        reason = convert(why.decode(), Freshness)
        return Opened(self._log_name, int(reached), fresh == b"1", secret, key, reason)

    def _name_of_new_log(self, position: Position) -> str:
        """A random name, but for the first log of a namespace in which nothing has happened."""
        nothing_yet = position in (Position(), Position(self._first_log, 0, ""))
        if self._first_log and nothing_yet and not self._has_opened:
            return self._first_log
        return secrets.token_hex(8)

    async def _list_namespace(self) -> None:
        keys = self._keys
        await self._names.ask(b"SADD", keys.namespaces, keys.namespace.encode())

    async def _begin_generation(self, arguments: list[bytes]) -> tuple[Any, int]:
        """The answer of the script, and the number of the connection that it was run on."""
        keys = self._keys
        answer = await self._writes.run(
            OPEN,
            [
                *(self._hub_key, keys.log_name, keys.log, keys.secret, keys.active, keys.hubs),
                *(keys.seen, keys.loss, keys.times, keys.owners),
            ],
            arguments,
        )
        return answer, self._writes.connection_number

    async def _in_turn(
        self, commit: Callable[[], Awaitable[Committed | Fenced]]
    ) -> Committed | Fenced:
        """Answer a batch after those before it."""
        before, self._last_batch = self._last_batch, asyncio.Event()
        ended = self._last_batch
        try:
            return await commit()
        finally:
            if before is not None:
                await before.wait()
            ended.set()

    async def _commit(
        self, changes: list[Change | Renewal], announce: bool, sent: Callable[[], None] | None
    ) -> Committed | Fenced:
        # What is written in this turn of the loop leaves at its end; and should the lane be taken,
        # the batch waits for the server, and not for this process.
        if sent is not None:
            asyncio.get_running_loop().call_soon(sent)
        self._refuse_if_denied()
        if self._opened_on is None:
            return Fenced()
        keys, log, generation = self._keys, self._log_name, self._generation
        opened_on = self._opened_on
        try:
            answer = await self._writes.run(
                COMMIT,
                [*self._commit_keys, *keys_of(changes, keys)],
                [
                    generation,
                    log.encode(),
                    self._lease,
                    b"%d" % self._limits.log_length,
                    self._hub_id.encode() if announce else b"",
                    b"%d" % self._limits.max_log_bytes,
                    *arguments_of(changes, announce=announce),
                ],
                connection_number=opened_on,
                in_turn=True,
            )
        except ReconnectedError:
            answer = b"fenced"
        except Exception:
            self._fence(generation)  # what comes after it must not be applied without it
            raise
        if answer == b"fenced":
            self._fence(generation)
            return Fenced()
        # A renewal that is lost is made again by the next; a change is not.
        if self._confirm and any(isinstance(each, Change) for each in changes):
            self._confirm = await await_written(self._writes, opened_on)
        return committed(log, answer, self.findings, keys)

    async def _renew_lease(self, report: HubReport) -> Roster | Fenced:
        for lane in self._lanes:
            if lane is not self._writes:
                await lane.drop_if_idle(_IDLE)
        self._report = report
        self._refuse_if_denied()
        while self._opened_on is not None:  # again, if it was opened again in the meantime
            generation = self._generation
            try:
                roster = await renew_lease(
                    self._writes,
                    self._keys,
                    self._hub_id,
                    report,
                    generation=generation,
                    log=self._log_name,
                    lease=self._lease,
                    connection_number=self._opened_on,
                    known=self._known_hubs,
                )
            except ReconnectedError:
                roster = None
            if roster is not None:
                return roster
            self._fence(generation)
        return Fenced()

    def _refuse_if_denied(self) -> None:
        """Raise StoreUnavailableError when the user lacked a permission, for whatever it was."""
        if self._denied:
            raise StoreUnavailableError(self._denied)

    def _fence(self, generation: bytes) -> None:
        """Send nothing more in that generation; an answer to an older one changes nothing."""
        if generation == self._generation:
            self._opened_on = None

    async def _await_change(self, after: int) -> bool:
        if self._shared is not None:
            return await self._shared.await_change(self._keys.log, after)
        answer = await self._follow.ask(
            *(b"XREAD", b"COUNT", b"1", b"BLOCK", b"%d" % (CHANGE_WAIT * 1000)),
            *(b"STREAMS", self._keys.log, b"%d-0" % after),
            timeout=self._patience,
        )
        return bool(answer)

    async def _acknowledge_loss(self, revision: int) -> bool:
        keys = [self._keys.loss, self._keys.log]
        await self._writes.run(ACKNOWLEDGE_LOSS, keys, [b"%d" % revision])
        return True
