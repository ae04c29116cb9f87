"""How many registrations a principal may ask for: a steady rate, and a burst after a pause.

A token bucket for each principal that keeps one number: when all of its registrations so far would
be paid for at the steady rate (the generic cell rate algorithm).
"""

from __future__ import annotations

from actors.rules.permissions import NOBODY, Principal

PRUNED_AT = 1024
"""Principals beyond which those are forgotten that have been quiet for long."""


class RegistrationRate:
    """The registrations of one hub, by principal; those of nobody have no limit.

    `rate` is a second; 0 for no limit. Both may be set at any time. `now` is on any one scale of
    seconds.
    """

    def __init__(self, rate: int = 0, burst: int = 1) -> None:
        self.rate = rate
        self.burst = burst
        self._due: dict[str, float] = {}
        self._pruned_at = PRUNED_AT

    def __len__(self) -> int:
        return len(self._due)

    def wait(self, principal: Principal, now: float) -> float:
        """Count a registration, and return 0; or the seconds after which one is let through."""
        if not self.rate or principal.id == NOBODY:
            return 0.0
        due = max(self._due.get(principal.id, 0.0), now)
        wait = due - now - (self.burst - 1) / self.rate
        if wait > 1e-9:
            return wait
        self._due[principal.id] = due + 1 / self.rate
        if len(self._due) > self._pruned_at:
            self._due = {each: due for each, due in self._due.items() if due > now}
            self._pruned_at = max(PRUNED_AT, 2 * len(self._due))
        return 0.0
