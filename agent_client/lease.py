"""The lease that a hub gave, as callbacks and callers see it."""

from __future__ import annotations

from msgspec import Struct

from agent_client.answers import copied
from agent_client.transport.urls import without_secrets
from agent_client.values import Value
from homeport_protocol.answers import Registered


class Lease(Struct, Value, frozen=True, kw_only=True):
    """The terms of this session; intervals are in seconds.

    `resumed` is true when an earlier session was resumed, false for a new registration. `revision`
    of `log` is where this agent entered the directory; a watch can begin there. `url` is the hub's,
    without secrets. The other fields are those of the hub's `registered` answer, without its
    session token, which is a secret.
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
    """The lease that the hub at `url` gave."""
    return copied(Lease, registered, url=without_secrets(url))
