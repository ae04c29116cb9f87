"""An agent's heartbeats over one connection, and the pings between them.

A hub that does not answer is left, whatever its sockets seem to be: a stopped process and a
half-open network both accept what is sent to them. Its pongs show within seconds that it lives,
its acknowledgements that it works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

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
from agent_client.session.reported_state import AgentState
from agent_client.transport.channel import Channel
from agent_client.transport.connection import PONG_PATIENCE
from homeport_protocol.answers import HeartbeatAck
from homeport_protocol.requests import Heartbeat

log = logging.getLogger("homeport.client")

SESSION_UNKNOWN = (Fenced, NotFound, NotRegistered, Unauthorized)
"""Answers which say that the connection is no session of this agent (any more): resume decides."""

_SHORTEST_INTERVAL = 0.01


def ack_patience(lease: Lease, timeout: float) -> float:
    """Seconds that a hub has to acknowledge a heartbeat, of the `timeout` of any request.

    Half of what is left between two heartbeats' distance and the lease's end, so that the other
    half remains for coming to another hub; but not less than a hub may wait for its Redis.
    """
    left = max(lease.heartbeat_timeout - lease.heartbeat_interval, lease.heartbeat_timeout / 3)
    return min(timeout, max(PONG_PATIENCE, left / 2))


class Heartbeats:
    """Heartbeats at the hub's interval, and a ping after `keepalive` seconds without one."""

    def __init__(
        self,
        channel: Channel,
        state: AgentState,
        lease: Lease,
        *,
        keepalive: float,
        timeout: float,
        acknowledged: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._state = state
        self._lease = lease
        self._keepalive = keepalive
        self._ack_patience = ack_patience(lease, timeout)
        self._pong_patience = min(timeout, PONG_PATIENCE)
        self._acknowledged = acknowledged

    async def run(self) -> None:
        """Go on until the connection ends; a hub that does not answer has it dropped."""
        loop = asyncio.get_running_loop()
        interval = self._lease.heartbeat_interval
        try:
            while True:
                due = loop.time() + max(interval, _SHORTEST_INTERVAL)
                while (rest := due - loop.time()) > self._keepalive:
                    await asyncio.sleep(self._keepalive)
                    await self._channel.ping(self._pong_patience)
                await asyncio.sleep(max(rest, 0.0))
                interval = await self._beat(interval)
        except (ConnectionLost, Timeout):
            return
        except SESSION_UNKNOWN as error:
            self._channel.drop(ConnectionLost(f"the session is not known any more: {error}"))
        except HomeportError as error:  # the connection ended with it
            log.debug("no more heartbeats: %s", error)
        except Exception as error:
            log.exception("the heartbeat of agent %s failed", self._lease.agent_id)
            self._channel.drop(ConnectionLost(f"the heartbeat failed: {error!r}"))

    async def _beat(self, interval: float) -> float:
        """Send a heartbeat; returns the interval to the next one."""
        spec = self._state.current()
        request = Heartbeat(id=0, status=spec.status, load=spec.load)
        try:
            ack = await self._channel.request(request, HeartbeatAck, seconds=self._ack_patience)
        except (ConnectionLost, Timeout, *SESSION_UNKNOWN):
            raise
        except HomeportError as error:
            if self._channel.ended:
                raise
            log.warning("a heartbeat of agent %s was refused: %s", self._lease.agent_id, error)
            return interval
        self._acknowledged()
        return ack.next_interval
