"""Which connections are served: how many in all, of one address, and before their first request.

A connection that has not yet sent the head of a request costs its sender nothing, so there are few
of these, for a short time, and the oldest make room for new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from msgspec import Struct

from hub.net.open_files import UNLIMITED
from hub.net.peer import Networks, counted_as, is_trusted

SWEEP = 0.5
"""Seconds between two looks at the handshakes, while there are too many."""

REFUSALS = 16
"""Connections beyond the limit that are answered at the same time; further ones are cut off."""


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """The settings that bound connections, and what they send before they are served."""

    max_connections: int | None = None
    """None for as many as the limit of open files allows."""
    max_connections_per_address: int = 0
    """0 for no limit."""
    trusted_proxies: Networks = ()
    """Connections of these are counted for the addresses in their `X-Forwarded-For`."""
    max_handshakes: int = 1024
    handshake_timeout: float = 10.0
    request_timeout: float = 30.0


class Newcomer(Protocol):
    """A connection that has not yet sent the head of a request."""

    def make_room(self) -> None:
        """Close the connection because of `max_handshakes`."""
        ...


class Admission:
    """Counts the connections of one listener.

    `room` is how many connections the limit of open files allows. `applied` is told each limit that
    is applied, with the address if there is one. `limits` and `room` may be replaced at any time.
    """

    def __init__(
        self,
        limits: ConnectionLimits | None = None,
        room: int = UNLIMITED,
        applied: Callable[..., None] = lambda _setting, **_context: None,
    ) -> None:
        self.limits = limits or ConnectionLimits()
        self.applied = applied
        self.room = room
        self._refusing = 0
        self._addresses: dict[str, int] = {}
        self._handshakes: dict[Newcomer, int] = {}
        """The newcomers, oldest first, with the number of the sweep after which each came."""
        self._sweeps = 0
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def max_connections(self) -> int:
        """The most connections, by the setting and by the limit of open files."""
        most = self.limits.max_connections
        return self.room if most is None else min(most, self.room)

    @property
    def handshakes(self) -> int:
        """Connections that have not yet sent the head of a request."""
        return len(self._handshakes)

    # --- all connections -------------------------------------------------------------------------

    def is_full(self, connections: int, address: str) -> bool:
        """Whether a new connection, which makes it so many, is one too many.

        The oldest newcomers then make room for those that come later.
        """
        if connections <= self.max_connections:
            return False
        self.applied("max_connections", limit=self.max_connections, address=address)
        self._evict(1 + len(self._handshakes) // 8)
        if self._sweeping is None:
            self._sweep_later()
        return True

    def may_refuse(self) -> bool:
        """Whether a connection beyond a limit can be answered; `refused` ends that."""
        if self._refusing >= REFUSALS:
            return False
        self._refusing += 1
        return True

    def refused(self) -> None:
        """A connection that `may_refuse` let be answered has ended."""
        self._refusing -= 1

    # --- connections of one address --------------------------------------------------------------

    def enter(self, address: str) -> bool:
        """Count a connection of an address; False when that has too many. `leave` ends it.

        Those of a trusted proxy are not counted: they are many callers' connections.
        """
        most = self.limits.max_connections_per_address
        key = counted_as(address)
        held = self._addresses.get(key, 0)
        if most and held >= most and not is_trusted(address, self.limits.trusted_proxies):
            self.applied("max_connections_per_address", limit=most, address=address)
            return False
        self._addresses[key] = held + 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was counted has ended."""
        key = counted_as(address)
        held = self._addresses[key] - 1
        if held:
            self._addresses[key] = held
        else:
            del self._addresses[key]

    # --- newcomers -------------------------------------------------------------------------------

    def began(self, newcomer: Newcomer) -> None:
        """A connection is there that has sent nothing; `greeted` ends that."""
        self._handshakes[newcomer] = self._sweeps
        if len(self._handshakes) > self.limits.max_handshakes and self._sweeping is None:
            self._sweep_later()

    def greeted(self, newcomer: Newcomer) -> None:
        """It has sent the head of a request, or is gone. Does nothing the second time."""
        self._handshakes.pop(newcomer, None)

    def close(self) -> None:
        """Look no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep_later(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        self._evict(len(self._handshakes) - self.limits.max_handshakes)
        self._sweeps += 1
        if len(self._handshakes) > self.limits.max_handshakes:
            self._sweep_later()

    def _evict(self, most: int) -> None:
        """Close the oldest newcomers that have had time to send something.

        That is, that were there at the last sweep: since then the loop has read all that had come.
        A whole fleet may connect in one turn of the loop, and its requests are read in the next.
        """
        for newcomer, sweep in list(islice(self._handshakes.items(), max(0, most))):
            if sweep == self._sweeps:
                return
            del self._handshakes[newcomer]
            self.applied("max_handshakes", limit=self.limits.max_handshakes)
            newcomer.make_room()
