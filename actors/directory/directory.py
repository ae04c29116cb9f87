"""The directory: every agent that can be discovered, and which of them match a filter.

It is the fold of the log: `put` and `remove` are called in the order of revisions. Between two
changes of a record, its `last_seen` and `load` move on with heartbeats (`refresh`). Queries are
generators that may be interrupted at each `yield`; other queries and changes may come between.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Generator, Iterator

from msgspec import Struct

from actors.directory.changes import Changes
from actors.directory.indexes import Indexes
from actors.directory.matches import Matches
from actors.directory.predicates import compile_filter, name_of
from homeport_protocol.bounds import UUID
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord

_ID = re.compile(UUID)

LONG = 100
"""Matches from which on the whole page is kept until the next change."""

AT_ONCE = 2000
"""Records that one step of a query collects."""

FEW_AT_ONCE = 16
"""Changes that one step of a query takes in, and records whose bytes are counted afterwards."""

MAX_PAGES = 4
"""Pages that are kept; one without a limit in bytes is only a list of all records."""


class DirectoryEntry(Struct, gc=False):
    """A record and its JSON, encoded once and reused for every answer."""

    record: AgentRecord
    data: bytes
    size: int
    """Bytes as of the last change: what `refresh` adds or takes is not worth counting."""
    picks: int = 0
    """How often `least_loaded` picked it since it was last heard of."""


class Page(Struct):
    """Records as JSON, ordered by id; `next_cursor` is None on the last page."""

    agents: list[bytes]
    next_cursor: str | None
    _joined: bytes | None = None

    @property
    def joined(self) -> bytes:
        """The records with commas between them, put together once."""
        if self._joined is None:
            self._joined = b",".join(self.agents)
        return self._joined

    def slices(self, size: int) -> Iterator[bytes]:
        """The same in pieces of about `size` bytes, without the commas between the pieces."""
        begin = held = 0
        for end, data in enumerate(self.agents, 1):
            held += len(data)
            if held >= size or end == len(self.agents):
                yield b",".join(self.agents[begin:end])
                begin, held = end, 0


class Directory:
    """All agents of one namespace, by id and by the attributes that filters name."""

    def __init__(self) -> None:
        self._entries: dict[str, DirectoryEntry] = {}
        self.bytes = 0
        """Bytes of all records as JSON."""
        self._order: list[str] = []
        self._indexes = Indexes()
        self._changes = Changes()
        self.movements = Changes()
        """The changes, and what `refresh` changes for `least_loaded`: loads, counts of picks."""
        self._matches = Matches(self._entries, self._order, self._indexes, self._changes)
        self._pages: dict[tuple[bytes, int | None], Page] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, agent_id: str) -> bool:
        return agent_id in self._entries

    def get(self, agent_id: str) -> DirectoryEntry | None:
        """The agent's entry, or None."""
        return self._entries.get(agent_id)

    def ids(self) -> list[str]:
        """All ids in order; the caller must not change the list."""
        return self._order

    def status_counts(self) -> dict[str, int]:
        """How many agents are in each status."""
        return self._indexes.status_counts()

    def count(self, status: str) -> int:
        """How many agents are in that status."""
        return self._indexes.status_count(status)

    def put(self, record: AgentRecord, data: bytes) -> AgentRecord | None:
        """Add an agent or replace its record; returns the record before, or None."""
        agent_id = record.id
        entry = self._entries.get(agent_id)
        if entry is None:
            previous = None
            self._entries[agent_id] = DirectoryEntry(record, data, len(data))
            self.bytes += len(data)
            insort(self._order, agent_id)
            self._indexes.add(record)
        else:
            previous = entry.record
            self.bytes += len(data) - entry.size
            entry.record = record
            entry.data = data
            entry.size = len(data)
            entry.picks = 0
            self._indexes.replace(previous, record)
        self._note_change(agent_id)
        return previous

    def refresh(self, record: AgentRecord, data: bytes) -> bool:
        """Replace a record that differs in no more than `last_seen` and `load`, as for filters.

        Returns whether the load moved.
        """
        entry = self._entries.get(record.id)
        if entry is None:
            return False
        moved = entry.record.load != record.load
        if moved or entry.picks:
            entry.picks = 0
            self.movements.note(record.id)
        entry.record = record
        entry.data = data
        self._pages.clear()
        return moved

    def remove(self, agent_id: str) -> AgentRecord | None:
        """Remove an agent; returns its record, or None when it is not known."""
        entry = self._entries.pop(agent_id, None)
        if entry is None:
            return None
        del self._order[bisect_left(self._order, agent_id)]
        self.bytes -= entry.size
        self._indexes.discard(entry.record)
        self._note_change(agent_id)
        return entry.record

    def find(
        self,
        filter: Filter,
        limit: int | None,
        cursor: str | None,
        max_bytes: int | None = None,
    ) -> Generator[None, None, Page]:
        """The agents that match, ordered by id, after `cursor`, at most `limit` of them.

        They are those of one revision, that of the moment when this ends. With `max_bytes` the page
        ends before the record with which it would be larger, but not before its first. Raises
        ProtocolError `bad_request` for a filter or cursor that cannot be understood.
        """
        if cursor is not None and _ID.match(cursor) is None:
            raise ProtocolError(
                "bad_request", "cursor: send the next_cursor of the page before", field="cursor"
            )
        name = name_of(filter)
        ids = self._matches.known(name)
        if ids is None:
            ids = yield from self._matches.of(name, filter)
        if len(ids) >= LONG and cursor is None and (limit is None or limit >= len(ids)):
            return (yield from self._whole(name, filter, ids, max_bytes))
        start = 0 if cursor is None else bisect_right(ids, cursor)
        stop = len(ids) if limit is None else start + limit
        return self._page(ids, start, stop, max_bytes)

    def matching(self, filter: Filter) -> Generator[None, None, list[str]]:
        """Ids of all agents that match, in order; valid until the next change of the directory.

        The caller must not change the list. Raises ProtocolError as `find`.
        """
        return self._matches.of(name_of(filter), filter)

    def _note_change(self, agent_id: str) -> None:
        self._changes.note(agent_id)
        self.movements.note(agent_id)
        self._pages.clear()

    def _page(self, ids: list[str], start: int, stop: int, max_bytes: int | None) -> Page:
        entries = self._entries
        stop = min(stop, len(ids))
        if max_bytes is None or stop - start <= FEW_AT_ONCE:
            found = [entries[agent_id].data for agent_id in ids[start:stop]]
            if max_bytes is None or sum(map(len, found)) + len(found) <= max_bytes:
                return Page(found, ids[stop - 1] if stop < len(ids) else None)
        found, left = [], max_bytes
        for at in range(start, stop):
            data = entries[ids[at]].data
            left -= len(data) + 1  # with a comma
            if left < 0 and found:
                break
            found.append(data)
        stop = start + len(found)
        return Page(found, ids[stop - 1] if stop < len(ids) else None)

    def _whole(
        self, name: bytes, filter: Filter, ids: list[str], max_bytes: int | None
    ) -> Generator[None, None, Page]:
        """The first page, which is all of it if it is not too large; kept for other callers."""
        page = self._pages.get((name, max_bytes))
        if page is None:
            if max_bytes is None and len(ids) > AT_ONCE:
                page = Page((yield from self._many(ids, filter)), None)
            else:
                page = self._page(ids, 0, len(ids), max_bytes)
            if len(self._pages) == MAX_PAGES:
                self._pages.clear()
            self._pages[name, max_bytes] = page
        return page

    def _many(self, ids: list[str], filter: Filter) -> Generator[None, None, list[bytes]]:
        """The records of these ids, read in slices, as of the moment when this ends."""
        changes, entries, matches = self._changes, self._entries, compile_filter(filter)
        with changes.kept() as began:
            count = began
            ids, agents = [*ids], list[bytes]()
            for start in range(0, len(ids), AT_ONCE):
                for agent_id in ids[start : start + AT_ONCE]:
                    entry = entries.get(agent_id)
                    agents.append(b"" if entry is None else entry.data)
                yield
            while changed := changes.since(count, FEW_AT_ONCE):
                count += len(changed)
                for agent_id in changed:
                    at = bisect_left(ids, agent_id)
                    if at < len(ids) and ids[at] == agent_id:
                        del ids[at], agents[at]
                    entry = entries.get(agent_id)
                    if entry is not None and (matches is None or matches(entry.record)):
                        ids.insert(at, agent_id)
                        agents.insert(at, entry.data)
                if count != changes.count:
                    yield
        return agents
