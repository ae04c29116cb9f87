"""The newest part of the log, kept in memory so that a watch can resume without a snapshot."""

from __future__ import annotations

from collections import deque

from msgspec import UNSET, Struct, UnsetType

from actors.ports.store import LogEntry
from actors.rules.positions import PositionIssuer
from homeport_protocol.bounds import Kind
from homeport_protocol.codec import decode_record
from homeport_protocol.record import AgentRecord


class LogEvent(Struct, gc=False):
    """One change of the log, as watches are sent it.

    `previous` is the record before the change: None when there was none, UNSET when it is no
    longer known. `key` is that of the log's entry. `frames` holds the event's JSON by watch number,
    encoded once for all watches; `position` is the part of it that all have in common.
    """

    revision: int
    kind: Kind
    record: AgentRecord
    data: bytes
    previous: AgentRecord | UnsetType | None
    key: str = ""
    issuer: PositionIssuer | None = None
    position: bytes | None = None
    frames: dict[int, bytes] | None = None

    def forget_frames(self) -> None:
        """A watch that lags behind has it encoded again."""
        self.frames = self.position = None


REMOVALS = frozenset({"unregistered", "expired"})


class History:
    """Consecutive events up to the current revision: `length` of them, and `max_bytes`, at most.

    Their bytes are those of their records as JSON.
    """

    def __init__(self, length: int, max_bytes: int) -> None:
        self._events: deque[LogEvent] = deque()
        self._length = length
        self._max_bytes = max_bytes
        self._revision = 0
        self.bytes = 0
        """Bytes of all events."""
        self._before: str | None = ""

    def clear(self, revision: int, key: str | None) -> None:
        """Forget all events: nothing before `revision` is known, and of its entry only the key.

        The key is "" where the log begins, and None when it is not known either.
        """
        self._events.clear()
        self._revision = revision
        self._before = key
        self.bytes = 0

    def append(self, event: LogEvent) -> bool:
        """Add the next event; its revision is the current one plus one.

        Returns whether older ones were dropped for their bytes.
        """
        events = self._events
        events.append(event)
        self._revision = event.revision
        self.bytes += len(event.data)
        if len(events) > self._length:
            self._drop()
        if self.bytes <= self._max_bytes:
            return False
        while self.bytes > self._max_bytes:
            self._drop()
        return True

    def _drop(self) -> None:
        dropped = self._events.popleft()
        self.bytes -= len(dropped.data)
        self._before = dropped.key

    def key_at(self, revision: int) -> str | None:
        """The key of the log's entry at a revision that is reached; None when it is not known."""
        number = len(self._events) - (self._revision - revision) - 1
        return self._events[number].key if number >= 0 else self._before

    def reaches(self, since: int) -> bool:
        """Whether every change after `since` is still here."""
        first = self._events[0].revision if self._events else self._revision + 1
        return first - 1 <= since <= self._revision

    def after(self, since: int, at_most: int) -> list[LogEvent]:
        """The first events with a revision above `since`, oldest first."""
        events = self._events
        start = max(0, len(events) - (self._revision - since))
        return [events[at] for at in range(start, min(start + at_most, len(events)))]

    def __len__(self) -> int:
        return len(self._events)


def read_events(entries: list[LogEntry]) -> list[LogEvent]:
    """The log's newest part as events for watches.

    The `previous` of an event is found among the events before it; where there is none, it is
    UNSET, unless it is a registration in a log that is here from its first entry on. An entry that
    cannot be read ends what is known: only what comes after it is returned.
    """
    whole = bool(entries) and entries[0].revision == 1
    known: dict[str, AgentRecord | None] = {}
    events: list[LogEvent] = []
    for entry in entries:
        try:
            record = decode_record(entry.record)
        except (ValueError, RecursionError):
            whole = False
            known.clear()
            events.clear()
            continue
        previous = known.get(record.id, UNSET)
        if previous is UNSET and entry.kind == "registered" and whole:
            previous = None
        known[record.id] = None if entry.kind in REMOVALS else record
        events.append(
            LogEvent(entry.revision, entry.kind, record, entry.record, previous, entry.key)
        )
    return events
