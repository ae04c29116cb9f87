"""Whether a connection's peer is there, and whether it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from actors.ports.clock import INFINITE
from actors.ports.link import Link
from actors.runtime.deadlines import Deadlines
from actors.timing import Timing

KeepaliveFailure = Literal["silent", "reads too slowly"]


class KeepaliveContext(Protocol):
    """What the keepalive of a connection needs of its namespace."""

    @property
    def timing(self) -> Timing: ...

    @property
    def deadlines(self) -> Deadlines: ...

    @property
    def present_since(self) -> float:
        """When the hub's last absence, or the store's, ended."""
        ...

    def now(self) -> float: ...

    def was_absent(self) -> bool:
        """Whether the hub was stalled until now; if so, `present_since` is now."""
        ...


class Keepalive:
    """Pings a silent peer, and calls `failed` when it stays silent or does not read.

    `ends_silence`: whether silence ends the connection. For a connection that holds an agent, the
    agent's actor decides that. The hub's own absence is charged to no peer.
    """

    __slots__ = (
        "_context",
        "_delivered",
        "_failed",
        "_link",
        "_pinged_at",
        "_progress_at",
        "deadline",
        "ends_silence",
        "last_activity_at",
        "scheduled",
    )

    def __init__(
        self, context: KeepaliveContext, link: Link, failed: Callable[[KeepaliveFailure], None]
    ) -> None:
        self._context = context
        self._link = link
        self._failed = failed
        now = context.now()
        self.last_activity_at = now
        self.ends_silence = True
        self._delivered = 0
        self._progress_at = now
        self._pinged_at = 0.0
        self.deadline = INFINITE
        self.scheduled = INFINITE
        context.deadlines.set(self, now + context.timing.ping_interval)

    def activity_came(self) -> None:
        """The peer sent a message, or answered a ping."""
        self.last_activity_at = self._context.now()

    def blocked(self) -> None:
        """The peer has not read what was sent; from now on it has `send_timeout` to read on."""
        self._progress_at = self._context.now()
        self._delivered = self._link.delivered
        # Not only at the end of that time: what it reads in between must count from then on.
        look_at = self._progress_at + self._context.timing.reading_check_interval
        self._context.deadlines.set(self, min(self.deadline, look_at))

    def stop(self) -> None:
        """The connection has ended."""
        self.deadline = INFINITE

    def deadline_reached(self) -> None:
        """Check the peer; called by `Deadlines`."""
        context, timing = self._context, self._context.timing
        context.was_absent()
        now = context.now()
        reading_until = self._reading_until(now)
        if reading_until <= now:
            self._failed("reads too slowly")
            return
        active_at = max(self.last_activity_at, context.present_since)
        silence = now - active_at
        if self.ends_silence and silence >= timing.heartbeat_timeout:
            self._failed("silent")
            return
        ping_at = max(active_at, self._pinged_at) + timing.ping_interval
        if ping_at <= now + timing.ping_interval / 10:
            self._link.ping()
            self._pinged_at = now
            ping_at = now + timing.ping_interval
        if reading_until < INFINITE:
            ping_at = min(ping_at, reading_until, now + timing.reading_check_interval)
        context.deadlines.set(self, ping_at)

    def _reading_until(self, now: float) -> float:
        """Until when the peer must have read on; INFINITE when everything has been delivered."""
        link, send_timeout = self._link, self._context.timing.send_timeout
        if not link.unsent:
            return INFINITE
        if link.delivered != self._delivered:
            self._delivered = link.delivered
            self._progress_at = now
            if self.ends_silence:
                # Its pongs may wait behind what it has yet to read; reading is activity enough.
                self.last_activity_at = now
        return max(self._progress_at, self._context.present_since) + send_timeout
