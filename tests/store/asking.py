"""A store whose callbacks are awaited, and changes and records as the tests want them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from actors.ports import (
    Applied,
    Away,
    Change,
    Committed,
    Fenced,
    Loaded,
    LogEntry,
    Opened,
    Operation,
    Refusal,
)
from hub.store import RedisStore
from protocol.bounds import Kind
from protocol.codec import encode
from protocol.record import AgentRecord, Health

NOW = "2026-11-23T10:00:00.000000Z"
LIMIT = 20.0


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
    """Wait for the world outside, which tells nobody when it is ready."""
    async with asyncio.timeout(LIMIT):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Asked:
    """A store, asked in the manner of coroutines."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store

    async def open(self, log: str = "", revision: int = 0, *, new_log: bool = False) -> Opened:
        answer = await self.try_open(log, revision, new_log=new_log)
        assert isinstance(answer, Opened), answer
        return answer

    async def try_open(
        self, log: str = "", revision: int = 0, *, new_log: bool = False
    ) -> Opened | Away:
        answer: Opened | Away = await answer_of(
            lambda reply: self.store.open(log, revision, reply, new_log=new_log)
        )
        return answer

    async def try_commit(self, *changes: Change) -> Committed | Fenced | Away:
        answer: Committed | Fenced | Away = await answer_of(
            lambda reply: self.store.commit(list(changes), reply)
        )
        return answer

    async def commit(self, *changes: Change) -> list[Applied | Refusal]:
        answer = await self.try_commit(*changes)
        assert isinstance(answer, Committed), answer
        return answer.results

    async def load(self) -> Loaded:
        answer = await answer_of(self.store.load)
        assert isinstance(answer, Loaded), answer
        return answer

    async def read_log(self, after: int = 0, upto: int = 10**9) -> list[LogEntry]:
        answer = await answer_of(lambda reply: self.store.read_log(after, upto, reply))
        assert isinstance(answer, list), answer
        return answer


def agent_id(number: int = 1) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


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
    operation: Operation,
    number: int = 1,
    *,
    epoch: int = 0,
    kind: Kind | str | None = None,
    hub: str = "hub-1",
    ttl: float = 60.0,
    key: str = "",
    revision: int = 0,
    **fields: Any,
) -> Change:
    usual: dict[str, str] = {
        "register": "registered",
        "resume": "resumed",
        "write": "updated",
        "renew": "",
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
    )


LEGACY = (
    b'{"id":"00000000-0000-4000-8000-000000000001","name":"old","type":"cost","host":"h",'
    b'"port":1,"capabilities":["a"],"status":"healthy","version":"1.0",'
    b'"registered_at":"2025-01-01T00:00:00.123456789Z","last_seen":"2025-01-01T00:00:00Z",'
    b'"metadata":{"epoch":77}}'
)
"""As the legacy registry writes a record."""
