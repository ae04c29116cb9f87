"""Unregistering an agent at the end, within a bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent_client.errors import (
    ConnectionLost,
    HomeportError,
    NotFound,
    NotRegistered,
    Unavailable,
)
from agent_client.transport.channel import Channel
from homeport_protocol.answers import Unregistered
from homeport_protocol.errors import CloseCode
from homeport_protocol.requests import Unregister

logger = logging.getLogger("homeport.client")


async def unregister(
    channel: Channel,
    agent_id: str,
    *,
    seconds: float,
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    """Unregister the agent whose session `channel` is, and close it.

    When that takes longer than `seconds`, or is refused, it is logged: the lease then runs out.
    """
    try:
        async with asyncio.timeout(seconds):
            try:
                await _ask_to_unregister(channel, sleep)
            except HomeportError as error:
                logger.warning("agent %s could not unregister: %s", agent_id, error)
            await channel.close()
    except TimeoutError:
        logger.warning("agent %s could not unregister in time", agent_id)
    finally:
        channel.drop(ConnectionLost("the client closed the connection", retryable=False))


async def _ask_to_unregister(channel: Channel, sleep: Callable[[float], Awaitable[object]]) -> None:
    asked = False
    while True:
        try:
            await channel.request(Unregister(id=0), Unregistered)
        except Unavailable as error:
            if error.outcome is None:
                raise
            asked = True  # it may have happened: that is found out by asking again
            await sleep(0.1)
        except HomeportError as error:
            done = isinstance(error, (NotFound, NotRegistered)) or _closed_as_done(error)
            if not (asked and done):
                raise
            return
        else:
            return


def _closed_as_done(error: HomeportError) -> bool:
    """Whether the hub closed the connection because the agent had been unregistered."""
    return isinstance(error, ConnectionLost) and error.close_code == CloseCode.DONE
