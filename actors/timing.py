"""The settings that shape an agent's life, and those that follow from them."""

from __future__ import annotations

from msgspec import Struct

CHANGE_TIMEOUT = 2.0
"""Seconds that a registration or change may wait for the store before it is `unavailable`."""

MAX_CHANGE_TIMEOUT = 5.0
"""Seconds that it may wait for a store that is far away."""

HUB_LEASE = 10.0
"""Seconds for which a hub that is no longer heard of counts as living."""


FLAPPING = 1.5
"""Multiple of `heartbeat_interval` below which a `heartbeat_timeout` is likely to be missed."""


class ImpossibleTimesError(ValueError):
    """Two times that cannot work together: one sentence, and the names of both settings."""

    def __init__(self, sentence: str, names: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.names = names


SHARED = (
    *("heartbeat_interval", "heartbeat_timeout", "lease_ttl"),
    *("resume_window", "loss_share", "loss_hold"),
)
"""The times that all hubs of a cluster should have in common."""


class Timing(Struct, frozen=True, kw_only=True):
    """Times in seconds, fractions allowed; section 2 of the contract defines them.

    `send_timeout` is how long a peer may read nothing of what was sent to it. `loss_share` (0 to 1)
    and `loss_hold` are those of `actors.cluster.mass_loss`; a `loss_hold` of None depends on the
    size of the fleet. Raises ImpossibleTimesError for times that cannot work together.
    """

    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 45.0
    lease_ttl: float = 60.0
    resume_window: float = 5.0
    loss_share: float = 0.15
    loss_hold: float | None = None
    send_timeout: float = 30.0

    def __post_init__(self) -> None:
        interval, timeout, ttl = self.heartbeat_interval, self.heartbeat_timeout, self.lease_ttl
        if timeout <= interval:
            raise ImpossibleTimesError(
                f"heartbeat_timeout ({timeout:g} s) must be longer than heartbeat_interval "
                f"({interval:g} s), or agents are given up between two heartbeats; set "
                f"heartbeat_timeout to {FLAPPING * interval:g} or more, or heartbeat_interval to "
                f"{timeout / FLAPPING:g} or less",
                ("heartbeat_timeout", "heartbeat_interval"),
            )
        if ttl < timeout:
            raise ImpossibleTimesError(
                f"lease_ttl ({ttl:g} s) must not be shorter than heartbeat_timeout ({timeout:g} "
                f"s), or the stored entries of living agents run out; set lease_ttl to "
                f"{timeout:g} or more, or heartbeat_timeout to {ttl:g} or less",
                ("lease_ttl", "heartbeat_timeout"),
            )

    @property
    def warning(self) -> str | None:
        """One sentence if living agents are likely to be unreachable now and then."""
        if self.heartbeat_timeout >= FLAPPING * self.heartbeat_interval:
            return None
        return (
            f"heartbeat_timeout ({self.heartbeat_timeout:g} s) is below {FLAPPING:g} times "
            f"heartbeat_interval ({self.heartbeat_interval:g} s): an agent whose heartbeat is a "
            "little late is unreachable"
        )

    @property
    def ping_interval(self) -> float:
        """Silence after which a connection is pinged: two pings fit before the timeout."""
        return self.heartbeat_timeout / 3

    @property
    def reading_check_interval(self) -> float:
        """Seconds between two looks whether a peer reads that has much to read."""
        return self.send_timeout / 30

    @property
    def stall_check_interval(self) -> float:
        """Seconds between two looks whether the hub itself was stalled."""
        return min(1.0, self.heartbeat_timeout / 10)

    @property
    def stall_threshold(self) -> float:
        """Lateness of such a look that counts as an absence of the hub, not of the agents."""
        return min(1.0, max(0.1, self.heartbeat_timeout / 10))
