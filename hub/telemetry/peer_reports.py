"""What peers do that is refused before anybody is asked: counted, and logged a little.

A peer that sends garbage as fast as it can gets one line in 10 seconds, with its address and how
often it did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub.telemetry import logs

LOG_EVERY = 10.0
"""Seconds between two log lines about one peer."""

MAX_PEERS = 64
"""Peers of which each has lines of its own; all others share one."""

OTHERS = "others"

logger = logs.get("hub.peers")


class PeerReports:
    """Logs the first thing that a peer does wrong, and every 10 seconds how many there were since.

    `count` is called with the status of each. No method raises. It needs a running loop.
    """

    def __init__(self, count: Callable[[int], None] = lambda _status: None) -> None:
        self._count = count
        self._since: dict[str, int] = {}
        """How often each did something since its last line."""
        self._latest: dict[str, tuple[int, str]] = {}

    def refused(self, peer: str, status: int, why: str) -> None:
        """A request of this address was refused, in these words."""
        self._count(status)
        if peer not in self._since and len(self._since) >= MAX_PEERS:
            peer = OTHERS
        if peer in self._since:
            self._since[peer] += 1
            self._latest[peer] = status, why
            return
        logger.warning("request refused", peer=peer, status=status, why=why)
        self._since[peer] = 0
        asyncio.get_running_loop().call_later(LOG_EVERY, self._report, peer)

    def _report(self, peer: str) -> None:
        count = self._since.pop(peer)
        if not count:
            return
        status, why = self._latest.pop(peer)
        logger.warning(
            "requests refused", peer=peer, count=count, seconds=LOG_EVERY, status=status, why=why
        )
        self._since[peer] = 0
        asyncio.get_running_loop().call_later(LOG_EVERY, self._report, peer)
