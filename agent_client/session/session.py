"""Keeping an agent's session alive: connect, register, heartbeat, and reconnect at any of the hubs.

How a hub is chosen is in `transport.endpoints`, how a lost session is resumed in `registering`.
Close code 4409 ends the session for good: this client never fences off a newer session. So does the
removal of its agent, by an operator or elsewhere; a token that is refused for good
(`transport.revocation`); and the hub's answer that this token may not register the agent, unless
the token is from a file, which may get another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent_client.errors import (
    AgentRemoved,
    CannotConnect,
    ConnectionLost,
    Fenced,
    Forbidden,
    HomeportError,
    Internal,
    Timeout,
)
from agent_client.lease import Lease, lease_of
from agent_client.session.heartbeats import Heartbeats
from agent_client.session.owed import OwedUpdates
from agent_client.session.registering import Registrar
from agent_client.session.reported_state import ReportedState
from agent_client.transport.backoff import Backoff
from agent_client.transport.channel import Channel
from agent_client.transport.dialer import Dialer
from agent_client.transport.urls import without_secrets
from homeport_protocol.errors import CloseCode

logger = logging.getLogger("homeport.client")


class Session:
    """The session of one agent over one connection after the other.

    `on_connected`, `on_disconnected` and `on_fenced` are called on the session's event loop and
    must not block. `program_turned` is that of `SessionLoop`.
    """

    def __init__(
        self,
        dialer: Dialer,
        state: ReportedState,
        agent_id: str,
        *,
        exclusive: bool,
        backoff: Backoff,
        sleep: Callable[[float], Awaitable[object]],
        timeout: float,
        keepalive: float,
        on_connected: Callable[[Lease], None],
        on_disconnected: Callable[[HomeportError], None],
        on_fenced: Callable[[Fenced], None],
        program_turned: Callable[[float], Awaitable[bool]],
    ) -> None:
        self.lease: Lease | None = None
        self._dialer = dialer
        self._state = state
        self._backoff = backoff
        self._sleep = sleep
        self._timeout = timeout
        self._keepalive = keepalive
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_fenced = on_fenced
        self._program_turned = program_turned
        self._registrar = Registrar(state, agent_id, exclusive=exclusive, sleep=sleep)
        self._channel: Channel | None = None
        self._changed = asyncio.Event()
        self._final_error: HomeportError | None = None
        self._last_error: HomeportError | None = None

    @property
    def agent_id(self) -> str:
        """The agent's id; it may be replaced until the session runs."""
        return self._registrar.agent_id

    @agent_id.setter
    def agent_id(self, agent_id: str) -> None:
        self._registrar.agent_id = agent_id

    @property
    def current(self) -> Channel | None:
        """The channel of the session, while there is one."""
        return self._channel

    @property
    def final_error(self) -> HomeportError | None:
        """Why the session ended for good; None until then."""
        return self._final_error

    async def channel(self, seconds: float | None) -> Channel:
        """Wait up to `seconds` for the channel of the session.

        Raises `final_error` when the session has ended; on a timeout CannotConnect before the
        first registration, and ConnectionLost later.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if self._final_error is not None:
                        raise self._final_error.with_traceback(None)
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
        """Keep the session until it ends or this is cancelled; never raises an Exception."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                channel = await self._establish()
                began = loop.time()
                error = await self._heartbeat_until_lost(channel)
                if isinstance(error, Fenced):
                    error = self._registrar.as_connection_lost(error)
                done = isinstance(error, ConnectionLost) and error.close_code == CloseCode.DONE
                self._registrar.closed_as_done = done
                self._last_error = error
                url = without_secrets(channel.url)
                logger.warning("agent %s lost the hub %s: %s", self.agent_id, url, error)
                self._on_disconnected(error)
                await self._sleep(
                    self._dialer.endpoints.wait_after_loss(
                        channel.url, error, self._backoff, lived=loop.time() - began
                    )
                )
        except Fenced as error:
            logger.error("agent %s is fenced off, and stops: %s", self.agent_id, error)
            self.end(error)
            if self.lease is not None:
                self._on_fenced(error)
        except HomeportError as error:
            if self.lease is not None:
                logger.error("agent %s stops: %s", self.agent_id, error)
            self.end(error)
        except Exception as error:
            logger.exception("the session of agent %s failed", self.agent_id)
            self.end(Internal(f"the client failed: {error!r}", retryable=False))

    def end(self, error: HomeportError) -> None:
        """End the session: waiting and later calls raise `error`. Only the first call counts."""
        if self._final_error is None:
            self._final_error = error
            self._changed.set()

    async def _establish(self) -> Channel:
        endpoints = self._dialer.endpoints
        while True:
            failures: list[HomeportError] = []
            for url in endpoints.in_turn():
                try:
                    return await self._connect(url)
                except (Fenced, AgentRemoved):
                    raise
                except HomeportError as error:
                    if error.final or (self.lease is None and not error.retryable):
                        raise
                    logger.warning("agent %s: %s", self.agent_id, error.located)
                    self._last_error = error
                    endpoints.defer(url)
                    failures.append(error)
            await self._sleep(endpoints.wait_after_round(failures, self._backoff))

    async def _connect(self, url: str) -> Channel:
        endpoints = self._dialer.endpoints
        seconds = endpoints.attempt_timeout(self._timeout)
        until = asyncio.get_running_loop().time() + seconds if endpoints.several else None
        connection = await self._dialer.dial(url, seconds=seconds)
        channel = Channel(connection, timeout=self._timeout, on_end=self._channel_ended)
        try:
            async with asyncio.timeout_at(until):
                registered = await self._registrar.register(channel)
        except TimeoutError:
            late = Timeout(f"the hub did not answer within {seconds:g} s")
            channel.drop(late)
            raise late from None
        except BaseException as error:
            if isinstance(error, Forbidden) and not channel.ended:
                error.final = not self._dialer.may_come_as_another(url)
            channel.drop(
                error
                if isinstance(error, HomeportError)
                else ConnectionLost("the client stopped connecting", retryable=False)
            )
            raise
        endpoints.prefer(url)
        self.lease = lease_of(registered, url)
        logger.info(
            "agent %s %s at %s, epoch %d",
            self.agent_id,
            "resumed" if registered.resumed else "registered",
            self.lease.url,
            registered.epoch,
        )
        if not channel.ended:
            self._channel = channel
            self._changed.set()
        self._on_connected(self.lease)
        return channel

    async def _heartbeat_until_lost(self, channel: Channel) -> HomeportError:
        assert self.lease is not None
        heartbeats = Heartbeats(
            channel,
            self._state,
            self.lease,
            keepalive=self._keepalive,
            timeout=self._timeout,
            acknowledged=self._backoff.reset,
            program_turned=self._program_turned,
        )
        owed = OwedUpdates(channel, self._state, sleep=self._sleep)
        tasks = {
            asyncio.create_task(heartbeats.run(), name="homeport-heartbeat"),
            asyncio.create_task(owed.run(), name="homeport-owed"),
        }
        try:
            return await channel.wait_ended()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _channel_ended(self, channel: Channel, error: HomeportError) -> None:
        if channel is self._channel:
            self._channel = None
            if self._final_error is None:
                self._changed.clear()
