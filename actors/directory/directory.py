"""The directory: every agent that can be discovered, and which of them match a filter.

It is the fold of the log: `put` and `remove` are called in the order of revisions. Between two
changes of a record, its `last_seen` moves on with every heartbeat (`refresh`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from actors.directory.indexes import Indexes
from actors.directory.predicates import Predicate, compile_filter, compile_unindexed
from homeport_protocol.bounds import UUID
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import AgentRecord

_ID = re.compile(UUID)

REMEMBERED = 128
"""Filters whose matches are remembered; the least recently used one is forgotten."""

FEW_CHANGES = 256
"""Changes up to which remembered matches are brought up to date rather than searched again."""

LONG = 100
"""Matches from which on the whole page is kept until the next change."""

MAX_PAGES = 4
"""Pages that are kept; one without a limit in bytes is only a list of all records."""


class DirectoryEntry(Struct, gc=False):
    """A record and its JSON, encoded once and reused for every answer."""

    record: AgentRecord
    data: bytes


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


class _Matches(Struct):
    """The ids that matched a filter at a generation, in order; found by looking at so many."""

    predicate: Predicate | None
    ids: list[str]
    looked_at: int
    generation: int


class Directory:
    """All agents of one namespace, by id and by the attributes that filters name."""

    def __init__(self) -> None:
        self._entries: dict[str, DirectoryEntry] = {}
        self._order: list[str] = []
        self._indexes = Indexes()
        self._generation = 0  # counts the changes
        self._changed: deque[str] = deque(
            maxlen=FEW_CHANGES
        )  # ids of the last changes, oldest first
        self._remembered: OrderedDict[bytes, _Matches] = OrderedDict()
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
            self._entries[agent_id] = DirectoryEntry(record, data)
            insort(self._order, agent_id)
            self._indexes.add(record)
        else:
            previous = entry.record
            entry.record = record
            entry.data = data
            self._indexes.replace(previous, record)
        self._note_change(agent_id)
        return previous

    def refresh(self, record: AgentRecord, data: bytes) -> None:
        """Replace a record that differs in `last_seen` alone: it matches the same filters."""
        entry = self._entries.get(record.id)
        if entry is not None:
            entry.record = record
            entry.data = data
            self._pages.clear()

    def remove(self, agent_id: str) -> AgentRecord | None:
        """Remove an agent; returns its record, or None when it is not known."""
        entry = self._entries.pop(agent_id, None)
        if entry is None:
            return None
        del self._order[bisect_left(self._order, agent_id)]
        self._indexes.discard(entry.record)
        self._note_change(agent_id)
        return entry.record

    def find(
        self,
        filter: Filter,
        limit: int | None,
        cursor: str | None,
        max_bytes: int | None = None,
    ) -> Page:
        """The agents that match, ordered by id, after `cursor`, at most `limit` of them.

        With `max_bytes` the page ends before the record with which it would be larger, but not
        before its first. Raises ProtocolError `bad_request` for a filter or cursor that cannot be
        understood.
        """
        if cursor is not None and _ID.match(cursor) is None:
            raise ProtocolError(
                "bad_request", "cursor: send the next_cursor of the page before", field="cursor"
            )
        name = encode(filter)
        ids = self._matching(name, filter)
        if len(ids) >= LONG and cursor is None and (limit is None or limit >= len(ids)):
            return self._whole(name, ids, max_bytes)
        start = 0 if cursor is None else bisect_right(ids, cursor)
        stop = len(ids) if limit is None else start + limit
        return self._page(ids, start, stop, max_bytes)

    def matching(self, filter: Filter) -> list[str]:
        """Ids of all agents that match, in order; valid until the next change of the directory.

        The caller must not change the list. Raises ProtocolError as `find`.
        """
        return self._matching(encode(filter), filter)

    def _note_change(self, agent_id: str) -> None:
        self._generation += 1
        self._changed.append(agent_id)
        self._pages.clear()

    def _page(self, ids: list[str], start: int, stop: int, max_bytes: int | None) -> Page:
        entries = self._entries
        if max_bytes is None:
            found = [entries[agent_id].data for agent_id in ids[start:stop]]
        else:
            found, left = [], max_bytes
            for agent_id in islice(ids, start, stop):
                data = entries[agent_id].data
                left -= len(data) + 1  # with a comma
                if left < 0 and found:
                    break
                found.append(data)
            stop = start + len(found)
        return Page(found, ids[stop - 1] if stop < len(ids) else None)

    def _whole(self, name: bytes, ids: list[str], max_bytes: int | None) -> Page:
        """The first page, which is all of it if it is not too large; kept for other callers."""
        page = self._pages.get((name, max_bytes))
        if page is None:
            if len(self._pages) == MAX_PAGES:
                self._pages.clear()
            page = self._page(ids, 0, len(ids), max_bytes)
            self._pages[name, max_bytes] = page
        return page

    def _matching(self, name: bytes, filter: Filter) -> list[str]:
        """As `matching`; `name` is what the filter is remembered by."""
        if name == _ALL:
            return self._order
        known = self._remembered.get(name)
        if known is None:
            known = _Matches(compile_filter(filter), *self._search(filter), self._generation)
            self._remembered[name] = known
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        else:
            self._remembered.move_to_end(name)
            if known.generation != self._generation:
                self._bring_up_to_date(known, filter)
        return known.ids

    def _search(self, filter: Filter) -> tuple[list[str], int]:
        """The ids that match, in order, and how many ids had to be looked at."""
        entries, order = self._entries, self._order
        narrowed = self._indexes.narrow(filter, entries.values())
        rest = compile_unindexed(filter)
        looked_at = len(order) if narrowed is None else len(narrowed)
        if narrowed is None:
            found = [*order]
        elif looked_at * 8 < len(order):
            found = sorted(narrowed)
        else:  # sorting most of the ids takes longer than looking at all
            found = [agent_id for agent_id in order if agent_id in narrowed]
        if rest is not None:
            found = [agent_id for agent_id in found if rest(entries[agent_id].record)]
        return found, looked_at

    def _bring_up_to_date(self, known: _Matches, filter: Filter) -> None:
        missed = self._generation - known.generation
        known.generation = self._generation
        if missed > len(self._changed) or missed * 4 > known.looked_at:
            known.ids, known.looked_at = self._search(filter)
            return
        ids, predicate = known.ids, known.predicate
        for agent_id in islice(self._changed, len(self._changed) - missed, None):
            entry = self._entries.get(agent_id)
            matches = entry is not None and (predicate is None or predicate(entry.record))
            at = bisect_left(ids, agent_id)
            listed = at < len(ids) and ids[at] == agent_id
            if matches and not listed:
                ids.insert(at, agent_id)
            elif listed and not matches:
                del ids[at]


_ALL = encode(MATCH_ALL)
