"""What Linux lets a process ask of its kernel about its parent and its descendants."""

from __future__ import annotations

import os
import sys
from signal import Signals

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36


def end_with(parent: int, signal: Signals) -> None:
    """Have the kernel send `signal` to this process when `parent` ends, however it ends.

    The request outlives an exec, but not that of a set-user-id program. Where a kernel has no such
    thing, nothing happens. `parent` must have started this process from its main thread.
    """
    if _prctl(_PDEATHSIG, signal) and os.getppid() != parent:
        os._exit(1)  # it ended before the request to the kernel


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parents end, as process 1 is anyway.

    Who does so must wait for them, or they stay defunct. Elsewhere they go to process 1.
    """
    _prctl(_CHILD_SUBREAPER, 1)


def _prctl(option: int, argument: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes  # noqa: PLC0415 - used on Linux only, and may be missing

        return bool(ctypes.CDLL(None).prctl(option, argument, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False
