"""The ports to time and chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

INFINITE = float("inf")
"""A time that never comes."""


class Timer(Protocol):
    """A callback that has been scheduled."""

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """The only clock. All times are seconds; `now` is monotonic and goes on while suspended."""

    def now(self) -> float: ...

    def wall(self) -> float:
        """Unix time, for timestamps that people read; never for deadlines."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at `when` (on the scale of `now`) or as soon after as can be."""
        ...


class RandomSource(Protocol):
    """The only source of chance; must be unguessable in a hub (ids of agents come from it)."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...
