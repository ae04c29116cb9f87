"""From what programs noted to the history that the checkers judge."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from msgspec import Struct

from tests.faults.notes import (
    Answered,
    Ended,
    Heard,
    Note,
    Opened,
    Pulse,
    Said,
    Snapped,
    Trouble,
    Watching,
    of_kind,
)
from tests.history.recorded import Ask, Event, Fault, History, Op, Session, Snapshot, Watch

CUTTING = ("killed", "cut")
"""Faults that end the connections which they meet."""

JOINING = ("register", "resume")


class _Reader(Struct):
    """One program's notes so far."""

    opened: dict[int, Opened] = {}
    sessions: dict[int, Session] = {}
    asks: dict[int, Ask] = {}
    watches: dict[int, Watch] = {}
    told: dict[str, float] = {}
    """When each watcher was given its newest position."""


def fill(history: History, notes: list[Note], killed_at: float | None) -> None:
    """Add what a program noted; `killed_at` when it was killed before it ended by itself."""
    reader = _Reader()
    for note in notes:
        if note.at <= history.end:
            _take(reader, note)
    for session in reader.sessions.values():
        _end_session(session, history.faults, killed_at)
    for watch in reader.watches.values():
        watch.open = watch.open and killed_at is None
    history.sessions += reader.sessions.values()
    history.asks += reader.asks.values()
    history.watches += reader.watches.values()


def _take(reader: _Reader, note: Note) -> None:
    match note:
        case Opened():
            reader.opened[note.connection] = note
        case Said():
            _take_ask(reader, note)
        case Answered():
            _take_answer(reader, note)
        case Ended():
            session = reader.sessions.get(note.connection)
            if session is not None:
                session.closed, session.code = note.at, note.code
            if note.connection in reader.watches:
                reader.watches[note.connection].open = False
        case Watching():
            reader.watches[note.connection] = Watch(
                watcher=note.watcher,
                hub=note.hub,
                at=note.at,
                resumed=note.resumed,
                log=note.log,
                revision=note.revision,
                since=note.since,
                since_log=note.since_log,
                known_at=reader.told.get(note.watcher) if note.by_position else None,
            )
        case Snapped():
            reader.told[reader.watches[note.connection].watcher] = note.at
            reader.watches[note.connection].seen.append(
                Snapshot(at=note.at, log=note.log, revision=note.revision, agents=note.agents)
            )
        case Heard():
            reader.told[reader.watches[note.connection].watcher] = note.at
            reader.watches[note.connection].seen.append(
                Event(
                    at=note.at,
                    revision=note.revision,
                    kind=note.kind,
                    agent=note.agent,
                    coalesced=note.coalesced,
                )
            )
        case _:
            pass


def _take_ask(reader: _Reader, note: Said) -> None:
    session = reader.sessions.get(note.connection)
    if note.connection and session is None:
        opened = reader.opened[note.connection]
        session = Session(
            number=note.connection, agent_id=note.agent_id, hub=note.hub, opened=opened.at
        )
        reader.sessions[note.connection] = session
    reader.asks[note.number] = Ask(
        said=note.at,
        op=cast(Op, note.op),
        agent_id=note.agent_id,
        hub=note.hub,
        session=note.connection or None,
        epoch=session.epoch if session else 0,
        says=note.says,
    )


def _take_answer(reader: _Reader, note: Answered) -> None:
    ask = reader.asks[note.number]
    ask.answered, ask.code = note.at, note.code
    ask.given, ask.revision, ask.log = note.given, note.revision, note.log
    ask.durable, ask.unknown = note.durable, note.unknown
    ask.agent_id = note.agent_id or ask.agent_id
    session = reader.sessions.get(ask.session or 0)
    if session is not None and ask.acknowledged and ask.op in JOINING:
        session.joined, session.epoch = note.at, note.given


def _end_session(session: Session, faults: list[Fault], killed_at: float | None) -> None:
    """The earliest moment from which its connection did not work, known to its peers or not."""
    ends = [each for each in (session.closed, killed_at) if each is not None]
    for fault in faults:
        met = fault.at >= session.opened and (session.closed is None or fault.at <= session.closed)
        if fault.kind in CUTTING and fault.subject in (session.hub, "network") and met:
            ends.append(fault.at)
    session.ended = min(ends, default=None)


def legacy_ids(notes: list[Note]) -> list[str]:
    """The identities of the agents that came over HTTP and have not been forgotten."""
    forgotten = set()
    asked = {note.number: note for note in of_kind(notes, Said)}
    ids = []
    for note in of_kind(notes, Answered):
        said = asked[note.number]
        if note.agent_id:
            ids.append(note.agent_id)
        elif not said.connection and note.code == "404":
            forgotten.add(said.agent_id)
    return [each for each in ids if each not in forgotten]


def troubles(notes: list[Note]) -> list[str]:
    """What the program itself saw that must not be."""
    return [note.words for note in of_kind(notes, Trouble)]


def longest_pause(notes: list[Note], start: float, end: float) -> float:
    """The longest time for which the program did not run, in between."""
    at = [note.at for note in of_kind(notes, Pulse) if start <= note.at <= end]
    return max((after - before for before, after in pairwise(at)), default=0.0)
