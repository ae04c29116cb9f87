"""Keeping an agent's session with a hub alive: register, heartbeat, reconnect, resume.

How a lost session is taken up again:

| the hub's answer to `resume` | what follows |
|---|---|
| `registered` | the same registration goes on under a new epoch |
| `fenced`, and the record's epoch is newer than ours | over for good: another session took over |
| any other refusal that is not retryable (`not_found`, ...) | registered anew under the same id |
| a retryable error, or no answer | the next hub's turn, then back-off |

Changes owed from before go with it; should they be what a hub refuses, they are given up.

A connection closed with 4409 is over for good, too. This client never fences off a newer one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec import structs

from agent_client.backoff import Backoff
from agent_client.channel import Channel
from agent_client.connection import Dialer
from agent_client.errors import (
    BadRequest,
    CannotConnect,
    ConnectionLost,
    Fenced,
    HomeportError,
    Internal,
    NotFound,
    NotRegistered,
    Timeout,
    TooLarge,
    Unauthorized,
)
from agent_client.lease import Lease, lease_of
from agent_client.state import AgentState
from agent_client.urls import without_secrets
from protocol.answers import Agent, HeartbeatAck, Registered
from protocol.record import NO_CHANGES, AgentChanges
from protocol.requests import Get, Heartbeat, Register, Resume

log = logging.getLogger("homeport.client")

SESSION_UNKNOWN = (Fenced, NotFound, NotRegistered, Unauthorized)
"""Answers which say that the connection is no session of this agent (any more): resume decides."""

_SHORTEST_INTERVAL = 0.01


class Session:
    """The session of one agent, over as many connections as it takes.

    `on_connected`, `on_disconnected` and `on_fenced` are called on the loop and must not block.
    """

    def __init__(
        self,
        dialer: Dialer,
        state: AgentState,
        agent_id: str,
        *,
        backoff: Backoff,
        sleep: Callable[[float], Awaitable[object]],
        timeout: float,
        on_connected: Callable[[Lease], None],
        on_disconnected: Callable[[HomeportError], None],
        on_fenced: Callable[[Fenced], None],
    ) -> None:
        self.lease: Lease | None = None
        self._dialer = dialer
        self._state = state
        self._agent_id = agent_id
        self._backoff = backoff
        self._sleep = sleep
        self._timeout = timeout
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_fenced = on_fenced
        self._token: str | None = None
        self._channel: Channel | None = None
        self._changed = asyncio.Event()
        self._over: HomeportError | None = None
        self._last_error: HomeportError | None = None

    @property
    def current(self) -> Channel | None:
        """The channel of the session, while there is one."""
        return self._channel

    @property
    def over(self) -> HomeportError | None:
        """Why the session will never be connected again, once that is so."""
        return self._over

    async def channel(self, seconds: float | None) -> Channel:
        """The channel of the session, waiting for it up to `seconds`.

        Raises what ended the session for good; CannotConnect or ConnectionLost when the time is
        up.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if self._over is not None:
                        raise self._over.with_traceback(None)
                    if self._channel is not None:
                        return self._channel
                    await self._changed.wait()
        except TimeoutError:
            error = self._last_error
            why = f": {error}" if error else ""
            words = f"not connected to a hub within {seconds:g} s{why}"
            if self.lease is None:
                raise CannotConnect(words) from error
            raise ConnectionLost(words) from error

    async def run(self) -> None:
        """Hold the session until it is over or this is cancelled; never raises an Exception."""
        try:
            while True:
                channel = await self._establish()
                error = await self._hold(channel)
                self._last_error = error
                if isinstance(error, Fenced):
                    raise error
                log.warning("agent %s lost its hub: %s", self._agent_id, error)
                self._on_disconnected(error)
                await self._sleep(self._backoff.next(error.retry_after))
        except Fenced as error:
            log.error("agent %s is fenced off, and stops: %s", self._agent_id, error)
            self.end(error)
            if self.lease is not None:
                self._on_fenced(error)
        except HomeportError as error:
            self.end(error)
        except Exception as error:
            log.exception("the session of agent %s failed", self._agent_id)
            self.end(Internal(f"the client failed: {error!r}", retryable=False))

    def end(self, error: HomeportError) -> None:
        """The session is over: present and later calls raise `error`. The first one counts."""
        if self._over is None:
            self._over = error
            self._changed.set()

    async def _establish(self) -> Channel:
        while True:
            hint = 0.0
            for url in self._dialer.endpoints.in_turn():
                try:
                    return await self._introduce(url)
                except Fenced:
                    raise
                except HomeportError as error:
                    if self.lease is None and not error.retryable:
                        raise
                    log.warning("agent %s: %s", self._agent_id, error)
                    self._last_error = error
                    hint = max(hint, error.retry_after or 0.0)
            await self._sleep(self._backoff.next(hint))

    async def _introduce(self, url: str) -> Channel:
        connection = await self._dialer.dial(url)
        channel = Channel(connection, timeout=self._timeout, on_end=self._channel_ended)
        try:
            registered = await self._registered(channel)
        except BaseException as error:
            channel.drop(
                error
                if isinstance(error, HomeportError)
                else ConnectionLost("the client stopped connecting", retryable=False)
            )
            raise
        self._dialer.endpoints.prefer(url)
        self._token = registered.session_token
        self.lease = lease_of(registered)
        log.info(
            "agent %s %s at %s, epoch %d",
            self._agent_id,
            "resumed" if registered.resumed else "registered",
            without_secrets(url),
            registered.epoch,
        )
        if not channel.ended:
            self._channel = channel
            self._changed.set()
        self._on_connected(self.lease)
        return channel

    async def _registered(self, channel: Channel) -> Registered:
        owed = self._state.owed
        try:
            if self._token is not None:
                registered = await self._resumed(channel, self._token, owed)
                if registered is not None:
                    self._state.settle(owed)
                    return registered
                self._token = None
            request = Register(id=0, agent=self._state.current(), agent_id=self._agent_id)
            registered = await channel.request(request, Registered)
        except (BadRequest, TooLarge) as error:
            if owed != NO_CHANGES:
                log.warning("changes that no hub acknowledged are given up: %s", error)
                self._state.forget_owed()
                error.retryable = True
            raise
        self._state.settle(owed)
        return registered

    async def _resumed(self, channel: Channel, token: str, owed: AgentChanges) -> Registered | None:
        spec = self._state.current()
        # An agent that says nothing on its return counts as healthy: status and load always go.
        changes = structs.replace(owed, status=spec.status, load=spec.load)
        request = Resume(id=0, agent_id=self._agent_id, session_token=token, agent=changes)
        try:
            return await channel.request(request, Registered)
        except HomeportError as error:
            if channel.ended or error.retryable:
                raise
            if isinstance(error, Fenced) and await self._superseded(channel):
                raise
            log.info("agent %s registers anew: %s", self._agent_id, error)
            return None

    async def _superseded(self, channel: Channel) -> bool:
        assert self.lease is not None  # there is a token, so there was a lease
        try:
            answer = await channel.request(Get(id=0, agent_id=self._agent_id), Agent)
        except NotFound:
            return False
        epoch: int = answer.agent.epoch
        return epoch > self.lease.epoch

    async def _hold(self, channel: Channel) -> HomeportError:
        beating = asyncio.create_task(self._beat(channel), name="homeport-heartbeat")
        try:
            return await channel.wait_ended()
        finally:
            beating.cancel()
            await asyncio.wait({beating})

    async def _beat(self, channel: Channel) -> None:
        assert self.lease is not None
        interval = self.lease.heartbeat_interval
        while True:
            await asyncio.sleep(max(interval, _SHORTEST_INTERVAL))
            spec = self._state.current()
            try:
                request = Heartbeat(id=0, status=spec.status, load=spec.load)
                ack = await channel.request(request, HeartbeatAck)
            except (ConnectionLost, Timeout):
                return
            except SESSION_UNKNOWN as error:
                channel.drop(ConnectionLost(f"the session is not known any more: {error}"))
                return
            except HomeportError as error:
                log.warning("a heartbeat of agent %s was refused: %s", self._agent_id, error)
            except Exception as error:
                log.exception("the heartbeat of agent %s failed", self._agent_id)
                channel.drop(ConnectionLost(f"the heartbeat failed: {error!r}"))
                return
            else:
                interval = ack.next_interval
                self._backoff.reset()

    def _channel_ended(self, channel: Channel, error: HomeportError) -> None:
        if channel is self._channel:
            self._channel = None
            if self._over is None:
                self._changed.clear()
