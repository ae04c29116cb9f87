"""What a forked child must leave alone: the connections of its parent, and its clients.

A connection ends for the hub when its last descriptor is closed, and a child inherits a copy of
each. As long as a child lived, its killed parent's agent would seem to live. So every descriptor of
a connection is replaced in a child, by one of /dev/null under the same number: that closes the
child's share of the connection without a byte to the hub and without a change to the parent's event
loop, and what still holds the number there closes nothing that is another's.
"""

from __future__ import annotations

import os
from typing import NoReturn, Protocol
from weakref import WeakSet


class _Open(Protocol):
    def fileno(self) -> int: ...


_open: WeakSet[_Open] = WeakSet()


def close_in_children(connection: _Open) -> None:
    """Have forked children close their copy, while `connection` is alive and its `fileno` is."""
    _open.add(connection)


def belongs_elsewhere(
    owner: str, process: int, instead: str = "make one in this process"
) -> RuntimeError:
    """The error for what was used in `process` and then here, in a child of that."""
    return RuntimeError(
        f"this {owner} belongs to process {process}, from which this one was forked: {instead}"
    )


class OneProcess:
    """Base class of the clients, which cannot be sent to other processes."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be sent to another process, nor copied: make one there"
        )


def _forked() -> None:
    descriptors = {each.fileno() for each in _open} - {-1}
    _open.clear()
    if descriptors:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in descriptors:
            os.dup2(null, descriptor, inheritable=False)
        os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
