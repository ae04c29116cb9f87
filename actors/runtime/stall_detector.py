"""Detects that the hub itself was stalled, so that no silence during that time is judged."""

from __future__ import annotations

from collections.abc import Callable

from actors.ports.clock import Scheduler, Timer
from actors.timing import Timing


class StallDetector:
    """Notices that the process was stopped, suspended or stalled.

    It expects to run every `stall_check_interval`. When it runs late by `stall_threshold` or more,
    the hub was absent, and `stalled` is called with the seconds of its absence.
    """

    def __init__(
        self, scheduler: Scheduler, timing: Timing, stalled: Callable[[float], None]
    ) -> None:
        self._scheduler = scheduler
        self._timing = timing
        self._stalled = stalled
        self._timer: Timer | None = None
        self._ran_at = scheduler.now()
        self.present_since = self._ran_at
        """When the last absence ended, or the hub started.

        Also advanced when the store returns, to excuse the outage.
        """

    def start(self) -> None:
        """Run from now on, until `stop`."""
        self.check()
        now = self._ran_at = self._scheduler.now()
        self._timer = self._scheduler.call_at(now + self._timing.stall_check_interval, self.start)

    def stop(self) -> None:
        """Run no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def check(self) -> bool:
        """Whether the hub was absent until just now; to be called before a silence is judged."""
        now = self._scheduler.now()
        absence = now - self._ran_at - self._timing.stall_check_interval
        if absence < self._timing.stall_threshold:
            return False
        self._ran_at = self.present_since = now
        self._stalled(absence)
        return True
