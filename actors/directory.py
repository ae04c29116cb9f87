"""The directory: every agent that can be discovered, with its indexes.

It is the fold of the log: `put` and `remove` are called in revision order and nowhere else.
Between two changes of a record its `last_seen` moves on with every heartbeat (`refresh`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Collection, Iterable

from msgspec import UNSET, Struct

from actors.matching import Predicate, accepted_statuses, compile_unindexed, metadata_value
from protocol.bounds import UUID
from protocol.errors import ProtocolError
from protocol.filters import Filter
from protocol.record import AgentRecord

Ids = set[str]

_ID = re.compile(UUID)

MAX_METADATA_INDEXES = 16
"""Metadata paths that are indexed at a time; the least recently asked for gives way."""


class Entry(Struct, gc=False):
    """A record and its JSON, encoded once and reused for every answer."""

    record: AgentRecord
    data: bytes


class Page(Struct, frozen=True):
    """Records as JSON, ordered by id; `next_cursor` is None on the last page."""

    agents: list[bytes]
    next_cursor: str | None


class Index:
    """Ids by one attribute of their records; an attribute may have several values."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[str, Ids] = {}

    def add(self, agent_id: str, keys: Iterable[str]) -> None:
        """List the agent under each key."""
        for key in keys:
            ids = self._ids.get(key)
            if ids is None:
                self._ids[key] = {agent_id}
            else:
                ids.add(agent_id)

    def discard(self, agent_id: str, keys: Iterable[str]) -> None:
        """Take the agent away from each key; keys without agents are forgotten."""
        for key in keys:
            ids = self._ids.get(key)
            if ids is not None:
                ids.discard(agent_id)
                if not ids:
                    del self._ids[key]

    def get(self, key: str) -> Ids:
        """The ids under a key; not to be changed by the caller."""
        return self._ids.get(key) or _NONE

    def counts(self) -> dict[str, int]:
        """How many agents each key has."""
        return {key: len(ids) for key, ids in self._ids.items()}


_NONE: Ids = set()


class Directory:
    """All agents of one namespace, by id and by what they are asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []
        self._types = Index()
        self._names = Index()
        self._statuses = Index()
        self._capabilities = Index()
        self._metadata: OrderedDict[str, Index] = OrderedDict()
        self.generation = 0
        """Counts the changes; what was computed at one generation holds while it stands."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, agent_id: str) -> bool:
        return agent_id in self._entries

    def get(self, agent_id: str) -> Entry | None:
        """The agent's entry, or None."""
        return self._entries.get(agent_id)

    def ids(self) -> list[str]:
        """All ids in order; not to be changed by the caller."""
        return self._order

    def status_counts(self) -> dict[str, int]:
        """How many agents are in each status."""
        return self._statuses.counts()

    def put(self, record: AgentRecord, data: bytes) -> None:
        """Add an agent or replace its record."""
        agent_id = record.id
        entry = self._entries.get(agent_id)
        if entry is None:
            self._entries[agent_id] = Entry(record, data)
            insort(self._order, agent_id)
            self._index(record)
        else:
            old = entry.record
            entry.record = record
            entry.data = data
            self._reindex(old, record)
        self.generation += 1

    def refresh(self, record: AgentRecord, data: bytes) -> None:
        """Replace a record that differs in `last_seen` only; no index is touched."""
        entry = self._entries.get(record.id)
        if entry is not None:
            entry.record = record
            entry.data = data

    def remove(self, agent_id: str) -> None:
        """Forget an agent; nothing happens when it is not known."""
        entry = self._entries.pop(agent_id, None)
        if entry is None:
            return
        del self._order[bisect_left(self._order, agent_id)]
        record = entry.record
        self._types.discard(agent_id, (record.type,))
        self._names.discard(agent_id, (record.name,))
        self._statuses.discard(agent_id, (record.status,))
        self._capabilities.discard(agent_id, record.capabilities)
        for path, index in self._metadata.items():
            index.discard(agent_id, _text_at(record, path))
        self.generation += 1

    def find(self, filter: Filter, limit: int | None, cursor: str | None) -> Page:
        """The agents that match, ordered by id, after `cursor`, at most `limit` of them.

        Raises ProtocolError `bad_request` for a filter or cursor that cannot be understood.
        """
        if cursor is not None and _ID.match(cursor) is None:
            raise ProtocolError(
                "bad_request", "cursor: send the next_cursor of the page before", field="cursor"
            )
        ids = self.matching(filter)
        start = 0 if cursor is None else bisect_right(ids, cursor)
        stop = len(ids) if limit is None else start + limit
        entries = self._entries
        agents = [entries[agent_id].data for agent_id in ids[start:stop]]
        return Page(agents, ids[stop - 1] if stop < len(ids) else None)

    def matching(self, filter: Filter) -> list[str]:
        """Ids of all agents that match, in order; not to be changed by the caller."""
        indexed = self._indexed(filter)
        rest = compile_unindexed(filter)
        if indexed is None and rest is None:
            return self._order
        if indexed is None:
            return [agent_id for agent_id in self._order if self._holds(rest, agent_id)]
        return sorted(agent_id for agent_id in indexed if self._holds(rest, agent_id))

    def _holds(self, predicate: Predicate | None, agent_id: str) -> bool:
        return predicate is None or predicate(self._entries[agent_id].record)

    def _indexed(self, filter: Filter) -> Collection[str] | None:
        """What the standing indexes say; None when the filter asks none of them."""
        sets: list[Ids] = []
        if filter.type is not UNSET:
            sets.append(self._types.get(filter.type))
        if filter.name is not UNSET:
            sets.append(self._names.get(filter.name))
        statuses = accepted_statuses(filter)
        if statuses is not None:
            sets.append(set().union(*(self._statuses.get(each) for each in statuses)))
        if filter.capabilities is not UNSET:
            sets.extend(self._capabilities.get(each) for each in filter.capabilities)
        if filter.metadata is not UNSET:
            sets.extend(
                self._metadata_index(path).get(value)
                for path, value in filter.metadata.items()
                if isinstance(value, str)
            )
        if not sets:
            return None
        sets.sort(key=len)
        return sets[0].intersection(*sets[1:]) if len(sets) > 1 else sets[0]

    def _index(self, record: AgentRecord) -> None:
        agent_id = record.id
        self._types.add(agent_id, (record.type,))
        self._names.add(agent_id, (record.name,))
        self._statuses.add(agent_id, (record.status,))
        self._capabilities.add(agent_id, record.capabilities)
        for path, index in self._metadata.items():
            index.add(agent_id, _text_at(record, path))

    def _metadata_index(self, path: str) -> Index:
        """The index of a metadata path, made when it is first asked for."""
        index = self._metadata.get(path)
        if index is None:
            index = Index()
            for agent_id, entry in self._entries.items():
                index.add(agent_id, _text_at(entry.record, path))
            self._metadata[path] = index
            if len(self._metadata) > MAX_METADATA_INDEXES:
                self._metadata.popitem(last=False)
        self._metadata.move_to_end(path)
        return index

    def _reindex(self, old: AgentRecord, new: AgentRecord) -> None:
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
            for path, index in self._metadata.items():
                index.discard(agent_id, _text_at(old, path))
                index.add(agent_id, _text_at(new, path))


def _text_at(record: AgentRecord, path: str) -> tuple[str, ...]:
    # Only text is indexed: 1, 1.0 and true are different in JSON and equal as Python keys.
    value = metadata_value(record, path)
    return (value,) if isinstance(value, str) else ()
