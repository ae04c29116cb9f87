"""Registering an agent at a hub, or resuming the registration that it has.

| the hub's answer to `resume` | what follows |
|---|---|
| `registered` | the same registration goes on under a new epoch |
| `fenced`, and the record's epoch is newer than ours | over for good: another session took over |
| `not_found`, and the hub had closed the session as done | over for good: the agent was removed |
| any other refusal that is not retryable (`not_found`, ...) | registered anew under the same id |
| a retryable error, or no answer | the next hub's turn, then back-off |

A `conflict` says that another session has the id. It is retryable when programs take the id from
each other, and also when the registration is exclusive and a stray may be that session; any other
is final for an agent that has not been registered yet.

What no hub has acknowledged is sent along. If a hub refuses it, the agent comes back without it,
and it is sent by itself then, so that only what is wrong is refused.

**Strays.** An attempt that was abandoned may still take effect: a suspended hub that wakes up
handles what it finds in its sockets, and so fences off the session that this agent has at another
hub by now. While the outcome of an attempt is unknown, being fenced therefore proves nothing yet.
The token does: resuming works unless another registration was made. If one was, a stray of this
client has no connection behind it, and another program's session has. What the stray said may have
undone newer words, so the next attempt says everything.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from msgspec import UNSET

from agent_client.errors import (
    AgentRemoved,
    BadRequest,
    Conflict,
    ConnectionLost,
    Fenced,
    HomeportError,
    NotFound,
    TooLarge,
)
from agent_client.session.reported_state import Key, ReportedState, Words
from agent_client.transport.channel import Channel
from homeport_protocol.answers import Agent, Registered
from homeport_protocol.requests import Get, Register, Resume

logger = logging.getLogger("homeport.client")

_CHECKS = 3
"""How often the record is read before a newer session counts as another program's.

A hub that handled a stray notices only a moment later that the connection is gone.
"""

_CHECK_INTERVAL = 0.5
"""Seconds between two of these reads."""


class Registrar:
    """Registers one agent at one hub after another: keeps its token, its epoch, its strays."""

    def __init__(
        self,
        state: ReportedState,
        agent_id: str,
        *,
        exclusive: bool,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._state = state
        self.agent_id = agent_id
        self._exclusive = exclusive or UNSET
        self._sleep = sleep
        self._token: str | None = None
        self._epoch = 0
        self._strays = 0
        self._disputed = False
        self._strays_said: set[Key] = set()
        self.closed_as_done = False
        """The hub closed the last session with 1000; a proxy in front of it may do so as well."""

    async def register(self, channel: Channel) -> Registered:
        """Resume or register on `channel`.

        Raises Fenced when another session took over for good, and AgentRemoved when the agent was
        removed; any other error that is not retryable is the hub's refusal of a registration.
        """
        registered = await self._resume(channel) or await self._register(channel)
        self._token = registered.session_token
        self._epoch = registered.epoch
        self._disputed = self.closed_as_done = False
        return registered

    def as_connection_lost(self, error: Fenced) -> ConnectionLost:
        """Treat being fenced as a lost connection if a stray may be the cause, else raise it."""
        if not self._strays:
            raise error
        self._strays -= 1  # each excuses one fencing, so that a fight with another program ends
        self._disputed = True
        self._state.distrust(self._strays_said)
        lost = ConnectionLost(f"fenced off, perhaps by an earlier attempt of this agent: {error}")
        lost.url = error.url
        return lost

    async def _register(self, channel: Channel) -> Registered:
        words = self._state.unsettled()
        request = Register(
            id=0,
            agent=self._state.current(),
            agent_id=self.agent_id,
            exclusive=self._exclusive,
        )
        return await self._request(channel, request, words)

    async def _resume(self, channel: Channel) -> Registered | None:
        """None when there is no registration to resume."""
        if self._token is None:
            return None
        words = self._state.unsettled()
        request = Resume(
            id=0, agent_id=self.agent_id, session_token=self._token, agent=words.changes
        )
        try:
            return await self._request(channel, request, words)
        except HomeportError as error:
            if channel.ended or error.retryable:
                raise
            if isinstance(error, Fenced) and await self._superseded(channel):
                raise
            if isinstance(error, NotFound) and self.closed_as_done:
                raise AgentRemoved from error
            logger.info("agent %s registers anew: %s", self.agent_id, error)
            self._token = None
            return None

    async def _request(
        self, channel: Channel, request: Register | Resume, words: Words
    ) -> Registered:
        """Request a session; an attempt without a known outcome stays counted as a stray."""
        self._strays += 1
        try:
            registered = await channel.request(request, Registered)
        except Fenced as error:
            self._strays -= 1
            if channel.ended:
                raise self.as_connection_lost(error) from None
            raise
        except HomeportError as error:
            if not channel.ended and (isinstance(error, Conflict) or not error.retryable):
                self._strays -= 1  # a plain refusal
                if isinstance(error, Conflict) and self._strays:
                    error.retryable = True  # perhaps it is a stray that holds the agent
            else:
                self._state.doubt(words)
                self._strays_said.update(words.sources)
            if isinstance(error, BadRequest | TooLarge) and self._state.withhold(words):
                logger.warning("agent %s comes back without it: %s", self.agent_id, error)
                error.retryable = True
            raise
        self._strays -= 1
        self._state.acknowledge(words)
        return registered

    async def _superseded(self, channel: Channel) -> bool:
        """Whether another program's session has replaced this agent's."""
        maybe_stray = self._disputed or self._strays > 0
        for check in range(_CHECKS if maybe_stray else 1):
            if check:
                await self._sleep(_CHECK_INTERVAL)
            try:
                agent = (await channel.request(Get(id=0, agent_id=self.agent_id), Agent)).agent
            except NotFound:
                return False
            if agent.epoch <= self._epoch:
                return False
            if maybe_stray and agent.health.connection != "websocket":
                return False  # a stray: it has no connection
        return True
