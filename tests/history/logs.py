"""The logs of a history, put together from all that was seen of them."""

from __future__ import annotations

from collections.abc import Iterator

from homeport_protocol.record import AgentRecord
from tests.history.recorded import Entry, Event, History, Snapshot, Watch

REMOVALS = frozenset({"unregistered", "expired"})

Logs = dict[str, dict[int, Entry]]
"""Entries by log and revision; in each log in the order of revisions."""


def logs_of(history: History) -> Logs:
    """The union of what the store said of its logs and what full watches saw of them."""
    logs: Logs = {}
    for entry in history.entries:
        logs.setdefault(entry.log, {}).setdefault(entry.revision, entry)
    for watch in history.watches:
        for log, event in events_of(watch):
            if event.coalesced:
                continue
            entries = logs.setdefault(log, {})
            if event.revision not in entries:
                entries[event.revision] = Entry(
                    log=log, revision=event.revision, kind=event.kind, agent=event.agent
                )
    return {log: dict(sorted(entries.items())) for log, entries in logs.items()}


def is_drained(entry: Entry | Event) -> bool:
    """Whether it says that a stopping hub let go of the agent, which watches need not hear."""
    return entry.kind == "lost" and entry.agent.health.reason == "draining"


def events_of(watch: Watch) -> Iterator[tuple[str, Event]]:
    """The events of a watch, each with the name of its log."""
    log = watch.log
    for seen in watch.seen:
        if isinstance(seen, Snapshot):
            log = seen.log
        else:
            yield log, seen


def by_agent(entries: dict[int, Entry]) -> dict[str, list[Entry]]:
    """A log's entries of each agent, in order."""
    result: dict[str, list[Entry]] = {}
    for entry in entries.values():
        result.setdefault(entry.agent.id, []).append(entry)
    return result


def was_lost(history: History, log: str, revision: int) -> bool:
    """Whether the store lost that revision of that log, so that another may stand in its place."""
    return any(
        loss.log == log and (loss.kept is None or loss.kept < revision) for loss in history.losses
    )


def lost_between(history: History, start: float, end: float, agent_id: str = "") -> bool:
    """Whether the store lost changes in that time, or knew the agent no more."""
    ran_out = history.ran_out.get(agent_id, ())
    return any(start <= loss.at <= end for loss in history.losses) or any(
        start <= at <= end for at in ran_out
    )


def troubled(history: History, start: float, end: float) -> bool:
    """Whether something was done to the cluster then, or shortly before."""
    return any(
        fault.at <= end and start <= fault.until + history.terms.hub_lease
        for fault in history.faults
    )


def without_readings(record: AgentRecord) -> tuple[object, ...]:
    """What must be the same everywhere: `last_seen` and `load` move on without an event."""
    health = record.health
    return (
        record.id,
        record.name,
        record.type,
        record.status,
        record.version,
        record.registered_at,
        repr(record.metadata),
        health.connection,
        health.reported,
        health.reason,
        health.since,
        record.epoch,
        record.hub,
        record.revision,
    )


def matches(filter: dict[str, object], record: AgentRecord) -> bool:
    """Whether a record has the values that a recorded filter names."""
    return all(getattr(record, name) == value for name, value in filter.items())
