"""Waiting until a server on this machine has written what it answered.

With `appendfsync everysec` a server answers a change although its write to the append-only file has
just failed (the disk is full) or waits behind a slow fsync; it refuses only the next one. If it is
killed then, what it answered is lost. A second question shows whether the write is still owed.
"""

from __future__ import annotations

import asyncio

from redis.exceptions import NoPermissionError

from hub.store.backends.failures import StoreUnavailableError, not_saved
from hub.store.backends.lane import Lane

PATIENCE = 1.0
"""Seconds that a server may owe a write."""

FIRST_PAUSE = 0.001


async def await_written(lane: Lane, connection_number: int) -> bool:
    """Return once nothing is owed of what was answered on that connection of the lane.

    False when it cannot be known: the user may not ask. Raises StoreUnavailableError when the write
    failed, takes too long, or the connection is gone, and as `lane` does.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + PATIENCE, FIRST_PAUSE
    while True:
        try:
            info: bytes = await lane.ask(b"INFO", b"persistence")
        except NoPermissionError:
            return False
        if lane.connection_number != connection_number:
            raise StoreUnavailableError("the connection to Redis was lost")
        if b"aof_enabled:1" not in info:
            return True
        if b"aof_last_write_status:ok" not in info:
            raise StoreUnavailableError(not_saved())
        if b"aof_buffer_length:0\r" in info:
            return True
        if loop.time() >= deadline:
            raise StoreUnavailableError("the disk of Redis does not keep up: it is slow, or full")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)
