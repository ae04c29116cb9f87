"""The registrations that tokens have left, counted in the store for all hubs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from homeport_protocol.errors import ProtocolError
from hub.auth.token_store import TokenStore
from hub.store import StoreError
from hub.telemetry import logs

RETRY = 1.0
"""Seconds until the store is asked again whether it answers."""

_SUBJECT = "token:"

logger = logs.get("hub.tokens")


class Uses:
    """Takes uses of tokens, and gives them back. Needs a running loop; call `close`.

    One that was asked for without an answer counts as taken, and is not given back twice: a token
    never joins more agents than it may.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._owed: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._giving: asyncio.Task[None] | None = None

    def take(self, principal_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        """See `actors.ports.authority.Authority.take_use`."""
        self._run(self._take(principal_id.removeprefix(_SUBJECT), reply))

    def give_back(self, principal_id: str) -> None:
        """Give one back as soon as the store answers."""
        self._owed[principal_id.removeprefix(_SUBJECT)] += 1
        if self._giving is None or self._giving.done():
            self._giving = self._run(self._give_back_all())

    async def close(self) -> None:
        """Give back no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="uses")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, token_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        try:
            taken = await self._store.take_use(token_id)
        except (StoreError, asyncio.CancelledError):
            words = "the token's uses cannot be counted now: the store is away"
            reply(ProtocolError("unavailable", words))
            return
        if taken:
            reply(None)
        else:
            words = "the token has registered as many agents as it may: make another one"
            reply(ProtocolError("forbidden", words))

    async def _give_back_all(self) -> None:
        while self._owed:
            try:
                await self._store.revision()  # so that what is sent next is answered
            except StoreError:
                await asyncio.sleep(RETRY)
                continue
            token_id, count = self._owed.popitem()
            for _ in range(count):
                try:
                    await self._store.give_use_back(token_id)
                except StoreError as error:
                    logger.warning("a use was not given back", id=token_id, reason=str(error))
