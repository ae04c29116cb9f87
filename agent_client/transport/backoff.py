"""How long to wait before the next attempt: exponential back-off with full jitter.

The wait is a random part of a bound that doubles with each failure ("full jitter" of the AWS
Architecture Blog, "Exponential Backoff And Jitter", 2015), so that the agents of a lost hub do not
all come back at the same moment.

A connection that breaks is no refusal: the hub may be well, and an agent that stays away for longer
than its hub's `resume_window` is unreachable. So breaks are waited for within seconds, however many
refusals there were. Only a long series of breaks, without a connection that worked for a second, is
taken for refusals: a proxy that has nothing behind it breaks every connection.
"""

from __future__ import annotations

import copy
from typing import Self

from agent_client.errors import LONGEST_HINT
from agent_client.transport.seams import current_seams

STEADY = 3.0
"""Seconds after which a connection counts as one that lasts, and the series starts again."""

BREAK_BOUND = 2.0
"""Seconds, at most, to wait after a connection broke."""

_WORKED = 1.0
"""Seconds after which a connection that broke does not count among the breaks before it."""

_BREAKS = 10
"""Breaks in a row that are waited for within `BREAK_BOUND`; the next ones count as refusals."""

_CUT_HINT_SPREAD = 10.0
"""Seconds over which the clients come back whose hints were cut to `LONGEST_HINT`."""


class Backoff:
    """Waits for one series of attempts. `base` and `cap` are seconds."""

    def __init__(self, base: float = 0.5, cap: float = 30.0) -> None:
        self._base = base
        self._cap = cap
        self._chance = current_seams().chance
        self._failures = 0
        self._breaks = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base={self._base:g}, cap={self._cap:g})"

    def again(self) -> Self:
        """A new series with the same bounds."""
        series = copy.copy(self)
        series.reset()
        return series

    def next(self, hint: float | None = None, *, least: float = 0.0) -> float:
        """Seconds to wait after a refusal: a hub's `hint` in full, and the jitter on top.

        The jitter's bound is at least `least`, and at most the cap. With a hint, the sum is at
        most `LONGEST_HINT`.
        """
        bound = self._bound(self._failures, least)
        self._failures += 1
        if not hint:
            return self._chance() * bound
        if hint >= LONGEST_HINT:
            return LONGEST_HINT - self._chance() * _CUT_HINT_SPREAD
        return hint + self._chance() * min(bound, LONGEST_HINT - hint)

    def after_break(self, *, lived: float = 0.0, least: float = 0.0) -> float:
        """Seconds to wait after a connection broke that had lived for `lived` seconds.

        The bound is at least `least`, and at most `BREAK_BOUND`.
        """
        if lived >= _WORKED:
            self._breaks = 0
        if self._breaks >= _BREAKS:
            return self.next(least=max(least, BREAK_BOUND))
        bound = min(self._bound(self._breaks, least), BREAK_BOUND)
        self._breaks += 1
        return self._chance() * bound

    def within(self, seconds: float) -> float:
        """Seconds to wait now, a random part of `seconds`; counts as an attempt all the same."""
        self._failures += 1
        return self._chance() * min(self._cap, seconds)

    def reset(self) -> None:
        """A connection lasted: start the series again."""
        self._failures = self._breaks = 0

    def _bound(self, attempts: int, least: float) -> float:
        # 2.0**64 exceeds any cap; without this limit a day of failures would overflow.
        return min(self._cap, max(least, self._base * 2.0 ** min(attempts, 64)))
