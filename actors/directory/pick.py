"""Picking one agent to give work to."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Container
from hashlib import blake2b
from itertools import chain, islice

from msgspec import UNSET

from actors.directory.directory import Directory, DirectoryEntry
from actors.ports.clock import RandomSource
from homeport_protocol.bounds import Strategy
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter

MAX_ROTATIONS = 1024
"""Filters whose place in the round is remembered; the least recently used one is forgotten."""


class Picker:
    """The strategies, and where each filter's round robin stands."""

    def __init__(self, directory: Directory, random: RandomSource) -> None:
        self._directory = directory
        self._random = random
        self._rotations: OrderedDict[bytes, str] = OrderedDict()
        """By filter, the id of the agent that had the last turn."""

    def pick(
        self, filter: Filter, strategy: Strategy, key: str | None, excluded: Container[str]
    ) -> DirectoryEntry:
        """One agent that matches: healthy unless the filter names `status`, never a lost one.

        `excluded` are ids of agents whose connection was lost a moment ago. Raises ProtocolError:
        `no_match` when there is nobody, `bad_request` when `sticky` comes without a key.
        """
        if strategy == "sticky" and key is None:
            raise ProtocolError("bad_request", "key: the strategy sticky needs a key", field="key")
        if filter.status is UNSET:
            filter = _healthy(filter)
        ids = self._directory.matching(filter)
        if strategy == "round_robin":
            return self._next(encode(filter), ids, excluded)
        entries = [
            entry for agent_id in ids if (entry := self._eligible(agent_id, excluded)) is not None
        ]
        if not entries:
            raise _no_match()
        if strategy == "sticky":
            return max(entries, key=lambda entry: _weight(key or "", entry.record.id))
        if strategy == "least_loaded":
            lowest = min(_load(entry) for entry in entries)
            entries = [entry for entry in entries if _load(entry) == lowest]
        return entries[int(self._random.random() * len(entries))]

    def _next(self, name: bytes, ids: list[str], excluded: Container[str]) -> DirectoryEntry:
        start = bisect_right(ids, self._rotations.get(name, ""))
        for agent_id in chain(islice(ids, start, None), islice(ids, start)):
            entry = self._eligible(agent_id, excluded)
            if entry is not None:
                self._rotations[name] = agent_id
                self._rotations.move_to_end(name)
                if len(self._rotations) > MAX_ROTATIONS:
                    self._rotations.popitem(last=False)
                return entry
        raise _no_match()

    def _eligible(self, agent_id: str, excluded: Container[str]) -> DirectoryEntry | None:
        entry = self._directory.get(agent_id)
        if entry is None or agent_id in excluded or entry.record.health.connection == "lost":
            return None
        return entry


def _healthy(filter: Filter) -> Filter:
    return Filter(
        type=filter.type,
        name=filter.name,
        capabilities=filter.capabilities,
        any_capability=filter.any_capability,
        status="healthy",
        host=filter.host,
        version=filter.version,
        metadata=filter.metadata,
    )


def _no_match() -> ProtocolError:
    return ProtocolError("no_match", "no agent that could take work matches the filter")


def _load(entry: DirectoryEntry) -> float:
    # One that does not say how busy it is comes after all that do.
    load = entry.record.load
    return float("inf") if load is UNSET else load


def _weight(key: str, agent_id: str) -> bytes:
    """Rendezvous hashing: the agent of highest weight is the key's, as long as it lives.

    Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
    """
    return blake2b(f"{key}\n{agent_id}".encode(), digest_size=8).digest()
