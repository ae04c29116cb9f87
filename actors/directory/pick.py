"""Picks one agent to give work to, by one of four strategies.

`least_loaded` is in a module of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Container, Generator
from functools import partial
from hashlib import blake2b
from typing import assert_never

from msgspec import UNSET, structs

from actors.directory.directory import Directory, DirectoryEntry
from actors.directory.least_loaded import LeastLoaded
from actors.directory.predicates import compile_filter, name_of
from actors.ports.clock import RandomSource
from homeport_protocol.bounds import Strategy
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter

MAX_ROTATIONS = 1024
"""Filters whose place in the rotation is remembered; the least recently used one is forgotten."""


LOOKED_AT = 200
"""Agents that one step of a pick looks at."""


class Picker:
    """Picks from one directory; remembers where the rotation of each filter stands."""

    def __init__(self, directory: Directory, random: RandomSource) -> None:
        self._directory = directory
        self._random = random
        self._rotations: OrderedDict[bytes, str] = OrderedDict()
        """By the name of a filter, the id of the agent that was picked last."""
        self._least_loaded = LeastLoaded(directory, random)

    def pick(
        self, filter: Filter, strategy: Strategy, key: str | None, excluded: Container[str]
    ) -> Generator[None, None, DirectoryEntry]:
        """One agent that matches: healthy unless the filter names `status`, never a lost one.

        `excluded` are ids of agents whose connection was lost a moment ago. Raises ProtocolError:
        `no_match` when no agent is left, `bad_request` when `sticky` comes without a key.
        """
        if strategy == "sticky" and key is None:
            raise ProtocolError("bad_request", "key: the strategy sticky needs a key", field="key")
        if filter.status is UNSET:
            filter = structs.replace(filter, status="healthy")
        name = name_of(filter)
        matches = compile_filter(filter)
        fit = partial(self._fit, excluded=excluded)
        while True:
            ids = yield from self._directory.matching(filter)
            match strategy:
                case "round_robin":
                    picked = yield from self._round_robin(name, ids, excluded)
                case "least_loaded":
                    picked = yield from self._least_loaded.pick(name, filter, matches, fit)
                case "random":
                    picked = self._any((yield from self._best(ids, excluded, _equal)))
                case "sticky":
                    rank = partial(_hashed, key or "")
                    picked = self._any((yield from self._best(ids, excluded, rank)))
                case _:
                    assert_never(strategy)
            if picked is None:
                raise ProtocolError("no_match", "no agent that could take work matches the filter")
            # It may have changed while others were looked at.
            if self._fit(picked.record.id, excluded) is picked and (
                matches is None or matches(picked.record)
            ):
                return picked

    def _fit(self, agent_id: str, excluded: Container[str]) -> DirectoryEntry | None:
        """The agent's entry, unless it is lost or gone."""
        entry = self._directory.get(agent_id)
        if entry is None or agent_id in excluded or entry.record.health.connection == "lost":
            return None
        return entry

    def _round_robin(
        self, name: bytes, ids: list[str], excluded: Container[str]
    ) -> Generator[None, None, DirectoryEntry | None]:
        """The next one in the order of ids; `name` is what the rotation is remembered by."""
        start = bisect_right(ids, self._rotations.get(name, ""))
        for number in range(len(ids)):
            if number and number % LOOKED_AT == 0:
                ids = [*ids] if number == LOOKED_AT else ids  # others may change it meanwhile
                yield
            entry = self._fit(ids[(start + number) % len(ids)], excluded)
            if entry is not None:
                self._rotations[name] = entry.record.id
                self._rotations.move_to_end(name)
                if len(self._rotations) > MAX_ROTATIONS:
                    self._rotations.popitem(last=False)
                return entry
        return None

    def _best(
        self, ids: list[str], excluded: Container[str], rank: Callable[[DirectoryEntry], float]
    ) -> Generator[None, None, list[DirectoryEntry]]:
        """Those of the lowest rank."""
        best: list[DirectoryEntry] = []
        lowest = 0.0
        if len(ids) > LOOKED_AT:
            ids = [*ids]  # others may change it meanwhile
        for number, agent_id in enumerate(ids, 1):
            entry = self._fit(agent_id, excluded)
            if entry is not None:
                its = rank(entry)
                if not best or its < lowest:
                    lowest, best = its, [entry]
                elif its == lowest:
                    best.append(entry)
            if number % LOOKED_AT == 0:
                yield
        return best

    def _any(self, entries: list[DirectoryEntry]) -> DirectoryEntry | None:
        return entries[int(self._random.random() * len(entries))] if entries else None


def _hashed(key: str, entry: DirectoryEntry) -> int:
    """Rendezvous hashing: the agent of highest weight is the key's, as long as it lives.

    Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
    """
    digest = blake2b(f"{key}\n{entry.record.id}".encode(), digest_size=8).digest()
    return -int.from_bytes(digest, "big")


def _equal(entry: DirectoryEntry) -> float:
    return 0.0
