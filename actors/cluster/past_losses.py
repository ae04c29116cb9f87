"""What a starting hub knows of past losses: from the newest part of the log, and from records."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import assert_never

from msgspec import UNSET, Struct

from actors.cluster.mass_loss import Population
from actors.watch.history import REMOVALS, LogEvent
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp


class PastChange(Struct, frozen=True):
    """A change as it was folded then, with the population after it and its Unix time.

    `known`: whether the agent was listed before.
    """

    kind: Kind
    record: AgentRecord
    known: bool
    population: Population
    wall: float


def past_changes(
    records: list[AgentRecord], events: list[LogEvent], registered_lately: set[str]
) -> Iterator[PastChange]:
    """The changes that led to `records`, oldest first, as far as they are known.

    `events` are the newest part of the log. Agents that were lost before it begins come first, and
    those that registered before it and are in `registered_lately`. Populations are counted back
    from what is stored now.
    """
    logged = {event.record.id for event in events}
    older = [
        past_change_of(record, registered=record.status != "unreachable")
        for record in records
        if record.id not in logged
        and (record.status == "unreachable" or record.id in registered_lately)
    ]
    known: dict[str, tuple[int, int]] = {}
    changes: list[tuple[Kind, AgentRecord, int, int]] = []
    for _, kind, record in sorted(older, key=itemgetter(0)):
        changes.append((kind, record, 1, 1) if kind == "registered" else (kind, record, 0, -1))
    for event in events:
        before = known.get(event.record.id) or _counts_before(event)
        after = (0, 0) if event.kind in REMOVALS else _counts(event.record)
        known[event.record.id] = after
        changes.append((event.kind, event.record, after[0] - before[0], after[1] - before[1]))
    listed = len(records) - sum(change[2] for change in changes)
    reachable = sum(_counts(record)[1] for record in records) - sum(each[3] for each in changes)
    wall = 0.0
    for kind, record, more_listed, more_reachable in changes:
        listed += more_listed
        reachable += more_reachable
        wall = max(wall, parse_timestamp(record.health.since))
        yield PastChange(kind, record, more_listed < 1, Population(listed, reachable), wall)


def past_change_of(record: AgentRecord, *, registered: bool) -> tuple[float, Kind, AgentRecord]:
    """When its last change was, in Unix time, and which: that it registered, or its new status."""
    if registered and record.status != "unreachable":
        return parse_timestamp(record.registered_at), "registered", record
    return parse_timestamp(record.health.since), "status_changed", record


def _counts(record: AgentRecord) -> tuple[int, int]:
    """1 or 0: whether the agent is listed, and whether it is reachable."""
    return 1, int(record.status != "unreachable")


def _counts_before(event: LogEvent) -> tuple[int, int]:
    """The same before an event; what is no longer known is guessed from its kind."""
    if event.previous is None:
        return 0, 0
    if event.previous is not UNSET:
        return _counts(event.previous)
    match event.kind:
        case "registered":
            return 0, 0
        case "status_changed":
            return 1, int(event.record.status == "unreachable")
        case "expired":
            return 1, 0
        case "lost" | "resumed" | "updated" | "unregistered":
            return _counts(event.record)
        case _:
            assert_never(event.kind)
