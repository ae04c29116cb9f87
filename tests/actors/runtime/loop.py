"""An event loop without a clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any


class Loop:
    """A scheduler of callbacks in order; its time moves when a test says so."""

    def __init__(self, time: float = 0.0) -> None:
        self.time = time
        self.callbacks: deque[Callable[[], None]] = deque()

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        raise AssertionError("what is tested here has no timers")

    def turn(self) -> None:
        """Run what was scheduled before this turn, as an event loop does."""
        for _ in range(len(self.callbacks)):
            self.callbacks.popleft()()

    def run(self) -> None:
        while self.callbacks:
            self.turn()
