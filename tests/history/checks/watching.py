"""Watches: ordered, unique, gap-free, resumable at any hub, and the same for all."""

from __future__ import annotations

from msgspec import structs

from actors.rules.records import kind_of
from homeport_protocol.record import AgentRecord
from tests.history.logs import (
    REMOVALS,
    events_of,
    is_drained,
    logs_of,
    matches,
    was_lost,
    without_readings,
)
from tests.history.recorded import Event, Found, History, Slack, Snapshot, Watch


def watch_is_ordered(history: History, slack: Slack) -> list[str]:
    """Within a watch, revisions only rise: none comes twice, none out of order."""
    wrong = []
    for watch in history.watches:
        at = watch.since if watch.resumed and watch.since is not None else -1
        log = watch.log
        for seen in watch.seen:
            if isinstance(seen, Snapshot):
                at, log = seen.revision, seen.log
            elif seen.revision <= at:
                wrong.append(f"{_name(watch)}: revision {seen.revision} of {log} came after {at}")
            else:
                at = seen.revision
    return wrong


def watch_has_no_gap(history: History, slack: Slack) -> list[str]:
    """A watch sees every change of its agents between its beginning and its newest event.

    One of all agents sees every revision; one that filters sees those whose agent matches, or
    did before. A watch that is open at the end has seen everything that the store holds.
    """
    logs = logs_of(history)
    wrong = []
    for watch in history.watches:
        for log, since, events, last in _runs(watch):
            if any(event.coalesced for event in events):
                continue
            seen = {event.revision for event in events}
            upto = max(seen, default=since)
            stored = history.stored
            if watch.open and last and stored is not None:
                if log != stored.log:
                    wrong.append(f"{_name(watch)}: it stands in {log}, the store in {stored.log}")
                    continue
                upto = max(upto, stored.revision)
            if not watch.filter and not watch.kinds:
                drained = {each for each, entry in logs.get(log, {}).items() if is_drained(entry)}
                missing = [
                    each
                    for each in range(since + 1, upto + 1)
                    if each not in seen and each not in drained
                ]
            else:
                missing = [
                    each
                    for each in _unseen(watch, logs.get(log, {}), seen, since, upto)
                    if not was_lost(history, log, each)  # another change may stand in its place
                ]
            if missing:
                few = ", ".join(map(str, missing[:5]))
                wrong.append(f"{_name(watch)}: of {log} after {since}, it never saw {few}")
    return wrong


def _runs(watch: Watch) -> list[tuple[str, int, list[Event], bool]]:
    """(log, revision it begins after, its events, whether it is the last) from each beginning."""
    runs: list[tuple[str, int, list[Event]]] = []
    if watch.resumed:
        assert watch.since is not None
        runs.append((watch.log, watch.since, []))
    for seen in watch.seen:
        if isinstance(seen, Snapshot):
            runs.append((seen.log, seen.revision, []))
        elif runs:
            runs[-1][2].append(seen)
    return [(*run, run is runs[-1]) for run in runs]


def _unseen(
    watch: Watch, entries: dict[int, object], seen: set[int], since: int, upto: int
) -> list[int]:
    known: dict[str, AgentRecord] = {}
    missing = []
    for revision, entry in entries.items():
        record: AgentRecord = entry.agent  # type: ignore[attr-defined]
        before = known.get(record.id)
        concerns = matches(watch.filter, record) or (
            before is not None and matches(watch.filter, before)
        )
        asked_for = not watch.kinds or entry.kind in watch.kinds  # type: ignore[attr-defined]
        asked_for = asked_for and not is_drained(entry)  # type: ignore[arg-type]
        if since < revision <= upto and concerns and asked_for and revision not in seen:
            missing.append(revision)
        if entry.kind in REMOVALS:  # type: ignore[attr-defined]
            known.pop(record.id, None)
        else:
            known[record.id] = record
    return missing


def drained_is_told_late(history: History, slack: Slack) -> list[str]:
    """That a stopping hub let go of an agent is told only once the agent is not back in time.

    So no watch sees that change itself, unless it says something else as well.
    """
    wrong = []
    for watch in history.watches:
        known: dict[str, AgentRecord] = {}
        for seen in watch.seen:
            if isinstance(seen, Snapshot):
                known = {agent.id: agent for agent in seen.agents}
                continue
            before, record = known.get(seen.agent.id), seen.agent
            known[record.id] = record
            if before is None or seen.coalesced or watch.kinds or not is_drained(seen):
                continue
            if kind_of(structs.replace(before, health=record.health), record) is None:
                wrong.append(f"{_name(watch)}: it was told at once that {record.name} was let go")
    return wrong


def watch_keeps_to_its_kinds(history: History, slack: Slack) -> list[str]:
    """A watch of some kinds sees no event of another."""
    return [
        f"{_name(watch)}, of {', '.join(watch.kinds)}: revision {event.revision} was {event.kind}"
        for watch in history.watches
        if watch.kinds
        for _, event in events_of(watch)
        if event.kind not in watch.kinds
    ]


def watch_resumes(history: History, slack: Slack) -> list[str]:
    """A resumed watch goes on in the log that was asked for; any other begins with a snapshot."""
    wrong = []
    for watch in history.watches:
        if watch.resumed:
            if watch.since is None or watch.log != watch.since_log:
                wrong.append(f"{_name(watch)}: resumed in {watch.log}, not in {watch.since_log!r}")
            elif watch.revision < watch.since and not was_lost(history, watch.log, watch.since):
                wrong.append(f"{_name(watch)}: resumed at {watch.since}, newer than the hub knows")
        elif watch.seen and not isinstance(watch.seen[0], Snapshot):
            wrong.append(f"{_name(watch)}: an event came before its snapshot")
        elif watch.open and not watch.seen:
            wrong.append(f"{_name(watch)}: its snapshot never came")
    return wrong


def watch_gives_the_directory(history: History, slack: Slack) -> list[str]:
    """What a watcher of all agents folds, over all its watches, is what its hub shows."""
    folds: dict[str, dict[str, AgentRecord]] = {}
    last: dict[str, Watch] = {}
    for watch in history.watches:
        if watch.filter or watch.kinds:
            continue
        told = folds.setdefault(watch.watcher, {})
        last[watch.watcher] = watch
        for seen in watch.seen:
            if isinstance(seen, Snapshot):
                told.clear()
                told.update({each.id: each for each in seen.agents})
            elif seen.kind in REMOVALS:
                told.pop(seen.agent.id, None)
            else:
                told[seen.agent.id] = seen.agent
    wrong = []
    shown = {found.hub: found for found in history.found}  # the last one of each hub
    for watcher, watch in last.items():
        found = shown.get(watch.hub)
        if watch.open and found is not None:
            wrong += [f"{_name(watch)}: {each}" for each in _differences(folds[watcher], found)]
    return wrong


def _differences(told: dict[str, AgentRecord], found: Found) -> list[str]:
    shown = {each.id: each for each in found.agents}
    wrong = []
    for agent_id in sorted({*told, *shown}):
        if agent_id not in told:
            wrong.append(f"it was never told of {agent_id}")
        elif agent_id not in shown:
            wrong.append(f"it believes in {agent_id}, which is not there")
        elif without_readings(told[agent_id]) != without_readings(shown[agent_id]):
            wrong.append(f"it believes something else of {agent_id} than is shown")
    return wrong


def same_revision_same_event(history: History, slack: Slack) -> list[str]:
    """A revision of a log is the same event at every hub and for every watcher."""
    logs = logs_of(history)
    wrong = []
    for watch in history.watches:
        for log, event in events_of(watch):
            entry = logs[log].get(event.revision) if log in logs else None
            if event.coalesced or entry is None or was_lost(history, log, event.revision):
                continue
            if (event.kind, event.agent) != (entry.kind, entry.agent):
                wrong.append(
                    f"{_name(watch)}: revision {event.revision} of {log} was {event.kind} "
                    f"{event.agent.name}, elsewhere {entry.kind} {entry.agent.name}"
                )
    return wrong


def _name(watch: Watch) -> str:
    return f"{watch.watcher} at {watch.hub} from {watch.at:.3f}"
