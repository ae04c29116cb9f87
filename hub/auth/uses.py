"""The registrations that tokens have left, counted in the store for all hubs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from homeport_protocol.errors import ProtocolError
from hub.auth.token_store import TOKEN_SUBJECT, TokenStore
from hub.store import StoreError

T = TypeVar("T")

MAX_STEPS = 2048
"""Uses that may wait to be taken or given back, as they do while the store is away."""

RETRY = 1.0
"""Seconds until the store is asked again whether it answers."""


class Uses:
    """Takes uses of tokens, and gives them back. Needs a running loop; call `close`.

    Where the store does not answer, each step is repeated until it does, and is done once.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, principal_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        """See `actors.ports.authority.Authority.take_use`; `rate_limited` beyond MAX_STEPS."""
        if len(self._tasks) >= MAX_STEPS:
            words = "too many registrations wait to be counted against their tokens"
            reply(ProtocolError("rate_limited", words))
            return
        self._run(self._take(principal_id.removeprefix(TOKEN_SUBJECT), reply))

    def give_back(self, principal_id: str) -> None:
        """Give one back as soon as the store answers."""
        self._run(self._give_back(principal_id.removeprefix(TOKEN_SUBJECT)))

    async def close(self) -> None:
        """Give back no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="uses")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, token_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        step = secrets.token_hex(6)
        try:
            taken = await self._store.take_use(token_id, step)
        except (StoreError, asyncio.CancelledError) as error:
            words = "the token's uses cannot be counted now: the store is away"
            reply(ProtocolError("unavailable", words))
            if isinstance(error, asyncio.CancelledError):
                raise
            # It may have been taken: have it taken for certain, and give it back.
            if await _at_last(lambda: self._store.take_use(token_id, step)):
                await self._give_back(token_id)
            return
        if taken:
            reply(None)
        else:
            words = "the token has registered as many agents as it may: make another one"
            reply(ProtocolError("forbidden", words))

    async def _give_back(self, token_id: str) -> None:
        step = secrets.token_hex(6)
        await _at_last(lambda: self._store.give_use_back(token_id, step))


async def _at_last(work: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await work()
        except StoreError:
            await asyncio.sleep(RETRY)
