"""From the brain's callbacks to awaitables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from homeport_protocol.errors import ProtocolError

T = TypeVar("T")


async def ask(expected: type[T], send: Callable[[Callable[[object], None]], object]) -> T:
    """Ask the brain, and wait for its reply, which always comes, at once or later.

    Raises the reply if it is a ProtocolError. When the waiting request is cancelled, the reply is
    dropped, but the change that was asked for still happens.
    """
    replied: list[object] = []
    waiting: asyncio.Future[object] | None = None

    def reply(result: object) -> None:
        if waiting is None:
            replied.append(result)
        elif not waiting.done():
            waiting.set_result(result)

    send(reply)
    if replied:
        result = replied[0]
    else:
        waiting = asyncio.get_running_loop().create_future()
        result = await waiting
    if isinstance(result, ProtocolError):
        raise result
    if not isinstance(result, expected):
        raise TypeError(f"expected {expected.__name__}, got {type(result).__name__}")
    return result
