"""The lease that a hub gave, as callbacks and callers see it."""

from __future__ import annotations

from msgspec import Struct

from agent_client.transport.urls import without_secrets
from homeport_protocol.answers import Registered


class Lease(Struct, frozen=True, kw_only=True):
    """The terms of this session; intervals are in seconds.

    `resumed` is true when an earlier session was taken up, false for a new registration.
    `revision` of `log` is where this agent entered the directory; a watch can begin there. `url`
    is the hub's, without secrets.
    """

    agent_id: str
    epoch: int
    resumed: bool
    registered_at: str
    heartbeat_interval: float
    heartbeat_timeout: float
    lease_ttl: float
    log: str
    revision: int
    url: str


def lease_of(registered: Registered, url: str) -> Lease:
    """The answer of the hub at `url` without its session token, which is a secret."""
    return Lease(
        agent_id=registered.agent_id,
        epoch=registered.epoch,
        resumed=registered.resumed,
        registered_at=registered.registered_at,
        heartbeat_interval=registered.heartbeat_interval,
        heartbeat_timeout=registered.heartbeat_timeout,
        lease_ttl=registered.lease_ttl,
        log=registered.log,
        revision=registered.revision,
        url=without_secrets(url),
    )
