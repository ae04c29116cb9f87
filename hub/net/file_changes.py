"""Noticing that files were replaced or written to, by looking at them from time to time."""

from __future__ import annotations

import os

LOOK_EVERY = 1.0
"""Seconds between two looks at the files that a hub reads again by itself."""

_State = tuple[int, ...] | None


class FileChanges:
    """Some files as they were when they were last looked at.

    Symbolic links are followed, so that a mounted secret counts as changed when its link moves on.
    """

    def __init__(self, *paths: str) -> None:
        self._paths = paths
        self._seen = self._look()

    def any(self) -> bool:
        """Whether one of them differs from the last look, which this one replaces."""
        seen = self._look()
        changed, self._seen = seen != self._seen, seen
        return changed

    def _look(self) -> list[_State]:
        return [_state(path) for path in self._paths]


def _state(path: str) -> _State:
    """What changes with the file; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
