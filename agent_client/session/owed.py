"""Sending what is owed, by itself, over one connection."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec

from agent_client.errors import ConnectionLost, HomeportError, Timeout
from agent_client.session.heartbeats import SESSION_UNKNOWN
from agent_client.session.reported_state import ReportedState
from agent_client.transport.backoff import Backoff
from agent_client.transport.channel import Channel
from homeport_protocol.answers import Updated
from homeport_protocol.record import AgentChanges
from homeport_protocol.requests import Update

logger = logging.getLogger("homeport.client")


class OwedUpdates:
    """Sends what is owed as updates, as soon as it is owed.

    A refusal discards it, since nobody waits for the answer. A hub that cannot do it now is asked
    again.
    """

    def __init__(
        self,
        channel: Channel,
        state: ReportedState,
        *,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._channel = channel
        self._state = state
        self._sleep = sleep
        self._backoff = Backoff()

    async def run(self) -> None:
        """Run until the connection ends."""
        try:
            while not self._channel.ended:
                await self._state.owing.wait()
                await self._send()
        except SESSION_UNKNOWN as error:
            self._channel.drop(ConnectionLost(f"the session is not known any more: {error}"))
        except HomeportError as error:  # the connection ended with it
            logger.debug("no more owed updates: %s", error)
        except Exception as error:
            logger.exception("an owed update failed")
            self._channel.drop(ConnectionLost(f"an owed update failed: {error!r}"))

    async def _send(self) -> None:
        words = self._state.owed()
        if words is None:
            return
        try:
            await self._channel.request(update_of(words.changes), Updated)
        except (ConnectionLost, Timeout, *SESSION_UNKNOWN):
            self._state.doubt(words)
            raise
        except HomeportError as error:
            if error.retryable:
                self._state.doubt(words)
                if self._channel.ended:
                    raise
                await self._sleep(self._backoff.next(error.retry_after))
                return
            logger.warning("what no hub had acknowledged is refused, and forgotten: %s", error)
            self._state.drop(words)
        else:
            self._backoff.reset()
            self._state.acknowledge(words)


def update_of(changes: AgentChanges) -> Update:
    """The request that says `changes`."""
    return Update(id=0, **msgspec.structs.asdict(changes))
