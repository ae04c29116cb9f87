"""The ports to time and chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

INFINITE = float("inf")
"""A time that never comes."""


class Timer(Protocol):
    """A scheduled callback."""

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """The only clock. All times are seconds; `now` is monotonic and goes on while suspended."""

    def now(self) -> float: ...

    def wall(self) -> float:
        """Unix time, for timestamps that people read; never for deadlines."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at `when` (on the scale of `now`) or soon after, never before."""
        ...


class RandomSource(Protocol):
    """The only source of randomness. In a hub it must be unguessable: agents' ids come from it."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...
