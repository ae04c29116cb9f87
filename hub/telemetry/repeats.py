"""What peers can cause as often as they like, told a bounded number of times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

EVERY = 10.0
"""Seconds between two reports about the same."""


class Repeats(Generic[K, V]):
    """Reports the first of each key at once, and every 10 seconds how many there were since.

    `report` gets the key, the latest value and how many came since the last report, 0 for the
    first. There are `most` keys; all others share the key `others`. Needs a running loop.
    """

    def __init__(self, report: Callable[[K, V, int], None], others: K, most: int) -> None:
        self._report = report
        self._others = others
        self._most = most
        self._since: dict[K, int] = {}
        """How many came of each since its last report."""
        self._latest: dict[K, V] = {}

    def add(self, key: K, value: V) -> None:
        """One more."""
        if key not in self._since and len(self._since) >= self._most:
            key = self._others
        if key in self._since:
            self._since[key] += 1
            self._latest[key] = value
            return
        self._report(key, value, 0)
        self._watch(key)

    def report_all(self) -> None:
        """Report at once what is not reported yet, for the last time."""
        since, self._since = self._since, {}
        for key, count in since.items():
            if count:
                self._report(key, self._latest.pop(key), count)

    def _watch(self, key: K) -> None:
        self._since[key] = 0
        asyncio.get_running_loop().call_later(EVERY, self._report_since, key)

    def _report_since(self, key: K) -> None:
        count = self._since.pop(key, 0)
        if count:
            self._report(key, self._latest.pop(key), count)
            self._watch(key)
