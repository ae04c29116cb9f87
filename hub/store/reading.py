"""Reading what is stored, in pieces that are small enough for the time limit of one command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from actors.ports import Loaded, LogEntry
from hub import logs
from hub.store.keys import Keys
from hub.store.lane import Lane
from hub.store.scripts import DROP_GHOSTS
from protocol.bounds import Kind

PIECE = 500
"""Entries or records of one command; at the largest, they are some 10 MB."""

_log = logs.get("hub.store")


async def load(lane: Lane, keys: Keys, log_length: int) -> Loaded:
    """All that is stored; at most `log_length` entries of the log.

    The log is read first: every change that it ends with is in the records that are read next.
    """
    newest = await lane.ask(b"XREVRANGE", keys.log, b"+", b"-", b"COUNT", b"1")
    entries: list[LogEntry] = []
    if newest:
        after = max(0, _revision(newest[0][0]) - log_length)
        entries = await read_log(lane, keys, after, None)
    records, ghosts = await _read_records(lane, keys)
    return Loaded(records, entries[-log_length:], ghosts)


async def read_log(lane: Lane, keys: Keys, after: int, upto: int | None) -> list[LogEntry]:
    """The log's entries with `after` < revision <= `upto` (None: to the end), oldest first."""
    end = b"+" if upto is None else b"%d" % upto
    entries: list[LogEntry] = []
    while upto is None or after < upto:
        start = b"%d" % (after + 1)
        piece = await lane.ask(b"XRANGE", keys.log, start, end, b"COUNT", b"%d" % PIECE)
        for entry_id, fields in piece:
            after = _revision(entry_id)
            entry = _entry(after, fields)
            if entry is not None:
                entries.append(entry)
        if len(piece) < PIECE:
            break
    return entries


async def _read_records(lane: Lane, keys: Keys) -> tuple[list[bytes], list[str]]:
    """The records of all active agents, and the ids that had none and have been dropped."""
    records: list[bytes] = []
    without: list[bytes] = []
    # An agent that is active all the while is found for certain, and perhaps twice.
    seen: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, members = await lane.ask(b"SSCAN", keys.active, cursor, b"COUNT", b"%d" % PIECE)
        fresh = [each for each in dict.fromkeys(members) if each not in seen]
        seen.update(fresh)
        for piece in _pieces(fresh):
            values = await lane.ask(b"MGET", *(keys.agent_prefix + each for each in piece))
            for agent_id, value in zip(piece, values, strict=True):
                if value is None:
                    without.append(agent_id)
                else:
                    records.append(value)
        if cursor == b"0":
            break
    ghosts: list[str] = []
    for piece in _pieces(without):
        ghosts += await _drop_ghosts(lane, keys, piece, records)
    return records, ghosts


async def _drop_ghosts(lane: Lane, keys: Keys, ids: list[bytes], records: list[bytes]) -> list[str]:
    """Drop the ids that still have no entry; records that have appeared join `records`."""
    entries = [keys.agent_prefix + each for each in ids]
    answers = await lane.run(DROP_GHOSTS, [keys.active, *entries], ids)
    ghosts: list[str] = []
    for agent_id, answer in zip(ids, answers, strict=True):
        name = agent_id.decode(errors="backslashreplace")
        if isinstance(answer, bytes):
            records.append(answer)
        elif answer:
            _log.warning("a key holds no record and is left alone", agent=name)
        else:
            ghosts.append(name)
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
    except (KeyError, UnicodeDecodeError):
        _log.warning("an entry of the log is not a hub's and is passed over", revision=revision)
        return None
    return LogEntry(revision, cast(Kind, kind), record, key)
