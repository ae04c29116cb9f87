"""How every ask of the brain ends: in one of these, or in a ProtocolError."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from homeport_protocol.errors import ProtocolError


class Lease(Struct, frozen=True, gc=False):
    """A registration or resumption is durable."""

    agent_id: str
    session_token: str
    epoch: int
    resumed: bool
    registered_at: str
    log: str
    revision: int


class Acknowledged(Struct, frozen=True, gc=False):
    """A heartbeat, change or unregistration was accepted.

    `revision` is the directory change that last touched the record. `durable` is false when the
    hub heard it and the store could not be reached; only heartbeats end so.
    """

    revision: int
    durable: bool
    timestamp: str


Outcome = Lease | Acknowledged | ProtocolError
Reply = Callable[[Outcome], None]
"""Called exactly once, now or later."""
