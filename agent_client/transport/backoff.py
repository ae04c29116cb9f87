"""How long to wait before the next attempt: exponential back-off with full jitter.

The wait is a random part of a bound that doubles with each failure ("full jitter" of the AWS
Architecture Blog, "Exponential Backoff And Jitter", 2015), so that the agents of a lost hub do not
all come back at the same moment.
"""

from __future__ import annotations

import copy
from typing import Self

from agent_client.transport.seams import current_seams


class Backoff:
    """Waits for one series of attempts. `base` and `cap` are seconds."""

    def __init__(self, base: float = 0.5, cap: float = 30.0) -> None:
        self._base = base
        self._cap = cap
        self._chance = current_seams().chance
        self._failures = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base={self._base:g}, cap={self._cap:g})"

    def again(self) -> Self:
        """A new series with the same bounds."""
        series = copy.copy(self)
        series.reset()
        return series

    def next(self, hint: float | None = None, *, least: float = 0.0) -> float:
        """Seconds to wait now: a hub's `hint` in full, and the jitter on top.

        The jitter's bound is at least `least`, and at most the cap.
        """
        # 2.0**64 exceeds any cap; without this limit a day of failures would overflow.
        bound = min(self._cap, max(least, self._base * 2.0 ** min(self._failures, 64)))
        self._failures += 1
        return (hint or 0.0) + self._chance() * bound

    def within(self, seconds: float) -> float:
        """Seconds to wait now, a random part of `seconds`; counts as an attempt all the same."""
        self._failures += 1
        return self._chance() * min(self._cap, seconds)

    def reset(self) -> None:
        """An attempt succeeded: start the series again."""
        self._failures = 0
