"""Keeping an agent's session alive: connect, join, heartbeat, and again, at whichever hub.

How a hub is chosen is in `endpoints`, how a lost session is taken up again in `joining`. A
connection closed with 4409 is over for good: this client never fences off a newer session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent_client.errors import (
    CannotConnect,
    ConnectionLost,
    Fenced,
    HomeportError,
    Internal,
    Timeout,
)
from agent_client.lease import Lease, lease_of
from agent_client.session.heartbeats import Heartbeats
from agent_client.session.registering import Joining
from agent_client.session.reported_state import AgentState
from agent_client.transport.backoff import Backoff
from agent_client.transport.channel import Channel
from agent_client.transport.dialer import Dialer
from agent_client.transport.urls import without_secrets

log = logging.getLogger("homeport.client")


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
        keepalive: float,
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
        self._keepalive = keepalive
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_fenced = on_fenced
        self._joining = Joining(state, agent_id, sleep=sleep)
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
            why = f": {error.located}" if error else ""
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
                if isinstance(error, Fenced):
                    error = self._joining.disbelieve(error)
                self._last_error = error
                url = without_secrets(channel.url)
                log.warning("agent %s lost the hub %s: %s", self._agent_id, url, error)
                self._on_disconnected(error)
                await self._sleep(
                    self._dialer.endpoints.wait_after_loss(channel.url, error, self._backoff)
                )
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
        endpoints = self._dialer.endpoints
        while True:
            failures: list[HomeportError] = []
            for url in endpoints.in_turn():
                try:
                    return await self._introduce(url)
                except Fenced:
                    raise
                except HomeportError as error:
                    if self.lease is None and not error.retryable:
                        raise
                    log.warning("agent %s: %s", self._agent_id, error.located)
                    self._last_error = error
                    endpoints.defer(url)
                    failures.append(error)
            await self._sleep(endpoints.wait_after_round(failures, self._backoff))

    async def _introduce(self, url: str) -> Channel:
        endpoints = self._dialer.endpoints
        patience = endpoints.patience(self._timeout)
        until = asyncio.get_running_loop().time() + patience if endpoints.several else None
        connection = await self._dialer.dial(url, seconds=patience)
        channel = Channel(connection, timeout=self._timeout, on_end=self._channel_ended)
        try:
            async with asyncio.timeout_at(until):
                registered = await self._joining.join(channel)
        except TimeoutError:
            late = Timeout(f"the hub did not answer within {patience:g} s")
            channel.drop(late)
            raise late from None
        except BaseException as error:
            channel.drop(
                error
                if isinstance(error, HomeportError)
                else ConnectionLost("the client stopped connecting", retryable=False)
            )
            raise
        endpoints.prefer(url)
        self.lease = lease_of(registered, url)
        log.info(
            "agent %s %s at %s, epoch %d",
            self._agent_id,
            "resumed" if registered.resumed else "registered",
            self.lease.url,
            registered.epoch,
        )
        if not channel.ended:
            self._channel = channel
            self._changed.set()
        self._on_connected(self.lease)
        return channel

    async def _hold(self, channel: Channel) -> HomeportError:
        assert self.lease is not None
        heartbeats = Heartbeats(
            channel,
            self._state,
            self.lease,
            keepalive=self._keepalive,
            timeout=self._timeout,
            acknowledged=self._backoff.reset,
        )
        beating = asyncio.create_task(heartbeats.run(), name="homeport-heartbeat")
        try:
            return await channel.wait_ended()
        finally:
            beating.cancel()
            await asyncio.wait({beating})

    def _channel_ended(self, channel: Channel, error: HomeportError) -> None:
        if channel is self._channel:
            self._channel = None
            if self._over is None:
                self._changed.clear()
