"""Processes that die with the test run, even when it is killed and no fixture can clean up."""

from __future__ import annotations

import sys

_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG; outlives exec
os.execv(sys.argv[1], sys.argv[1:])
"""


def bound(command: list[str]) -> list[str]:
    """The same command; on Linux the kernel kills it when the process that starts it ends."""
    if not sys.platform.startswith("linux"):
        return command
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, *command]
