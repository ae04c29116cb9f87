"""What every client takes from outside besides the network: how it waits, and chance.

Not part of the public interface: tests replace both for the clients that they make.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct


class Seams(Struct, frozen=True):
    """`sleep` waits for seconds; `chance` gives [0, 1)."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    chance: Callable[[], float] = random.random


_current: ContextVar[Seams] = ContextVar("homeport-seams", default=Seams())  # noqa: B039 - frozen

current_seams = _current.get
"""The seams for a client that is made now, which keeps them."""


@contextmanager
def replaced(seams: Seams) -> Iterator[None]:
    """Give the clients that are made within the context these seams."""
    token = _current.set(seams)
    try:
        yield
    finally:
        _current.reset(token)
