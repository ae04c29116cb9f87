"""Reading the stored data, in pieces that are small enough for the time limit of one command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import repeat
from math import inf

import msgspec
from msgspec import UNSET, Struct, UnsetType

from actors.ports.store import (
    Fenced,
    ForeignRenewal,
    ForeignRenewals,
    Loaded,
    LogEntry,
    Looked,
    Position,
    Stored,
)
from homeport_protocol.bounds import KINDS
from hub.store.backends.lane import Lane
from hub.store.findings import Findings
from hub.store.keys import LARGEST, Keys
from hub.store.leases import read_roster
from hub.store.scripts import DROP_GHOSTS, LOOK, READ_ENTRIES, READ_LOG, READ_RENEWALS
from hub.telemetry import logs

PIECE = 500
"""Entries or records that one command reads; at most about 10 MB."""

ANNOUNCEMENTS = 100
"""Announcements that one command reads, each with the renewals of a batch; at most about 4 MB."""

logger = logs.get("hub.store")


class _Identified(Struct):
    id: str


_identified = msgspec.json.Decoder(_Identified)

_LONGEST_KEY = 256
_LONGEST_TIMES = 100
_LONGEST_OWNER = 4096
_TIMESTAMP = len("2026-01-01T00:00:00.000000Z")


async def load(lane: Lane, keys: Keys, hub_id: str, findings: Findings, log_length: int) -> Loaded:
    """Everything that is stored, with at most `log_length` entries of the log.

    The log is read first, so the records, which are read next, include its newest change.
    """
    newest = await lane.ask(b"XREVRANGE", keys.log, b"+", b"-", b"COUNT", b"1")
    entries: list[LogEntry] = []
    if newest:
        reached = _revision(newest[0][0])
        if reached <= LARGEST:  # else a new log is begun
            entries = await _read_newest(lane, keys, max(0, reached - log_length))
    times: dict[str, str] = {}
    owners: dict[str, str] = {}
    records, ghosts = await _read_records(lane, keys, findings, times, owners)
    roster = await read_roster(lane, keys, hub_id)
    events = _consecutive(entries[-log_length:])
    return Loaded(records, events, ghosts, roster, times, times.pop("", ""), owners)


async def read_log(
    lane: Lane, keys: Keys, position: Position, upto: int | None
) -> list[LogEntry] | Fenced:
    """The log's entries after `position`, up to revision `upto` (None: to the end), oldest first.

    Fenced when the log or its history is another one by now, at any piece.
    """
    log, after, key = position.log.encode(), position.revision, position.key
    end = b"+" if upto is None else b"%d" % upto
    entries: list[LogEntry] = []
    while True:
        arguments = [log, b"%d" % after, key.encode(), end, b"%d" % PIECE]
        piece = await lane.run(READ_LOG, [keys.log_name, keys.log], arguments)
        if piece == b"fenced":
            return Fenced()
        for entry_id, fields in piece:
            after, key = _revision(entry_id), ""
            entry = _entry(after, fields)
            if entry is not None:
                entries.append(entry)
                key = entry.key
        if len(piece) < PIECE:
            return entries


async def read_entries(lane: Lane, keys: Keys, ids: list[str]) -> dict[str, Stored]:
    """The stored entries of those agents; ids without a record are left out.

    An entry that never expires does not show when it was renewed: its ttl is 0.
    """
    stored: dict[str, Stored] = {}
    for start in range(0, len(ids), PIECE):
        piece = ids[start : start + PIECE]
        answer = await lane.run(READ_ENTRIES, [keys.agent(each) for each in piece], [])
        for agent_id, record, left in zip(piece, answer[::2], answer[1::2], strict=True):
            if record is not None:
                stored[agent_id] = Stored(record, max(0, left) / 1000)
    return stored


async def look(
    lane: Lane, keys: Keys, log: str, agent_ids: list[str], cursor: str
) -> Looked | Fenced:
    """What other programs did to these agents, and a part of the active set from `cursor` on.

    Fenced when the log is another one.
    """
    found: dict[int, list[str]] = {ord("w"): [], ord("d"): []}
    for start in range(0, len(agent_ids), PIECE):
        piece = agent_ids[start : start + PIECE]
        entries = [keys.log_name, keys.active, *map(keys.agent, piece)]
        answer = await lane.run(LOOK, entries, [log.encode(), *(each.encode() for each in piece)])
        if answer == b"fenced":
            return Fenced()
        for agent_id, what in zip(piece, answer, strict=True):
            if what in found:
                found[what].append(agent_id)
    begin = cursor.encode() or b"0"
    count = b"%d" % (2 * PIECE)
    following, members = await lane.ask(b"SSCAN", keys.active, begin, b"COUNT", count)
    active = [each.decode(errors="replace") for each in members]
    overwritten, deleted = found.values()
    return Looked(overwritten, deleted, active, "" if following == b"0" else following.decode())


async def _read_newest(lane: Lane, keys: Keys, after: int) -> list[LogEntry]:
    """The entries after that revision, of whichever log there is."""
    entries: list[LogEntry] = []
    while True:
        start = b"%d" % (after + 1)
        piece = await lane.ask(b"XRANGE", keys.log, start, b"+", b"COUNT", b"%d" % PIECE)
        for entry_id, fields in piece:
            after = _revision(entry_id)
            entry = _entry(after, fields)
            if entry is not None:
                entries.append(entry)
        if len(piece) < PIECE:
            return entries


def _consecutive(entries: list[LogEntry]) -> list[LogEntry]:
    """The newest entries without a gap: what was passed over, watches cannot be told."""
    first = len(entries)
    while first and (
        first == len(entries) or entries[first - 1].revision == entries[first].revision - 1
    ):
        first -= 1
    return entries[first:]


async def _read_records(
    lane: Lane, keys: Keys, findings: Findings, times: dict[str, str], owners: dict[str, str]
) -> tuple[list[bytes], list[str]]:
    """The records of all active agents, and the ids without a record, which were dropped.

    What agents were told is added to `times`, by their ids, and under "" what is usual; the
    principals that they belong to are added to `owners`.
    """
    records: list[bytes] = []
    without: list[bytes] = []
    # SSCAN returns an agent that is active throughout at least once, and perhaps twice.
    seen: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, members = await lane.ask(b"SSCAN", keys.active, cursor, b"COUNT", b"%d" % PIECE)
        fresh = [each for each in dict.fromkeys(members) if each not in seen]
        seen.update(fresh)
        for piece in _pieces(fresh):
            values = await lane.ask(b"MGET", *(keys.agent_prefix + each for each in piece))
            told = await lane.ask(b"HMGET", keys.times, b"", *piece)
            for agent_id, text in zip((b"", *piece), told, strict=True):
                if text is not None:
                    times[_name(agent_id)] = _times(text)
            owned = await lane.ask(b"HMGET", keys.owners, *piece)
            for agent_id, text in zip(piece, owned, strict=True):
                if text is not None:
                    owners[_name(agent_id)] = _owner(text)
            for agent_id, value in zip(piece, values, strict=True):
                if value is None:
                    without.append(agent_id)
                elif _is_of(agent_id, value):
                    records.append(value)
                else:
                    findings.no_record(keys.agent_prefix + agent_id)
        if cursor == b"0":
            break
    ghosts: list[str] = []
    for piece in _pieces(without):
        ghosts += await _drop_ghosts(lane, keys, piece, records, findings)
    return records, ghosts


def _is_of(agent_id: bytes, record: bytes) -> bool:
    """Whether the record, which may not be one, is of that agent."""
    if record.startswith(b'{"id":"%s"' % agent_id):  # as hubs write it
        return True
    try:
        return _identified.decode(record).id.encode() == agent_id
    except (ValueError, RecursionError):
        return False


def _times(text: bytes) -> str:
    return text[:_LONGEST_TIMES].decode(errors="replace")


def _owner(text: bytes) -> str:
    return text[:_LONGEST_OWNER].decode(errors="replace")


def _name(agent_id: bytes) -> str:
    return agent_id[:_LONGEST_KEY].decode(errors="backslashreplace")


async def _drop_ghosts(
    lane: Lane, keys: Keys, ids: list[bytes], records: list[bytes], findings: Findings
) -> list[str]:
    """Drop the ids that still have no entry; add records that have appeared to `records`."""
    entries = [keys.agent_prefix + each for each in ids]
    answers = await lane.run(DROP_GHOSTS, [keys.active, keys.times, keys.owners, *entries], ids)
    ghosts: list[str] = []
    for agent_id, answer in zip(ids, answers, strict=True):
        if isinstance(answer, bytes):
            records.append(answer)
        elif answer:
            findings.no_record(keys.agent_prefix + agent_id)
        else:
            ghosts.append(_name(agent_id))
    return ghosts


def _pieces(items: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(items), PIECE):
        yield items[start : start + PIECE]


def _revision(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _entry(revision: int, fields: list[bytes]) -> LogEntry | None:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        kind, record = named[b"kind"].decode(), named[b"agent"]
        key = named.get(b"key", b"").decode()
        times = _times(named.get(b"times", b""))
        owner = _owner(named.get(b"owner", b""))
    except (KeyError, UnicodeDecodeError):
        kind, record, key, times, owner = "", b"", "", "", ""
    if kind not in KINDS or len(key) > _LONGEST_KEY:
        logger.warning(
            "an entry of the change log is no hub's and is passed over", revision=revision
        )
        return None
    return LogEntry(revision, kind, record, key, times, owner)


async def read_renewals(lane: Lane, keys: Keys, hub_id: str, position: str) -> ForeignRenewals:
    """The renewals that other hubs have announced since `position`, oldest first."""
    known, own = position.encode(), hub_id.encode()
    renewals: list[ForeignRenewal] = []
    while True:
        arguments = [known, own, b"%d" % ANNOUNCEMENTS]
        known, more, *found = await lane.run(READ_RENEWALS, [keys.seen], arguments)
        for age, text, loads in zip(found[::3], found[1::3], found[2::3], strict=True):
            renewals += _renewals(text.decode(errors="replace"), loads, age / 1000)
        if more == b"0":
            return ForeignRenewals(known.decode(), renewals)


def _renewals(text: str, loads: bytes, age: float) -> Iterator[ForeignRenewal]:
    lines, told = text.split("\n"), loads.split(b"\n")
    for line, load in zip(lines, told if len(told) == len(lines) else repeat(b""), strict=False):
        agent_id, _, last_seen = line.rpartition(" ")
        if len(last_seen) == _TIMESTAMP and last_seen[-1] == "Z":
            try:
                datetime.fromisoformat(last_seen)
            except ValueError:
                continue  # no hub wrote it
            yield ForeignRenewal(agent_id, last_seen, age, _load(load))


def _load(text: bytes) -> float | UnsetType:
    try:
        load = float(text)
    except ValueError:
        return UNSET  # there is none, or no hub wrote it
    return load if 0 <= load < inf else UNSET
