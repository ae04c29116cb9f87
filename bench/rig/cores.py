"""Which core runs what: the hub has one to itself, so that only the hub is timed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from bench.rig.machine import children


class Cores(Struct, frozen=True):
    """Cores of the server that is measured, of the store behind it, and of the load.

    With three cores or more each has its own; with two the store shares the load's, which is then
    the one to watch; with one, or where the system cannot pin (macOS, Windows), all share all,
    and figures say little.
    """

    server: frozenset[int]
    store: frozenset[int]
    load: frozenset[int]

    @classmethod
    def plan(cls) -> Cores:
        """From the cores that this process may use."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(frozenset(), frozenset(), frozenset())
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) == 1:
            return cls(*[frozenset(usable)] * 3)
        server, *rest = usable
        store, *load = rest
        return cls(frozenset({server}), frozenset({store}), frozenset(load or {store}))

    @classmethod
    def plan_several(cls, servers: int) -> Cores:
        """For a server of several processes, which shares its cores with the store only.

        With too few cores for that, all share all.
        """
        one = cls.plan()
        usable = sorted(one.server | one.store | one.load)
        own = frozenset(usable[: servers + 1])
        rest = frozenset(usable[servers + 1 :])
        return cls(own, own, rest) if rest else cls(*[frozenset(usable)] * 3)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Restrict a process, and what it starts from now on, to these cores; none: no restriction."""
    wanted = set(cores)
    if wanted:
        os.sched_setaffinity(pid, wanted)


@contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """Restrict this process, and what it starts meanwhile, as `pin` does."""
    wanted = set(cores)
    if not wanted:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin_hub(pid: int, cores: Cores) -> None:
    """Pin a hub to the server's core, and its embedded store, if it has one, to the store's.

    Call it once the hub has started: only then is its store there.
    """
    pin(pid, cores.server)
    for child in children(pid):
        pin(child, cores.store)
