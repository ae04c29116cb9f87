"""Heartbeats: how long a hub has to acknowledge one."""

from __future__ import annotations

from agent_client import Lease
from agent_client.session.heartbeats import ack_timeout
from agent_client.transport.connection import PONG_TIMEOUT
from agent_client.transport.endpoints import ATTEMPT_TIMEOUT, SPREAD


def lease(interval: float, timeout: float) -> Lease:
    return Lease(
        agent_id="",
        epoch=1,
        resumed=False,
        registered_at="",
        heartbeat_interval=interval,
        heartbeat_timeout=timeout,
        lease_ttl=60.0,
        log="",
        revision=1,
        url="",
    )


def test_a_heartbeat_not_acknowledged_leaves_time_to_come_elsewhere_before_the_lease_ends() -> None:
    assert ack_timeout(lease(30.0, 45.0), 10.0) == 7.5
    for interval, timeout in [(30.0, 45.0), (15.0, 45.0), (7.5, 20.0), (10.0, 30.0)]:
        noticed = interval + ack_timeout(lease(interval, timeout), 10.0)
        assert noticed + SPREAD + ATTEMPT_TIMEOUT < timeout


def test_a_hub_may_take_as_long_for_a_heartbeat_as_its_redis_may() -> None:
    assert ack_timeout(lease(0.5, 1.0), 10.0) == PONG_TIMEOUT
    assert ack_timeout(lease(30.0, 30.0), 10.0) == 5.0
    assert ack_timeout(lease(30.0, 45.0), 1.0) == 1.0
