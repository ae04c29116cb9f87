"""Which core runs what: the hub has one to itself, so that it is the hub that is timed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from bench.rig.machine import children


class Cores(Struct, frozen=True):
    """Cores of the server that is measured, of the store behind it, and of the load.

    With three cores or more each has its own; with two the store shares that of the load, which
    is then the one to watch; with one, or where the system cannot pin (macOS, Windows), all
    share all, and figures say little.
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
        """For a server of several processes: it has its cores with the store, and the load others.

        With too few cores for that, all share all.
        """
        one = cls.plan()
        usable = sorted(one.server | one.store | one.load)
        own = frozenset(usable[: servers + 1])
        rest = frozenset(usable[servers + 1 :])
        return cls(own, own, rest) if rest else cls(*[frozenset(usable)] * 3)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Have the process, and what it starts from now on, run on these cores only; none: on any."""
    wanted = set(cores)
    if wanted:
        os.sched_setaffinity(pid, wanted)


@contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """Have this process, and what it starts meanwhile, run on these cores only; none: on any."""
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
    """Have a hub run on the server's core, and its embedded store, if it has one, on the store's.

    Call it again after the hub has started: only then is its store there.
    """
    pin(pid, cores.server)
    for child in children(pid):
        pin(child, cores.store)
