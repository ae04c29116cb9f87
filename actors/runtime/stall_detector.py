"""The hub's watch on itself: nobody is judged for a time in which the hub was not there."""

from __future__ import annotations

from collections.abc import Callable

from actors.ports.clock import Scheduler, Timer
from actors.timing import Timing


class StallDetector:
    """Notices that the process was stopped, suspended or stalled.

    It expects to run every `stall_check_interval`. When it is late by more than `stall_threshold`,
    the hub was absent, and `absent` is called with for how many seconds.
    """

    def __init__(
        self, scheduler: Scheduler, timing: Timing, absent: Callable[[float], None]
    ) -> None:
        self._scheduler = scheduler
        self._timing = timing
        self._absent = absent
        self._timer: Timer | None = None
        self._ran_at = scheduler.now()
        self.present_since = self._ran_at
        """When the last absence ended, or the hub began; whoever forgives another moves it on."""

    def start(self) -> None:
        """Run from now on, until `stop`."""
        self.look()
        now = self._ran_at = self._scheduler.now()
        self._timer = self._scheduler.call_at(now + self._timing.stall_check_interval, self.start)

    def stop(self) -> None:
        """Run no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> bool:
        """Whether the hub was absent until just now. Whoever is about to judge looks first."""
        now = self._scheduler.now()
        absence = now - self._ran_at - self._timing.stall_check_interval
        if absence < self._timing.stall_threshold:
            return False
        self._ran_at = self.present_since = now
        self._absent(absence)
        return True
