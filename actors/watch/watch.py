"""Watches: subscriptions to the log, each with its own pace.

A watch sends while its connection has less than HIGH_WATER bytes unsent. Beyond that it keeps
only the newest state of each agent, so that what it holds is bounded by the number of agents,
and sends that when the peer has read on. The order of revisions is kept throughout.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET, Struct

from actors.directory.predicates import compile_filter
from actors.ports.link import Link
from actors.watch.history import REMOVALS, LogEvent
from homeport_protocol.codec import encode
from homeport_protocol.filters import Filter

HIGH_WATER = 1024 * 1024
"""Unsent bytes beyond which events are coalesced, and queries wait."""

CHUNK_AGENTS = 100
CHUNK_BYTES = 48 * 1024
"""A snapshot message ends at whichever of the two it reaches first."""


class _Owed(Struct, gc=False):
    entry: LogEvent
    coalesced: bool
    newborn: bool


class Watch:
    """One subscription of one connection."""

    __slots__ = ("_link", "_matches", "_owed", "_snapshot", "filter", "number")

    def __init__(self, number: int, filter: Filter, link: Link) -> None:
        """Raises ProtocolError `bad_request` for a filter that cannot be understood."""
        self.filter = filter
        self.number = number
        self._matches = compile_filter(filter)
        self._link = link
        self._snapshot: Iterator[bytes] | None = None
        self._owed: dict[str, _Owed] = {}

    def begin_snapshot(self, agents: list[bytes], log: str, revision: int) -> None:
        """Send all agents that match as of `revision`, and then what comes after it."""
        self._owed.clear()
        self._snapshot = _chunks(self.number, agents, log, revision)
        self.pump()

    def publish(self, entry: LogEvent) -> None:
        """Tell of a change, if the agent is or was in the filter."""
        if not self._concerns(entry):
            return
        if self._snapshot is None and not self._owed and self._link.unsent < HIGH_WATER:
            self._link.send(event_frame(self.number, entry))
        else:
            self._owe(entry)

    def pump(self) -> None:
        """Send what is owed while the link takes it."""
        link = self._link
        while self._snapshot is not None and link.unsent < HIGH_WATER:
            chunk = next(self._snapshot, None)
            if chunk is None:
                self._snapshot = None
            else:
                link.send(chunk)
        if self._snapshot is not None:
            return
        while self._owed and link.unsent < HIGH_WATER:
            agent_id = next(iter(self._owed))
            owed = self._owed.pop(agent_id)
            link.send(event_frame(self.number, owed.entry, coalesced=owed.coalesced))

    def _concerns(self, entry: LogEvent) -> bool:
        matches, previous = self._matches, entry.previous
        return (
            matches is None
            or matches(entry.record)
            or previous is UNSET  # it may have matched, so the peer may know it
            or (previous is not None and matches(previous))
        )

    def _owe(self, entry: LogEvent) -> None:
        agent_id = entry.record.id
        older = self._owed.pop(agent_id, None)
        if older is None:
            newborn = entry.kind == "registered" and entry.previous is None
            self._owed[agent_id] = _Owed(entry, False, newborn)
        elif not (older.newborn and entry.kind in REMOVALS):
            # (An agent that came and went while the peer was not reading leaves no trace.)
            self._owed[agent_id] = _Owed(entry, True, older.newborn)


def event_frame(number: int, entry: LogEvent, *, coalesced: bool = False) -> bytes:
    """The event's JSON, the same bytes for every watch of that number."""
    if coalesced:
        return _event(number, entry, b',"coalesced":true')
    frames = entry.frames
    if frames is None:
        frames = entry.frames = {}
    frame = frames.get(number)
    if frame is None:
        frame = frames[number] = _event(number, entry, b"")
    return frame


def _event(number: int, entry: LogEvent, suffix: bytes) -> bytes:
    return b'{"op":"event","watch":%d,"revision":%d,"kind":"%s","agent":%s%s}' % (
        number,
        entry.revision,
        entry.kind.encode(),
        entry.data,
        suffix,
    )


def _chunks(number: int, agents: list[bytes], log: str, revision: int) -> Iterator[bytes]:
    head = b'{"op":"snapshot","watch":%d,"agents":[' % number
    tail = b'],"log":%s,"revision":%d,"last":' % (encode(log), revision)
    start = 0
    while True:
        stop, size = start, 0
        while stop < len(agents) and stop - start < CHUNK_AGENTS and size < CHUNK_BYTES:
            size += len(agents[stop])
            stop += 1
        last = stop == len(agents)
        yield head + b",".join(agents[start:stop]) + tail + (b"true}" if last else b"false}")
        if last:
            return
        start = stop
