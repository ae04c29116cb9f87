"""Whether a connection's peer is there, and whether it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from actors.ports.clock import INFINITE
from actors.ports.link import Link
from actors.runtime.deadlines import Deadlines
from actors.timing import READING_TIMEOUT, Timing

KeepaliveFailure = Literal["silent", "reads too slowly"]


class Host(Protocol):
    """What the keepalive of a connection needs of the supervisor."""

    @property
    def timing(self) -> Timing: ...

    @property
    def deadlines(self) -> Deadlines: ...

    @property
    def present_since(self) -> float: ...

    def now(self) -> float: ...

    def was_absent(self) -> bool: ...


class Keepalive:
    """Pings a peer that is silent, and tells when it stays silent or does not read.

    `judge_silence`: whether silence ends the connection. The agent's actor judges it for a
    connection that holds an agent. The hub's own absence is charged to nobody.
    """

    __slots__ = (
        "_delivered",
        "_failed",
        "_host",
        "_link",
        "_progress_at",
        "deadline",
        "heard_at",
        "judge_silence",
        "scheduled",
    )

    def __init__(self, host: Host, link: Link, failed: Callable[[KeepaliveFailure], None]) -> None:
        self._host = host
        self._link = link
        self._failed = failed
        now = host.now()
        self.heard_at = now
        self.judge_silence = True
        self._delivered = 0
        self._progress_at = now
        self.deadline = INFINITE
        self.scheduled = INFINITE
        host.deadlines.set(self, now + host.timing.ping_interval)

    def heard(self) -> float:
        """The peer gave a sign of life; returns now."""
        self.heard_at = self._host.now()
        return self.heard_at

    def blocked(self) -> None:
        """The peer has not read what was sent; from now on it has READING_TIMEOUT to read on."""
        self._progress_at = self._host.now()
        self._delivered = self._link.delivered
        until = self._progress_at + READING_TIMEOUT
        self._host.deadlines.set(self, min(self.deadline, until))

    def stop(self) -> None:
        """The connection has ended."""
        self.deadline = INFINITE

    def deadline_reached(self) -> None:
        """Time to look; called by `Deadlines`."""
        host, timing = self._host, self._host.timing
        host.was_absent()
        now = host.now()
        reading_until = self._reading_until(now)
        if reading_until <= now:
            self._failed("reads too slowly")
            return
        heard_at = max(self.heard_at, host.present_since)
        silence = now - heard_at
        if self.judge_silence and silence >= timing.heartbeat_timeout:
            self._failed("silent")
            return
        ping_at = heard_at + timing.ping_interval
        if ping_at <= now + timing.ping_interval / 10:
            self._link.ping()
            ping_at = now + timing.ping_interval
        host.deadlines.set(self, min(ping_at, reading_until))

    def _reading_until(self, now: float) -> float:
        """When it is over with a peer that does not read on; INFINITE when it owes no reading."""
        link = self._link
        if not link.unsent:
            return INFINITE
        if link.delivered != self._delivered:
            self._delivered = link.delivered
            self._progress_at = now
            if self.judge_silence:
                # Its pongs may wait behind what it has yet to read; that it reads says enough.
                self.heard_at = now
        return max(self._progress_at, self._host.present_since) + READING_TIMEOUT
