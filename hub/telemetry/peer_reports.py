"""What peers do that is refused before anybody is asked: counted, and logged a little.

A peer that sends garbage as fast as it can gets one line in 10 seconds, with its address and how
often it did.
"""

from __future__ import annotations

from collections.abc import Callable

from hub.telemetry import logs
from hub.telemetry.repeats import EVERY, Repeats

LOG_EVERY = EVERY
"""Seconds between two log lines about one peer."""

MAX_PEERS = 64
"""Peers of which each has lines of its own; all others share one."""

OTHERS = "others"

logger = logs.get("hub.peers")


class PeerReports:
    """Logs the first thing that a peer does wrong, and every 10 seconds how many there were since.

    `told` is called with the address and the status of each. No method raises. It needs a running
    loop.
    """

    def __init__(self, told: Callable[[str, int], None] = lambda _peer, _status: None) -> None:
        self._told = told
        self._repeats = Repeats[str, tuple[int, str]](_log, OTHERS, MAX_PEERS)

    def refused(self, peer: str, status: int, why: str) -> None:
        """A request of this address was refused, in these words."""
        self._told(peer, status)
        self._repeats.add(peer, (status, why))


def _log(peer: str, latest: tuple[int, str], count: int) -> None:
    status, why = latest
    if not count:
        logger.warning("request refused", peer=peer, status=status, why=why)
        return
    logger.warning(
        "requests refused", peer=peer, count=count, seconds=LOG_EVERY, status=status, why=why
    )
