"""Giving freed memory back to the system: the C library would keep most of it for itself."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

FREED = 4 * 1024 * 1024
"""Bytes of records, log and answers that must be gone for the rest to be worth a look."""


def give_back() -> None:
    """Return the free pages of the heap to the system, where the C library can do so (glibc).

    Takes 0.2 ms for each megabyte, without holding Python's lock.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Heap:
    """Decides when freed memory is given back, in a thread beside the event loop's."""

    def __init__(self, give_back: Callable[[], None] = give_back) -> None:
        self._give_back = give_back
        self._most = 0
        self._under_way: asyncio.Future[None] | None = None

    def adapt(self, held: int) -> None:
        """So many bytes of what callers sent or asked for are held now; to be called regularly."""
        self._most = max(self._most, held)
        busy = self._under_way is not None and not self._under_way.done()
        if self._most - held >= FREED and not busy:
            self._most = held
            loop = asyncio.get_running_loop()
            self._under_way = loop.run_in_executor(None, self._give_back)
