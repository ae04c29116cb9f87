"""Picks one agent to give work to, by one of four strategies."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator
from hashlib import blake2b
from itertools import chain, islice
from typing import assert_never

from msgspec import UNSET, structs

from actors.directory.directory import Directory, DirectoryEntry
from actors.ports.clock import RandomSource
from homeport_protocol.bounds import Strategy
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter

MAX_ROTATIONS = 1024
"""Filters whose place in the rotation is remembered; the least recently used one is forgotten."""


class Picker:
    """Picks from one directory; remembers where the rotation of each filter stands."""

    def __init__(self, directory: Directory, random: RandomSource) -> None:
        self._directory = directory
        self._random = random
        self._rotations: OrderedDict[bytes, str] = OrderedDict()
        """By filter, the id of the agent that was picked last."""

    def pick(
        self, filter: Filter, strategy: Strategy, key: str | None, excluded: Container[str]
    ) -> DirectoryEntry:
        """One agent that matches: healthy unless the filter names `status`, never a lost one.

        `excluded` are ids of agents whose connection was lost a moment ago. Raises ProtocolError:
        `no_match` when no agent is left, `bad_request` when `sticky` comes without a key.
        """
        if strategy == "sticky" and key is None:
            raise ProtocolError("bad_request", "key: the strategy sticky needs a key", field="key")
        if filter.status is UNSET:
            filter = structs.replace(filter, status="healthy")
        ids = self._directory.matching(filter)
        match strategy:
            case "round_robin":
                picked = self._round_robin(encode(filter), ids, excluded)
            case "least_loaded":
                picked = self._least_loaded([*self._eligible(ids, excluded)])
            case "random":
                picked = self._any([*self._eligible(ids, excluded)])
            case "sticky":
                picked = _sticky(self._eligible(ids, excluded), key or "")
            case _:
                assert_never(strategy)
        if picked is None:
            raise ProtocolError("no_match", "no agent that could take work matches the filter")
        return picked

    def _eligible(self, ids: Iterable[str], excluded: Container[str]) -> Iterator[DirectoryEntry]:
        for agent_id in ids:
            entry = self._directory.get(agent_id)
            if (
                entry is not None
                and agent_id not in excluded
                and entry.record.health.connection != "lost"
            ):
                yield entry

    def _round_robin(
        self, name: bytes, ids: list[str], excluded: Container[str]
    ) -> DirectoryEntry | None:
        """The next one in the order of ids; `name` is what the rotation is remembered by."""
        start = bisect_right(ids, self._rotations.get(name, ""))
        rotated = chain(islice(ids, start, None), islice(ids, start))
        entry = next(self._eligible(rotated, excluded), None)
        if entry is not None:
            self._rotations[name] = entry.record.id
            self._rotations.move_to_end(name)
            if len(self._rotations) > MAX_ROTATIONS:
                self._rotations.popitem(last=False)
        return entry

    def _least_loaded(self, entries: list[DirectoryEntry]) -> DirectoryEntry | None:
        """Any of those with the lowest load."""
        lowest = min(map(_load, entries), default=0.0)
        return self._any([entry for entry in entries if _load(entry) == lowest])

    def _any(self, entries: list[DirectoryEntry]) -> DirectoryEntry | None:
        return entries[int(self._random.random() * len(entries))] if entries else None


def _sticky(entries: Iterable[DirectoryEntry], key: str) -> DirectoryEntry | None:
    """Rendezvous hashing: the agent of highest weight is the key's, as long as it lives.

    Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
    """

    def weight(entry: DirectoryEntry) -> bytes:
        return blake2b(f"{key}\n{entry.record.id}".encode(), digest_size=8).digest()

    return max(entries, key=weight, default=None)


def _load(entry: DirectoryEntry) -> float:
    # An agent that reports no load comes after all that do.
    load = entry.record.load
    return float("inf") if load is UNSET else load
