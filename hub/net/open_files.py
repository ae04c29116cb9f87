"""How many connections this process may hold: its limit of open files, raised as far as allowed."""

from __future__ import annotations

import os
import sys

RESERVED_FILES = 64
"""Kept free for what is no agent's connection: the store, its server, logs, name look-ups."""

UNLIMITED = 1 << 20
"""Stands for no limit; what one process could serve ends well below it."""


def raise_open_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns the limit now in force."""
    if sys.platform == "win32":
        return UNLIMITED
    import resource  # noqa: PLC0415 - does not exist on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # macOS refuses its own "unlimited"; what was in force stays
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, UNLIMITED)


def connection_room(limit: int) -> int:
    """About how many more connections fit under `limit` open files; at least 1."""
    return max(1, limit - _open_files() - RESERVED_FILES)


def _open_files() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(directory))
        except OSError:
            continue
    return 0
