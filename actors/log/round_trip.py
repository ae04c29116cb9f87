"""How far away the store is: the time that its answers take, smoothed."""

from __future__ import annotations

from actors.timing import CHANGE_TIMEOUT, MAX_CHANGE_TIMEOUT

SLOW = 0.25
"""Seconds of a round trip from which the store is called slow."""

FAST_AGAIN = 0.2
"""Seconds of a round trip below which it is not called slow any more."""

_WEIGHT = 1 / 8
"""The share of the newest answer, as in TCP (RFC 6298): one late answer does not count for much."""

_PATIENCE = 3.0
"""Round trips that a change may take: its own, one to read what others wrote, and one spare."""


_LONGEST = MAX_CHANGE_TIMEOUT / _PATIENCE
"""Seconds that one answer counts for at most: farther away, a store changes nothing more here.

So an answer that waited for a hub which was itself stalled does not make the store a slow one.
"""


class RoundTrip:
    """`seconds` that a request to the store and its answer take; 0 before the first one.

    `slow` while changes are delayed so much that somebody should know.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slow = False
        self.change_timeout = CHANGE_TIMEOUT
        """Seconds that a change may wait for the store: more than CHANGE_TIMEOUT if it is far."""

    def took(self, seconds: float) -> bool:
        """A request took so long; returns whether `slow` has changed."""
        seconds = min(seconds, _LONGEST)
        if self.seconds:
            seconds = self.seconds + _WEIGHT * (seconds - self.seconds)
        self.seconds = seconds
        self.change_timeout = min(max(CHANGE_TIMEOUT, _PATIENCE * seconds), MAX_CHANGE_TIMEOUT)
        slow = seconds >= (FAST_AGAIN if self.slow else SLOW)
        changed = slow is not self.slow
        self.slow = slow
        return changed
