"""How many connections this process may hold: its limit of open files, raised to the maximum."""

from __future__ import annotations

import os
import sys

RESERVED_FILES = 64
"""Kept free for everything else that needs files: the store, its server, logs, name look-ups."""

UNLIMITED = 1 << 20
"""Stands for no limit; one process can serve far fewer connections."""


def raise_open_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; return the limit in force."""
    if sys.platform == "win32":
        return UNLIMITED
    import resource  # noqa: PLC0415 - does not exist on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # macOS refuses its own "unlimited"; the old limit stays in force
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
