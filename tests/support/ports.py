"""Ports of this machine."""

from __future__ import annotations

import os
import random
import socket
from contextlib import closing

_FIRST, _SHARE = 10_000, 2_000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_given: set[int] = set()


def free_port() -> int:
    """A free port; the port 10,000 above it, the bus of a Redis Cluster's node, is free too.

    It lies below the ports that systems give to clients, is returned once, and comes from a range
    that no other process of the test run uses: so it is still free when a server takes it.
    """
    first = _FIRST + _worker % 6 * _SHARE
    while True:
        port = random.SystemRandom().randrange(first, first + _SHARE)
        if port not in _given and _is_free(port) and _is_free(port + 10_000):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
