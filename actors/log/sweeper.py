"""Looks for proposals that have waited too long for the store."""

from __future__ import annotations

from collections.abc import Callable

from actors.log.proposal import AnyProposal
from actors.log.round_trip import RoundTrip
from actors.ports.clock import Scheduler, Timer

INTERVAL = 0.1
"""Seconds between two looks while something waits too long."""


class Sweeper:
    """Has the proposers of `outstanding` proposals answer what waits beyond the change timeout."""

    def __init__(
        self,
        scheduler: Scheduler,
        round_trip: RoundTrip,
        outstanding: Callable[[], list[AnyProposal]],
    ) -> None:
        self._scheduler = scheduler
        self._round_trip = round_trip
        self._outstanding = outstanding
        self._timer: Timer | None = None
        self._at = 0.0

    def arm(self, born: float) -> None:
        """Look in time for a proposal that was born then."""
        self._look_at(born + self._round_trip.change_timeout)

    def _look(self) -> None:
        self._timer = None
        outstanding = self._outstanding()
        if not outstanding:
            return
        now, limit = self._scheduler.now(), self._round_trip.change_timeout
        oldest = now
        for proposal in outstanding:
            if proposal.born + limit <= now:
                proposal.proposer.sweep()
            oldest = min(oldest, proposal.born)
        self._look_at(max(oldest + limit, now + INTERVAL))

    def _look_at(self, at: float) -> None:
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
        self._at = at
        self._timer = self._scheduler.call_at(at, self._look)
