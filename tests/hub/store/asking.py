"""A store whose callbacks are awaited, and changes and records as the tests want them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from msgspec import UNSET
from redis.asyncio import Redis

from actors.ports.store import (
    Applied,
    Away,
    Change,
    Committed,
    Fenced,
    ForeignRenewals,
    HubReport,
    Loaded,
    LogEntry,
    Opened,
    Operation,
    Position,
    Refusal,
    Renewal,
    Roster,
    Stored,
)
from homeport_protocol.bounds import Kind
from homeport_protocol.codec import decode_record, encode
from homeport_protocol.record import AgentRecord, Health
from hub.store import RedisStore

NOW = "2026-11-23T10:00:00.000000Z"
LIMIT = 20.0

FAR = 4 * 10**15
"""Epochs in these tests count from here, beyond the clock, so that only `test_epochs` sees it."""


async def answer_of(ask: Callable[[Callable[[Any], None]], None]) -> Any:
    """What an operation is answered with; a second answer fails the test."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ask(future.set_result)
    assert not future.done(), "answered at once, and not later"
    async with asyncio.timeout(LIMIT):
        answer = await future
    await asyncio.sleep(0)
    return answer


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Poll a condition of the outside world."""
    async with asyncio.timeout(LIMIT):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Asked:
    """A store whose operations are coroutines."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.log = ""

    async def open(
        self, log: str = "", revision: int = 0, key: str = "", *, new_log: bool = False
    ) -> Opened:
        answer = await self.try_open(log, revision, key, new_log=new_log)
        assert isinstance(answer, Opened), answer
        return answer

    async def try_open(
        self, log: str = "", revision: int = 0, key: str = "", *, new_log: bool = False
    ) -> Opened | Away:
        position = Position(log, revision, key)
        answer: Opened | Away = await answer_of(
            lambda reply: self.store.open(position, reply, new_log=new_log)
        )
        if isinstance(answer, Opened):
            self.log = answer.log
        return answer

    async def try_commit(
        self, *changes: Change | Renewal, announce: bool = False
    ) -> Committed | Fenced | Away:
        answer: Committed | Fenced | Away = await answer_of(
            lambda reply: self.store.commit(list(changes), reply, announce=announce, sent=None)
        )
        if not isinstance(answer, Committed):
            return answer
        results = [
            Applied(each.revision, counted(each.epoch)) if isinstance(each, Applied) else each
            for each in answer.results
        ]
        return Committed(answer.log, answer.before, results)

    async def commit(
        self, *changes: Change | Renewal, announce: bool = False
    ) -> list[Applied | Refusal]:
        answer = await self.try_commit(*changes, announce=announce)
        assert isinstance(answer, Committed), answer
        return answer.results

    async def load(self) -> Loaded:
        answer = await answer_of(self.store.load)
        assert isinstance(answer, Loaded), answer
        return answer

    async def read_log(
        self, after: int = 0, upto: int | None = None, key: str = ""
    ) -> list[LogEntry]:
        """The entries of the log that was opened last."""
        answer = await self.try_read_log(Position(self.log, after, key), upto)
        assert isinstance(answer, list), answer
        return answer

    async def try_read_log(
        self, position: Position, upto: int | None = None
    ) -> list[LogEntry] | Fenced | Away:
        answer: list[LogEntry] | Fenced | Away = await answer_of(
            lambda reply: self.store.read_log(position, upto, reply)
        )
        return answer

    async def await_change(self, after: int = 0) -> bool:
        answer = await answer_of(lambda reply: self.store.await_change(after, reply))
        assert isinstance(answer, bool), answer
        return answer

    async def read(self, number: int = 1) -> Stored | None:
        answer = await answer_of(lambda reply: self.store.read(agent_id(number), reply))
        assert answer is None or isinstance(answer, Stored), answer
        return answer

    async def read_renewals(self, position: str = "") -> ForeignRenewals:
        answer = await answer_of(lambda reply: self.store.read_renewals(position, reply))
        assert isinstance(answer, ForeignRenewals), answer
        return answer

    async def renew_lease(
        self, agents: int = 0, sessions: int = 0, revision: int = 0
    ) -> Roster | Fenced | Away:
        report = HubReport(agents, sessions, revision)
        answer: Roster | Fenced | Away = await answer_of(
            lambda reply: self.store.renew_lease(report, reply)
        )
        return answer

    async def roster(self, agents: int = 0, sessions: int = 0, revision: int = 0) -> Roster:
        answer = await self.renew_lease(agents, sessions, revision)
        assert isinstance(answer, Roster), answer
        return answer

    async def acknowledge_loss(self, revision: int) -> None:
        assert await answer_of(lambda reply: self.store.acknowledge_loss(revision, reply)) is True


def agent_id(number: int = 1) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def counted(epoch: int) -> int:
    """An epoch as these tests count them."""
    return epoch - FAR if epoch >= FAR else epoch


def epoch_in(entry: bytes) -> int:
    """The epoch of a stored entry, as these tests count them."""
    return counted(decode_record(entry).epoch)


def record(number: int = 1, **fields: Any) -> AgentRecord:
    """A record before the store has completed it."""
    given = {
        "id": agent_id(number),
        "name": f"agent {number}",
        "type": "cost",
        "host": "10.0.0.1",
        "port": 8080,
        "capabilities": ["forecast", "häuser"],
        "version": "1.2.3",
        "registered_at": NOW,
        "last_seen": NOW,
        "metadata": {"team": "a", "quote": '"},\\"', "deep": {"epoch": 99}},
        "health": Health("websocket", "healthy", "ok", NOW),
    }
    return AgentRecord(**{**given, **fields})


def head(number: int = 1, **fields: Any) -> bytes:
    data = encode(record(number, **fields))
    return data[: data.rindex(b',"epoch":')]


def change(
    operation: Operation | Literal["renew"],
    number: int = 1,
    *,
    epoch: int = 0,
    kind: Kind | str | None = None,
    hub: str = "hub-1",
    ttl: float = 60.0,
    key: str = "",
    revision: int = 0,
    seen: str = "",
    times: str = "",
    owner: str | None = None,
    only_own: bool = False,
    **fields: Any,
) -> Change | Renewal:
    if epoch or operation == "register":
        epoch += FAR
    if operation == "renew":
        return Renewal(
            agent_id=agent_id(number),
            epoch=epoch,
            head=head(number, **fields),
            hub=hub,
            ttl=ttl,
            revision=revision,
            load=fields.get("load", UNSET),
        )
    usual: dict[str, str] = {
        "register": "registered",
        "claim": "registered",
        "adopt": "registered",
        "resume": "resumed",
        "write": "updated",
        "remove": "unregistered",
        "restore": "updated",
    }
    return Change(
        operation=operation,
        kind=usual[operation] if kind is None else kind,  # type: ignore[arg-type]
        agent_id=agent_id(number),
        epoch=epoch,
        head=head(number, **fields),
        hub=hub,
        ttl=ttl,
        key=key,
        revision=revision,
        seen=seen,
        times=times,
        owner=owner,
        only_own=only_own,
    )


ENTRY = f"agent:{agent_id()}"
"""The key of the first agent's entry."""


def stored(epoch: int, revision: int = 5) -> bytes:
    """The first agent's entry, as another hub wrote it."""
    return head() + b',"epoch":%d,"hub":"hub-9","revision":%d}' % (FAR + epoch, revision)


async def put(client: Redis, entry: bytes) -> None:
    """Store this as the first agent's entry, beside the scripts."""
    await client.set(ENTRY, entry)
    await client.sadd("agents:active", agent_id())


LEGACY = (
    b'{"id":"00000000-0000-4000-8000-000000000001","name":"old","type":"cost","host":"h",'
    b'"port":1,"capabilities":["a"],"status":"healthy","version":"1.0",'
    b'"registered_at":"2025-01-01T00:00:00.123456789Z","last_seen":"2025-01-01T00:00:00Z",'
    b'"metadata":{"epoch":77}}'
)
"""As the legacy registry writes a record."""
