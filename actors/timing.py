"""The settings that shape an agent's life, and those that follow from them."""

from __future__ import annotations

from msgspec import Struct

CHANGE_TIMEOUT = 2.0
"""Seconds that a registration or change may wait for the store before it is `unavailable`."""

HUB_LEASE = 10.0
"""Seconds for which a hub that is no longer heard of counts as living."""

READING_TIMEOUT = 30.0
"""Seconds after which a peer that does not read what was sent is closed with 4413."""


class Timing(Struct, frozen=True, kw_only=True):
    """Times in seconds, fractions allowed; section 2 of the contract defines them.

    `loss_share` (0 to 1) and `loss_hold` are those of `actors.cluster.mass_loss`.
    """

    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 45.0
    lease_ttl: float = 60.0
    resume_window: float = 5.0
    loss_share: float = 0.15
    loss_hold: float = 600.0

    @property
    def ping_interval(self) -> float:
        """Silence after which a connection is pinged: two pings fit before the timeout."""
        return self.heartbeat_timeout / 3

    @property
    def stall_check_interval(self) -> float:
        """Seconds between two looks whether the hub itself was stalled."""
        return min(1.0, self.heartbeat_timeout / 10)

    @property
    def stall_threshold(self) -> float:
        """Lateness of such a look that counts as an absence of the hub, not of the agents."""
        return min(1.0, max(0.1, self.heartbeat_timeout / 10))
