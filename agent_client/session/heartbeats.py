"""An agent's heartbeats over one connection, and the pings between them.

A hub that does not answer is left although its socket seems open: a suspended process and a
half-open connection both accept what is sent to them. Pongs show within seconds that the hub is
alive, acknowledgements that it works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent_client.errors import (
    ConnectionLost,
    Fenced,
    HomeportError,
    NotFound,
    NotRegistered,
    Timeout,
    Unauthorized,
)
from agent_client.lease import Lease
from agent_client.loop_thread import SHARED
from agent_client.session.reported_state import ReportedState
from agent_client.transport.channel import Channel
from agent_client.transport.connection import PONG_TIMEOUT
from homeport_protocol.answers import HeartbeatAck
from homeport_protocol.record import AgentChanges, AgentSpec
from homeport_protocol.requests import Heartbeat

logger = logging.getLogger("homeport.client")

SESSION_UNKNOWN = (Fenced, NotFound, NotRegistered, Unauthorized)
"""Refusals which say that the connection holds no session of this agent: resuming decides."""

_SHORTEST_INTERVAL = 0.01

_LOOP_LATE = (
    "the event loop did not turn for %.1f s, or the process stood still: after %g s of silence "
    "agent %s is unreachable (AgentClient's heartbeat_in_thread prevents that)"
)

_THREAD_LATE = (
    "the process stood still for %.1f s, or code of it held Python's lock: after %g s of silence "
    "agent %s is unreachable"
)


def ack_timeout(lease: Lease, timeout: float) -> float:
    """Seconds that a hub has to acknowledge a heartbeat; at most `timeout`, as for any request.

    Half of the time between the next heartbeat and the lease's end, so that the other half remains
    for reaching another hub, but not less than a hub may wait for its Redis.
    """
    left = max(lease.heartbeat_timeout - lease.heartbeat_interval, lease.heartbeat_timeout / 3)
    return min(timeout, max(PONG_TIMEOUT, left / 2))


def heartbeat_of(said: AgentSpec | AgentChanges) -> Heartbeat:
    """What a heartbeat says: status and load."""
    return Heartbeat(id=0, status=said.status, load=said.load)


class Heartbeats:
    """Sends heartbeats at the hub's interval, and a ping every `keepalive` seconds between them.

    `acknowledged` is called for each heartbeat that the hub acknowledged. A heartbeat says that
    the program lives: none leaves before `program_turned`, which is that of `SessionLoop`.
    """

    def __init__(
        self,
        channel: Channel,
        state: ReportedState,
        lease: Lease,
        *,
        keepalive: float,
        timeout: float,
        acknowledged: Callable[[], None],
        program_turned: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._channel = channel
        self._state = state
        self._lease = lease
        self._keepalive = keepalive
        self._ack_timeout = ack_timeout(lease, timeout)
        self._pong_timeout = min(timeout, PONG_TIMEOUT)
        self._acknowledged = acknowledged
        self._program_turned = program_turned

    async def run(self) -> None:
        """Run until the connection ends; drop it when the hub does not answer."""
        loop = asyncio.get_running_loop()
        interval = self._lease.heartbeat_interval
        try:
            while True:
                due = loop.time() + max(interval, _SHORTEST_INTERVAL)
                while (rest := due - loop.time()) > self._keepalive:
                    await self._sleep(self._keepalive)
                    await self._channel.ping(self._pong_timeout)
                await self._sleep(max(rest, 0.0))
                await self._until_program_turned()
                interval = await self._heartbeat(interval)
        except (ConnectionLost, Timeout):
            return
        except SESSION_UNKNOWN as error:
            self._channel.drop(ConnectionLost(f"the session is not known any more: {error}"))
        except HomeportError as error:  # the connection ended with it
            logger.debug("no more heartbeats: %s", error)
        except Exception as error:
            logger.exception("the heartbeat of agent %s failed", self._lease.agent_id)
            self._channel.drop(ConnectionLost(f"the heartbeat failed: {error!r}"))

    async def _sleep(self, seconds: float) -> None:
        """Sleep, and warn when that took so long that the lease was in danger."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await asyncio.sleep(seconds)
        late = loop.time() - until
        if late > self._lease.heartbeat_timeout / 3:
            logger.warning(
                _THREAD_LATE if SHARED.current else _LOOP_LATE,
                late,
                self._lease.heartbeat_timeout,
                self._lease.agent_id,
            )

    async def _until_program_turned(self) -> None:
        if await self._program_turned(self._keepalive):
            return
        logger.warning(
            "the event loop of agent %s does not turn: no heartbeat is sent until it does",
            self._lease.agent_id,
        )
        while True:
            await self._channel.ping(self._pong_timeout)
            if await self._program_turned(self._keepalive):
                logger.warning("the event loop of agent %s turns again", self._lease.agent_id)
                return

    async def _heartbeat(self, interval: float) -> float:
        """Send one heartbeat, and return the interval to the next one."""
        words = self._state.vital()
        request = heartbeat_of(words.changes)
        try:
            ack = await self._channel.request(request, HeartbeatAck, seconds=self._ack_timeout)
        except HomeportError as error:
            self._state.doubt(words)
            if self._channel.ended or isinstance(
                error, (ConnectionLost, Timeout, *SESSION_UNKNOWN)
            ):
                raise
            logger.warning("a heartbeat of agent %s was refused: %s", self._lease.agent_id, error)
            return interval
        self._state.acknowledge(words)
        self._acknowledged()
        return ack.next_interval
