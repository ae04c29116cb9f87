"""Asking a hub for a session: to register an agent, or to take up its registration again.

| the hub's answer to `resume` | what follows |
|---|---|
| `registered` | the same registration goes on under a new epoch |
| `fenced`, and the record's epoch is newer than ours | over for good: another session took over |
| any other refusal that is not retryable (`not_found`, ...) | registered anew under the same id |
| a retryable error, or no answer | the next hub's turn, then back-off |

Changes owed from before go with it; should they be what a hub refuses, they are given up.

**Strays.** An attempt that was given up may still take effect: a stopped hub that wakes up
performs what it finds in its sockets, and fences off the session that this agent has elsewhere by
now. So while there are attempts whose outcome nobody knows, being fenced proves nothing yet. The
token does: resuming works unless somebody registered anew. If somebody did, a stray of ours has no
connection behind it, and another program's session has.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from msgspec import structs

from agent_client.errors import (
    BadRequest,
    ConnectionLost,
    Fenced,
    HomeportError,
    NotFound,
    TooLarge,
)
from agent_client.session.reported_state import AgentState
from agent_client.transport.channel import Channel
from homeport_protocol.answers import Agent, Registered
from homeport_protocol.record import NO_CHANGES, AgentChanges
from homeport_protocol.requests import Get, Register, Resume

log = logging.getLogger("homeport.client")

_LOOKS = 3
"""How often the record is looked at before a session in our place counts as another program's: a
hub that performs a stray sees only a moment later that its connection is gone."""

_LOOK_AGAIN = 0.5
"""Seconds between two looks."""


class Joining:
    """One agent's registration, over all its sessions: its token, its epoch, its strays."""

    def __init__(
        self, state: AgentState, agent_id: str, *, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self._state = state
        self._agent_id = agent_id
        self._sleep = sleep
        self._token: str | None = None
        self._epoch = 0
        self._strays = 0
        self._disputed = False

    async def join(self, channel: Channel) -> Registered:
        """Have a session on `channel`. Raises Fenced when it is over for good.

        Any other error that is not retryable is the hub's refusal of a registration.
        """
        registered = await self._settled(channel)
        self._token = registered.session_token
        self._epoch = registered.epoch
        self._disputed = False
        return registered

    def disbelieve(self, error: Fenced) -> ConnectionLost:
        """Raise `error`, unless a stray may have fenced us off: then it is a lost connection."""
        if not self._strays:
            raise error
        self._strays -= 1  # each can do it once, so that no fight with another program lasts
        self._disputed = True
        lost = ConnectionLost(f"fenced off, perhaps by an earlier attempt of this agent: {error}")
        lost.url = error.url
        return lost

    async def _settled(self, channel: Channel) -> Registered:
        owed = self._state.owed
        try:
            registered = await self._resumed(channel, owed) or await self._registered(channel)
        except (BadRequest, TooLarge) as error:
            if owed != NO_CHANGES:
                log.warning("changes that no hub acknowledged are given up: %s", error)
                self._state.forget_owed()
                error.retryable = True
            raise
        self._state.settle(owed)
        return registered

    async def _registered(self, channel: Channel) -> Registered:
        request = Register(id=0, agent=self._state.current(), agent_id=self._agent_id)
        return await self._ask(channel, request)

    async def _resumed(self, channel: Channel, owed: AgentChanges) -> Registered | None:
        """None when there is nothing to resume: register."""
        if self._token is None:
            return None
        spec = self._state.current()
        # An agent that says nothing on its return counts as healthy: status and load always go.
        changes = structs.replace(owed, status=spec.status, load=spec.load)
        request = Resume(id=0, agent_id=self._agent_id, session_token=self._token, agent=changes)
        try:
            return await self._ask(channel, request)
        except HomeportError as error:
            if channel.ended or error.retryable:
                raise
            if isinstance(error, Fenced) and await self._superseded(channel):
                raise
            log.info("agent %s registers anew: %s", self._agent_id, error)
            self._token = None
            return None

    async def _ask(self, channel: Channel, request: Register | Resume) -> Registered:
        """Ask for a session; unless the outcome becomes known, this is a stray from now on."""
        self._strays += 1
        try:
            registered = await channel.request(request, Registered)
        except Fenced as error:
            self._strays -= 1
            if channel.ended:
                raise self.disbelieve(error) from None
            raise
        except HomeportError as error:
            if not error.retryable and not channel.ended:
                self._strays -= 1  # a plain refusal
            raise
        self._strays -= 1
        return registered

    async def _superseded(self, channel: Channel) -> bool:
        """Whether another program's session has taken this agent's place."""
        doubtful = self._disputed or self._strays > 0
        for look in range(_LOOKS if doubtful else 1):
            if look:
                await self._sleep(_LOOK_AGAIN)
            try:
                agent = (await channel.request(Get(id=0, agent_id=self._agent_id), Agent)).agent
            except NotFound:
                return False
            if agent.epoch <= self._epoch:
                return False
            if doubtful and agent.health.connection != "websocket":
                return False  # a stray: nobody is there
        return True
