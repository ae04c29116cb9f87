"""Watches: subscriptions to the log, each at the pace of its peer.

A watch sends while its connection has less than HIGH_WATER bytes unsent. Beyond that it keeps
only the newest event of each agent, so that what it holds is bounded by the number of agents,
and sends those when the peer has read on. The order of revisions is kept throughout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec import UNSET, Struct, structs

from actors.directory.predicates import Predicate, compile_filter, name_of
from actors.ports.clock import INFINITE
from actors.ports.link import Link
from actors.rules.records import kind_of
from actors.watch.history import REMOVALS, LogEvent
from homeport_protocol.bounds import Kind
from homeport_protocol.codec import encode
from homeport_protocol.filters import Filter

HIGH_WATER = 1024 * 1024
"""Unsent bytes beyond which events are coalesced, and queries wait."""

CHUNK_AGENTS = 100
CHUNK_BYTES = 48 * 1024
"""A snapshot message ends at whichever of the two it reaches first."""


class _Pending(Struct, gc=False):
    """The newest event of an agent that a watch has not sent yet.

    `coalesced`: it stands for several. `newborn`: the peer does not know the agent yet.
    """

    event: LogEvent
    coalesced: bool
    newborn: bool


class Watch:
    """One subscription of one connection; `kinds` are those of the events it sends, None for all.

    A change of another kind is left out as if it had not been: it does not coalesce with the
    changes that are sent.
    """

    __slots__ = (
        "_kinds",
        "_link",
        "_pending",
        "_snapshot",
        "after",
        "filter",
        "matches",
        "name",
        "number",
    )

    def __init__(
        self, number: int, filter: Filter, link: Link, kinds: Collection[Kind] | None = None
    ) -> None:
        """Raises ProtocolError `bad_request` for a filter that cannot be understood."""
        self.filter = filter
        self.name = name_of(filter)
        """What its filter has in common with equal ones."""
        self.matches = compile_filter(filter)
        """Whether the filter takes a record; None when it takes all."""
        self.number = number
        self.after: float = INFINITE
        """The newest revision that it has been sent; INFINITE while a snapshot is to come."""
        self._kinds = None if kinds is None else frozenset(kinds)
        self._link = link
        self._snapshot: Iterator[bytes] | None = None
        self._pending: dict[str, _Pending] = {}

    def send_snapshot(self, agents: list[bytes], log: str, revision: int, position: str) -> None:
        """Send all agents that match as of `revision`, and then what comes after it."""
        self._pending.clear()
        self._snapshot = _chunks(self.number, agents, log, revision, position)
        self.after = revision
        self.pump()

    def publish(self, event: LogEvent) -> None:
        """Send a change that concerns its filter, now or later, if it has not been sent yet."""
        if event.revision <= self.after:
            return
        if self._kinds is not None and event.kind not in self._kinds:
            return
        if self._snapshot is None and not self._pending and self._link.unsent < HIGH_WATER:
            self._link.send(event_frame(self.number, event))
        else:
            self._postpone(event)

    def send_loads(self, loads: bytes) -> bool:
        """Send readings, a JSON object of loads by id; False if other things are to come first."""
        waits = self.after == INFINITE or self._snapshot is not None or self._pending
        if waits or self._link.unsent >= HIGH_WATER:
            return False
        self._link.send(b'{"op":"reading","watch":%d,"loads":%s}' % (self.number, loads))
        return True

    def pump(self) -> None:
        """Send what is pending while the link takes it."""
        link = self._link
        while self._snapshot is not None and link.unsent < HIGH_WATER:
            chunk = next(self._snapshot, None)
            if chunk is None:
                self._snapshot = None
            else:
                link.send(chunk)
        if self._snapshot is not None:
            return
        while self._pending and link.unsent < HIGH_WATER:
            agent_id = next(iter(self._pending))
            pending = self._pending.pop(agent_id)
            link.send(event_frame(self.number, pending.event, coalesced=pending.coalesced))

    def _postpone(self, event: LogEvent) -> None:
        agent_id = event.record.id
        older = self._pending.pop(agent_id, None)
        if older is None:
            newborn = event.kind == "registered" and event.previous is None
            self._pending[agent_id] = _Pending(event, False, newborn)
        elif not (older.newborn and event.kind in REMOVALS):
            # (An agent that came and went while the peer was not reading leaves no trace.)
            self._pending[agent_id] = _Pending(event, True, older.newborn)


def concerns(matches: Predicate | None, event: LogEvent) -> bool:
    """Whether the agent is or was in a filter, and there is something to tell.

    That a stopping hub let go of an agent is not told: mostly the agent is back at once, and where
    it is not, the hub that owns it by then makes a change of that.
    """
    previous = event.previous
    if event.kind == "lost" and event.record.health.reason == "draining" and _only_lost(event):
        return False
    return (
        matches is None
        or matches(event.record)
        or previous is UNSET  # it may have matched, so the peer may know it
        or (previous is not None and matches(previous))
    )


def _only_lost(event: LogEvent) -> bool:
    previous, record = event.previous, event.record
    if previous is None:
        return False
    if previous is UNSET:  # what else it says, the next change says too
        return True
    return kind_of(structs.replace(previous, health=record.health), record) is None


def event_frame(number: int, event: LogEvent, *, coalesced: bool = False) -> bytes:
    """The event's JSON, the same bytes for every watch of that number."""
    if coalesced:
        return _encode_event(number, event, b',"coalesced":true')
    frames = event.frames
    if frames is None:
        frames = event.frames = {}
    frame = frames.get(number)
    if frame is None:
        frame = frames[number] = _encode_event(number, event, b"")
    return frame


def _encode_event(number: int, event: LogEvent, suffix: bytes) -> bytes:
    position = event.position
    if position is None:
        assert event.issuer is not None
        position = event.position = encode(event.issuer.issue(event.revision, event.key))
    return b'{"op":"event","watch":%d,"revision":%d,"position":%s,"kind":"%s","agent":%s%s}' % (
        number,
        event.revision,
        position,
        event.kind.encode(),
        event.data,
        suffix,
    )


def _chunks(
    number: int, agents: list[bytes], log: str, revision: int, position: str
) -> Iterator[bytes]:
    head = b'{"op":"snapshot","watch":%d,"agents":[' % number
    tail = b'],"log":%s,"revision":%d,"last":' % (encode(log), revision)
    start = 0
    while True:
        stop, size = start, 0
        while stop < len(agents) and stop - start < CHUNK_AGENTS and size < CHUNK_BYTES:
            size += len(agents[stop])
            stop += 1
        last = stop == len(agents)
        chunk = head + b",".join(agents[start:stop]) + tail
        if last:
            yield chunk + b'true,"position":%s}' % encode(position)
            return
        yield chunk + b"false}"
        start = stop
