"""The bytes that peers have not read: how many one may leave, and all of a hub together.

A peer counts while its transport is paused, which is when the kernel takes no more and bytes pile
up in this process. All others have 64 KiB at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from actors.limits import LimitName
from actors.timing import Timing
from homeport_protocol.bounds import MAX_TOTAL_UNSENT_BYTES, MAX_UNSENT_BYTES

RELIEF = 7 / 8
"""Share of the limit that is left once the largest have been cut off, so that this is rare."""


class Peer(Protocol):
    """A connection whose peer does not read what was sent."""

    def cut_off(self, setting: LimitName) -> None:
        """Close the connection because of that limit; drop what is unsent."""
        ...


class UnsentBudget:
    """Counts the unsent bytes of a hub, and cuts off the largest peers when there are too many.

    `applied` is told the name of the limit for each peer that is cut off. `send_timeout` is how
    many seconds a peer may read nothing of what was sent.
    """

    def __init__(
        self,
        max_bytes: int = MAX_UNSENT_BYTES,
        max_total_bytes: int = MAX_TOTAL_UNSENT_BYTES,
        send_timeout: float = Timing().send_timeout,
        applied: Callable[[LimitName], None] = lambda _setting: None,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_total_bytes = max_total_bytes
        self.send_timeout = send_timeout
        self.applied = applied
        self.total = 0
        """Unsent bytes of all peers that count."""
        self._peers: dict[Peer, int] = {}  # the first began to count first
        self._relief_due = False

    def count(self, peer: Peer, unsent: int) -> None:
        """The peer has so many bytes unsent now; 0 when it does not count any more."""
        before = self._peers.get(peer, 0)
        if unsent:
            self._peers[peer] = unsent
        elif before:
            del self._peers[peer]
        self.total += unsent - before
        if self.total > self.max_total_bytes and not self._relief_due:
            # Later, because a peer must not be closed in the middle of another one's work.
            self._relief_due = True
            asyncio.get_running_loop().call_soon(self._relieve)

    def _relieve(self) -> None:
        """Cut off the largest peers, of equal ones those that have been blocked for longer."""
        self._relief_due = False
        if self.total <= self.max_total_bytes:
            return
        excess = self.total - int(self.max_total_bytes * RELIEF)
        for peer, unsent in sorted(self._peers.items(), key=lambda each: -each[1]):
            if excess <= 0:
                return
            excess -= unsent
            self.applied("max_total_unsent_bytes")
            peer.cut_off("max_total_unsent_bytes")
