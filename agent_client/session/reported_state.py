"""What the program said about its agent: the one place that decides what the hub should know.

Each call is a `Report`, and the reports are kept in the order in which the program spoke. They are
settled field by field, and metadata key by key:

| what happened to a report | what follows |
|---|---|
| it waits for a connection | nothing else carries its values |
| it was sent, and has no answer yet | heartbeats and registrations carry its values as well |
| it was acknowledged | its values are the hub's; older ones are settled with them |
| it was refused | its values are forgotten, as if they had never been said |
| its caller gave up, and nobody knows | it is owed: it goes with what is sent next, by itself |

A message carries the newest value of each field, so none that arrives undoes a newer one. What a
hub may hold after a refusal or an unknown outcome, though nobody stands by it, is in doubt: there
the last good value is owed again.

Metadata is checked against its bound here, so that a value that no hub can accept fails the call
that gave it and never becomes part of a registration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from agent_client.errors import from_protocol
from homeport_protocol.bounds import Metadata
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentChanges, AgentSpec, merge_metadata, unique

Key = tuple[str, ...]
"""What is settled by itself: `(field,)`, or `("metadata", key)`."""

_VITAL: tuple[Key, ...] = (("status",), ("load",))
"""What every heartbeat says, and every registration: without a status a hub takes it as healthy."""

_FIELDS: tuple[Key, ...] = tuple(
    (field,) for field in AgentChanges.__struct_fields__ if field != "metadata"
)


_MOST_OWED = 64
"""Reports that are owed at a time with all their values. Older values count when newer are refused;
beyond this, only the newest of each field does."""


class Report:
    """What one call said; `values` are those of its values that are not settled."""

    def __init__(self, values: dict[Key, Any]) -> None:
        self.values = values
        self.sent = False
        self.owed = False
        self.refused = False
        self.withheld = False
        """A registration that carried it was refused: it is sent alone."""


class Words(NamedTuple):
    """The values of one message, and the report that each comes from; None for settled ones."""

    changes: AgentChanges
    sources: dict[Key, Report | None]


class ReportedState:
    """The agent's values as its program said them, and what the hub knows of them."""

    def __init__(self, spec: AgentSpec) -> None:
        _check_metadata(UNSET, spec.metadata)
        self._spec = spec
        self._settled = {k: value for k, value in _values_of(spec).items() if value is not None}
        self._reports: list[Report] = []
        self._doubtful: set[Key] = set()
        self.owing = asyncio.Event()
        """Set while `owed` has something."""

    # --- what is sent -------------------------------------------------------------------------

    def current(self) -> AgentSpec:
        """All values, for a registration."""
        values = dict(self._settled)
        for report in self._reports:
            if _is_carried(report):
                values.update(report.values)
        fields = _fields_of({key: value for key, value in values.items() if value is not None})
        return msgspec.structs.replace(self._spec, **{"metadata": UNSET, **fields})

    def of(self, report: Report) -> Words:
        """What to send for `report`: its values that no newer report supersedes."""
        newer: set[Key] = set()
        for other in reversed(self._reports):
            if other is report:
                break
            if other.sent or other.owed:
                newer.update(other.values)
        report.withheld = False
        words = self._words(dict.fromkeys(report.values.keys() - newer, report))
        self._changed()  # what it supersedes is not owed while it is under way
        return words

    def vital(self) -> Words:
        """What a heartbeat says."""
        return self._words({key: self._newest(key) for key in _VITAL})

    def unsettled(self) -> Words:
        """What a registration or a resume says: all that the hub may not know."""
        keys = {*_VITAL, *self._doubtful}
        for report in self._reports:
            if _is_carried(report):
                keys.update(report.values)
        return self._words({key: self._newest(key) for key in keys})

    def owed(self) -> Words | None:
        """What to send next by itself; None when nothing is owed.

        The values of one report at a time, so that a refusal costs no other one.
        """
        sources = self._owed()
        for report in sources.values():
            if report is not None:
                report.withheld = False
        return self._words(sources) if sources else None

    # --- what comes of it ---------------------------------------------------------------------

    def say(self, changes: AgentChanges) -> Report:
        """Note what the program says.

        Raises TooLarge or BadRequest if it would take the metadata out of its bounds.
        """
        values = _values_of(changes)
        if changes.metadata is not UNSET:
            known = dict(self._settled)
            for report in self._reports:
                known.update(report.values)
            old = {key[1]: v for key, v in known.items() if len(key) == 2 and v is not None}
            _check_metadata(old, changes.metadata)
        report = Report(values)
        self._reports.append(report)
        return report

    def acknowledge(self, words: Words, own: Report | None = None) -> None:
        """The hub has `words`; `own` is the report that is over with them.

        Values of it that they left out, because newer ones were under way, are owed.
        """
        if own is not None:
            own.owed = True
        for key, report in words.sources.items():
            if report is None:
                self._doubtful.discard(key)
            elif report.refused:
                self._doubtful.add(key)  # said by another message as well, which was not refused
            elif key in report.values:
                if report.owed:
                    self._settle(key, report)
                else:
                    self._doubtful.add(key)  # until its own answer comes
        self._changed()

    def doubt(self, words: Words) -> None:
        """Nobody knows whether the hub has `words`."""
        for key, report in words.sources.items():
            if report is not None and (report.refused or key in report.values):
                self._doubtful.add(key)
        self._changed()

    def distrust(self, keys: Iterable[Key]) -> None:
        """The record may be an older one, which had `keys`: the hub may know nothing any more."""
        self._doubtful.update(_FIELDS, keys, (key for key in self._settled if len(key) == 2))
        self._changed()

    def refuse(self, report: Report) -> None:
        """The hub refused `report`: it has not happened."""
        report.refused = True
        if report in self._reports:
            self._reports.remove(report)
        self._changed()

    def give_up(self, report: Report) -> None:
        """The caller of `report` does not wait any more: it is owed."""
        report.owed = True
        self._changed()

    def drop(self, words: Words) -> None:
        """The hub refused `words` that were owed: their report is forgotten."""
        for key, report in words.sources.items():
            if report is None:
                self._doubtful.discard(key)
            elif not report.refused:
                self.refuse(report)
        self._changed()

    def withhold(self, words: Words) -> bool:
        """A registration with `words` was refused: the next one has only what is settled.

        Returns whether that makes a difference.
        """
        carried = [report for report in words.sources.values() if report is not None]
        for report in carried:
            report.withheld = True
        return bool(carried)

    # --- the rules ----------------------------------------------------------------------------

    def _newest(self, key: Key) -> Report | None:
        for report in reversed(self._reports):
            if key in report.values and _is_carried(report):
                return report
        return None

    def _words(self, sources: dict[Key, Report | None]) -> Words:
        values: dict[Key, Any] = {}
        for key, report in sources.items():
            if report is not None:
                report.sent = True
            known = self._settled if report is None else report.values
            # A key that is not there was deleted; a field that is not there cannot be said.
            value = known.get(key, None if len(key) == 2 else UNSET)
            if value is not UNSET:
                values[key] = value
        return Words(AgentChanges(**_fields_of(values)), sources)

    def _settle(self, key: Key, report: Report) -> None:
        value = report.values[key]
        for older in self._reports:
            older.values.pop(key, None)
            if older is report:
                break
        if value is None:
            self._settled.pop(key, None)
        else:
            self._settled[key] = value
        if not any(key in newer.values for newer in self._reports):
            self._doubtful.discard(key)

    def _owed(self) -> dict[Key, Report | None]:
        """The oldest that is owed, without what a newer report supersedes."""
        newer: set[Key] = set()
        oldest: dict[Key, Report | None] = {}
        for report in reversed(self._reports):
            if report.owed and (keys := report.values.keys() - newer):
                oldest = dict.fromkeys(keys, report)
            if report.sent or report.owed:
                newer.update(report.values)
        if oldest:
            return oldest
        return dict.fromkeys(
            key for key in self._doubtful - newer if len(key) == 2 or key in self._settled
        )

    def _changed(self) -> None:
        """Tell whether something is owed, and forget what is over."""
        owed = [report for report in self._reports if report.owed]
        if len(owed) > _MOST_OWED:
            self._forget_superseded(owed)
        if owed:
            self._reports = [each for each in self._reports if each.values or not each.owed]
        if (owed or self._doubtful) and self._owed():
            self.owing.set()
        else:
            self.owing.clear()

    def _forget_superseded(self, owed: list[Report]) -> None:
        """Keep the newest that is owed of each field: that of a long time without a hub is much."""
        newer: set[Key] = set()
        for report in reversed(owed):
            for key in newer & report.values.keys():
                del report.values[key]
                if report.sent:
                    self._doubtful.add(key)
            newer.update(report.values)
        known = {*self._settled, *self._doubtful}
        for report in self._reports:
            if report.owed and not report.sent:
                # Keys of metadata that came and went meanwhile.
                for key in [k for k, v in report.values.items() if v is None and k not in known]:
                    del report.values[key]
            known.update(report.values)


def _is_carried(report: Report) -> bool:
    """Whether other messages carry what `report` says."""
    return (report.sent or report.owed) and not report.withheld


def _values_of(said: AgentSpec | AgentChanges) -> dict[Key, Any]:
    values: dict[Key, Any] = {}
    for field in AgentChanges.__struct_fields__:
        value = getattr(said, field)
        if value is UNSET:
            continue
        if field == "metadata":
            values.update((("metadata", key), each) for key, each in value.items())
        else:
            values[field,] = unique(value) if field == "capabilities" else value
    return values


def _fields_of(values: dict[Key, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in values.items():
        if len(key) == 2:
            fields.setdefault("metadata", {})[key[1]] = value
        else:
            fields[key[0]] = value
    return fields


def _check_metadata(old: Metadata | UnsetType, changes: Metadata | UnsetType) -> None:
    try:
        merge_metadata(old, changes)
    except ProtocolError as error:
        raise from_protocol(error) from None
