"""Which agents match a filter: searched once, in slices, and then brought up to date."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator, Mapping, Set

from msgspec import Struct

from actors.directory.changes import Changes
from actors.directory.indexes import Indexed, Indexes
from actors.directory.predicates import Predicate, compile_filter, compile_unindexed, name_of
from homeport_protocol.filters import MATCH_ALL, Filter

REMEMBERED = 128
"""Filters whose matches are remembered; the least recently used one is forgotten."""

LOOKED_AT = 1000
"""Ids that one step of a search compares with indexes."""

TRIED = 16
"""Records that one step of a search tries a predicate on: the dearest takes some 50 µs each."""

SORTED = 4096
"""Ids up to which those found are sorted; of more, all ids are looked at in their order."""


class _Matches(Struct):
    """The ids that matched a filter after so many changes, in order.

    `looked_at` is how many ids the search had to look at.
    """

    ids: list[str]
    looked_at: int
    count: int


class Matches:
    """The matches of the filters that are asked for, in one directory.

    It is given the directory's own parts, and changes none of them but `indexes`, which builds an
    index when a filter needs it.
    """

    def __init__(
        self, entries: Mapping[str, Indexed], order: list[str], indexes: Indexes, changes: Changes
    ) -> None:
        self._entries = entries
        self._order = order
        self._indexes = indexes
        self._changes = changes
        self._remembered: OrderedDict[bytes, _Matches] = OrderedDict()

    def known(self, name: bytes) -> list[str] | None:
        """As `of`, if nothing has to be done for it."""
        if name == _ALL:
            return self._order
        known = self._remembered.get(name)
        if known is None or known.count != self._changes.count:
            return None
        self._remembered.move_to_end(name)
        return known.ids

    def of(self, name: bytes, filter: Filter) -> Generator[None, None, list[str]]:
        """The ids that match in the moment when this ends, in order.

        `name` is `name_of(filter)`. The list is valid until the next change of the directory; the
        caller must not change it. Raises ProtocolError for a filter that cannot be understood.
        """
        ids = self.known(name)
        if ids is not None:
            return ids
        known = self._remembered.get(name)
        predicate = compile_filter(filter)
        with self._changes.kept() as now:
            if known is None or self._outdated(known, now):
                known = yield from self._search(filter)
            self._remember(name, known)
            while known.count != self._changes.count:
                if not self._bring_up_to_date(known, predicate):  # too old while it waited
                    known = yield from self._search(filter)
                    self._remember(name, known)
                elif known.count != self._changes.count:
                    yield
            return known.ids

    def _remember(self, name: bytes, known: _Matches) -> None:
        self._remembered[name] = known
        self._remembered.move_to_end(name)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _outdated(self, known: _Matches, now: int) -> bool:
        """Whether it takes less to search again than to bring them up to date."""
        missed = now - known.count
        return self._changes.since(known.count, 0) is None or missed * 4 > known.looked_at

    def _search(self, filter: Filter) -> Generator[None, None, _Matches]:
        """Look at all ids that may match. Those that change meanwhile must be looked at again."""
        count = self._changes.count
        entries, order = self._entries, self._order
        rest = compile_unindexed(filter)
        sets = yield from self._indexes.narrow(filter, entries)
        looked_at = len(sets[0]) if sets else len(order)
        if sets and looked_at * 8 < len(order) and looked_at <= SORTED:
            ids = sorted(_common(sets))
            sets = []
        else:  # sorting most of the ids takes longer than looking at all
            ids = [*order]
        found: list[str] = []
        for start in range(0, len(ids), LOOKED_AT):
            if start:
                yield
            chunk = ids[start : start + LOOKED_AT]
            for each in sets:
                chunk = [agent_id for agent_id in chunk if agent_id in each]
            if rest is not None:
                chunk = yield from self._try(rest, chunk)
            found += chunk
        return _Matches(found, looked_at, count)

    def _try(self, predicate: Predicate, ids: list[str]) -> Generator[None, None, list[str]]:
        entries = self._entries
        found: list[str] = []
        for start in range(0, len(ids), TRIED):
            if start:
                yield
            for agent_id in ids[start : start + TRIED]:
                entry = entries.get(agent_id)
                if entry is not None and predicate(entry.record):
                    found.append(agent_id)
        return found

    def _bring_up_to_date(self, known: _Matches, predicate: Predicate | None) -> bool:
        """Take in the next changes, TRIED at most; False when they are no longer known."""
        ids = known.ids
        changed = self._changes.since(known.count, TRIED)
        if changed is None:
            return False
        for agent_id in changed:
            entry = self._entries.get(agent_id)
            matches = entry is not None and (predicate is None or predicate(entry.record))
            at = bisect_left(ids, agent_id)
            listed = at < len(ids) and ids[at] == agent_id
            if matches and not listed:
                ids.insert(at, agent_id)
            elif listed and not matches:
                del ids[at]
        known.count += len(changed)
        return True


def _common(sets: list[Set[str]]) -> Set[str]:
    """The ids that are in all sets; the smallest comes first."""
    found, *others = sets
    for each in others:
        found = found & each  # iterates the smaller of both
    return found


_ALL = name_of(MATCH_ALL)
