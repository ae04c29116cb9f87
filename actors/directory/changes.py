"""Which agents changed last, so that a search that was interrupted can be brought up to date."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

FEW_CHANGES = 256
"""Changes whose agents are known, at least."""


class Changes:
    """The agents of the newest changes of a directory; `count` is the number of all changes."""

    def __init__(self) -> None:
        self._ids: deque[str] = deque()  # oldest first
        self._kept: dict[object, int] = {}  # in the order in which they began
        self.count = 0

    def note(self, agent_id: str) -> None:
        """The agent was added, changed or removed."""
        self.count += 1
        ids = self._ids
        ids.append(agent_id)
        if len(ids) > FEW_CHANGES:
            oldest = next(iter(self._kept.values()), self.count)
            while len(ids) > max(FEW_CHANGES, self.count - oldest):
                ids.popleft()

    @contextmanager
    def kept(self) -> Iterator[int]:
        """Keep all changes from now on, until this ends, however many; gives the count of now."""
        key = object()
        self._kept[key] = self.count
        try:
            yield self.count
        finally:
            del self._kept[key]

    def since(self, count: int, at_most: int) -> list[str] | None:
        """The agents of the changes after `count`, oldest first; None when not all are known."""
        missed = self.count - count
        if missed > len(self._ids):
            return None
        start = len(self._ids) - missed
        if missed <= at_most or start == 0:
            return [*islice(self._ids, start, start + at_most)]
        return [self._ids[at] for at in range(start, start + at_most)]
