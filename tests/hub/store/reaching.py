"""Stores at a URL, and opening them while the servers there fail over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.ports.store import Away, Committed, Fenced, Opened
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from hub.store import Keys, RedisStore, StoreError, connect
from tests.hub.store.asking import Asked, change, until

TIMEOUT = 2.0


@asynccontextmanager
async def store_at(
    url: str, namespace: str = DEFAULT_NAMESPACE, *, command_timeout: float = TIMEOUT
) -> AsyncIterator[Asked]:
    """The store of one namespace at this URL, not opened yet."""
    backend = await connect(url, hub_id="hub-1", command_timeout=command_timeout)
    keys = Keys("", namespace, hash_tags=backend.hash_tags)
    store = RedisStore(backend, keys, "hub-1", command_timeout=command_timeout)
    try:
        yield Asked(store)
    finally:
        await store.close()
        await backend.aclose()


async def open_at_last(
    store: Asked, log: str = "", revision: int = 0, key: str = ""
) -> tuple[Opened, list[str]]:
    """Open when it can be; also the reasons why it could not before, each once."""
    reasons: list[str] = []
    answers: list[Opened] = []

    async def opened() -> bool:
        answer = await store.try_open(log, revision, key)
        if isinstance(answer, Away):
            reasons.append(answer.reason)
            return False
        answers.append(answer)
        return True

    await until(opened)
    return answers[0], list(dict.fromkeys(reasons))


async def until_refused(store: Asked, number: int = 99) -> Away | Fenced:
    """Write until that fails, on a connection whose server is being replaced."""
    answers: list[Committed | Fenced | Away] = []

    async def refused() -> bool:
        answers.append(await store.try_commit(change("register", number)))
        return not isinstance(answers[-1], Committed)

    await until(refused)
    assert not isinstance(answers[-1], Committed)
    return answers[-1]


async def problem_at(url: str) -> StoreError:
    """Why a hub does not come up, or has to wait, at this URL."""
    async with store_at(url) as store:
        try:
            await store.store.check_server()
        except StoreError as error:
            return error
        raise AssertionError("nothing is wrong")
