"""Indexes over records: which ids have the attributes that a filter names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Mapping, Set
from itertools import chain
from typing import Protocol

from msgspec import UNSET

from actors.directory.predicates import metadata_value, only_status
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord

Ids = set[str]

MAX_METADATA_INDEXES = 16
"""Metadata paths that are indexed at a time; the least recently used one is forgotten."""


INDEXED = 100
"""Records that one step of building an index takes."""


class Indexed(Protocol):
    """An entry of the directory, as far as indexes need it."""

    record: AgentRecord


class Index:
    """Ids by one attribute of their records; an attribute may have several values."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[str, Ids] = {}

    def add(self, agent_id: str, keys: Iterable[str]) -> None:
        """Put the agent under each key."""
        for key in keys:
            ids = self._ids.get(key)
            if ids is None:
                self._ids[key] = {agent_id}
            else:
                ids.add(agent_id)

    def discard(self, agent_id: str, keys: Iterable[str]) -> None:
        """Take the agent from each key; keys without agents are forgotten."""
        for key in keys:
            ids = self._ids.get(key)
            if ids is not None:
                ids.discard(agent_id)
                if not ids:
                    del self._ids[key]

    def get(self, key: str) -> Set[str]:
        """The ids under a key; the caller must not change the set."""
        return self._ids.get(key) or _NONE

    def counts(self) -> dict[str, int]:
        """How many agents each key has."""
        return {key: len(ids) for key, ids in self._ids.items()}


_NONE: Ids = set()


class Indexes:
    """The indexes of one directory, which reports every record that is put or removed."""

    def __init__(self) -> None:
        self._types = Index()
        self._names = Index()
        self._statuses = Index()
        self._capabilities = Index()
        self._metadata: OrderedDict[str, Index] = OrderedDict()
        self._building: dict[str, Index] = {}  # also of metadata paths

    def status_counts(self) -> dict[str, int]:
        """How many agents are in each status."""
        return self._statuses.counts()

    def status_count(self, status: str) -> int:
        """How many agents are in that status."""
        return len(self._statuses.get(status))

    def add(self, record: AgentRecord) -> None:
        """Index a record that is new."""
        agent_id = record.id
        self._types.add(agent_id, (record.type,))
        self._names.add(agent_id, (record.name,))
        self._statuses.add(agent_id, (record.status,))
        self._capabilities.add(agent_id, record.capabilities)
        for path, index in self._by_path():
            index.add(agent_id, _text_at(record, path))

    def replace(self, old: AgentRecord, new: AgentRecord) -> None:
        """Index `new` in place of `old`, the same agent's record before."""
        agent_id = new.id
        for index, before, after in (
            (self._types, old.type, new.type),
            (self._names, old.name, new.name),
            (self._statuses, old.status, new.status),
        ):
            if before != after:
                index.discard(agent_id, (before,))
                index.add(agent_id, (after,))
        if old.capabilities != new.capabilities:
            self._capabilities.discard(agent_id, old.capabilities)
            self._capabilities.add(agent_id, new.capabilities)
        if old.metadata != new.metadata:
            for path, index in self._by_path():
                index.discard(agent_id, _text_at(old, path))
                index.add(agent_id, _text_at(new, path))

    def discard(self, record: AgentRecord) -> None:
        """Forget a record."""
        agent_id = record.id
        self._types.discard(agent_id, (record.type,))
        self._names.discard(agent_id, (record.name,))
        self._statuses.discard(agent_id, (record.status,))
        self._capabilities.discard(agent_id, record.capabilities)
        for path, index in self._by_path():
            index.discard(agent_id, _text_at(record, path))

    def narrow(
        self, filter: Filter, entries: Mapping[str, Indexed]
    ) -> Generator[None, None, list[Set[str]]]:
        """The sets of ids that an agent must be in, smallest first; none if indexes cannot tell.

        They are the indexes' own sets, which change with them: the caller must not. The rest of
        the filter is left to `actors.directory.predicates.compile_unindexed`. `entries` are all
        that the directory has.
        """
        sets: list[Set[str]] = []
        if filter.metadata is not UNSET:
            for path, value in filter.metadata.items():
                if isinstance(value, str):
                    index = yield from self._metadata_index(path, entries)
                    sets += () if index is None else (index.get(value),)
        if filter.type is not UNSET:
            sets.append(self._types.get(filter.type))
        if filter.name is not UNSET:
            sets.append(self._names.get(filter.name))
        status = only_status(filter)
        if status is not None:
            sets.append(self._statuses.get(status))
        if filter.capabilities is not UNSET:
            sets.extend(self._capabilities.get(each) for each in filter.capabilities)
        sets.sort(key=len)
        return sets

    def _by_path(self) -> Iterator[tuple[str, Index]]:
        return chain(self._metadata.items(), self._building.items())

    def _metadata_index(
        self, path: str, entries: Mapping[str, Indexed]
    ) -> Generator[None, None, Index | None]:
        """The index of a metadata path, built when a filter first names it.

        None while it is being built for somebody else. What changes meanwhile is indexed as if it
        was built already.
        """
        if path in self._building:
            return None
        index = self._metadata.get(path)
        if index is None:
            index = self._building[path] = Index()
            try:
                for number, agent_id in enumerate([*entries], 1):
                    entry = entries.get(agent_id)
                    if entry is not None:
                        index.add(agent_id, _text_at(entry.record, path))
                    if number % INDEXED == 0:
                        yield
                self._metadata[path] = index
            finally:
                del self._building[path]
            if len(self._metadata) > MAX_METADATA_INDEXES:
                self._metadata.popitem(last=False)
        self._metadata.move_to_end(path)
        return index


def _text_at(record: AgentRecord, path: str) -> tuple[str, ...]:
    # Only text is indexed: 1, 1.0 and true differ in JSON, and are equal as keys in Python.
    value = metadata_value(record, path)
    return (value,) if isinstance(value, str) else ()
