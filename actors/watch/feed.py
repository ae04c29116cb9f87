"""The feed of directory changes: the newest part of the log, and the watches that follow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from actors.directory.directory import Directory
from actors.directory.predicates import Predicate
from actors.limits import Limits
from actors.ports.clock import INFINITE
from actors.ports.store import Position
from actors.rules.positions import LogPosition, PositionIssuer, entry_digest
from actors.runtime.turns import Steps, Turns, Work, complete
from actors.watch.history import REMOVALS, History, LogEvent
from actors.watch.watch import Watch, concerns
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord

_UNKNOWN = ""
"""No agent's id: stands for the missing agents while it is not known which they are."""

AT_ONCE = 16
"""Changes that one step judges or sends."""

MAX_BACKLOG = 1000
"""Changes that wait to be passed on, beyond which all of them are passed on at once."""


class Feed:
    """Folds changes into the directory, in the log's order, and passes them to all watches.

    A change is folded at once, and passed on in turns (`actors.runtime.turns`). What is not passed
    on yet waits in order, up to MAX_BACKLOG changes. `trimmed` is called when changes are dropped
    for their bytes.
    """

    def __init__(
        self, directory: Directory, limits: Limits, turns: Turns, trimmed: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._turns = turns
        self._history = History(limits.log_length, limits.max_log_bytes)
        self._trimmed = trimmed
        self._watches: dict[Watch, _Group] = {}
        self._groups: dict[bytes, _Group] = {}
        self._backlog: deque[LogEvent] = deque()
        self._passing_on: Steps[None] | None = None
        self._starting_over: Work[None] | None = None
        self._missing: set[str] | None = None
        self._issuer = PositionIssuer("", b"")
        self._key = ""
        self.revision = 0

    @property
    def log(self) -> str:
        """The name of the log that is followed."""
        return self._issuer.log

    @property
    def watches(self) -> int:
        """How many watches follow."""
        return len(self._watches)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the changes that are kept."""
        return self._history.bytes

    @property
    def is_up_to_date(self) -> bool:
        """Whether all changes have been passed on to the watches."""
        return self._passing_on is None and self._missing is None

    @property
    def incomplete(self) -> bool:
        """Whether agents are missing in a new log, so that no watch knows of it yet."""
        return self._missing is not None

    @property
    def missing(self) -> Collection[str]:
        """The agents that a new log does not tell of yet."""
        return self._missing or ()

    def restart(
        self, at: Position, secret: bytes, events: list[LogEvent], missing: set[str]
    ) -> None:
        """Start with what the log holds up to `at`; nothing before `events` is known.

        Every watch starts over with a snapshot, but not before the agents that are `missing` in
        the log have been put there. Otherwise a watch could resume at a hub that knows nothing but
        this log, and go on listing agents that the log never had.
        """
        self._issuer = PositionIssuer(at.log, secret)
        if events:
            self._history.clear(events[0].revision - 1, None)
        else:
            self._history.clear(at.revision, at.key)
        for event in events:
            event.issuer = self._issuer
            self._history.append(event)
        self.revision, self._key = at.revision, at.key
        self._missing = missing
        self._backlog.clear()
        for watch in self._watches:
            watch.after = INFINITE
        if self._starting_over is not None:
            self._starting_over.cancel()
        if not missing:
            self.complete()

    def suspend(self, at: Position, secret: bytes) -> None:
        """Send nothing until `restart`: changes up to `at` are missing here."""
        self.restart(at, secret, [], {_UNKNOWN})

    def no_longer_missing(self, agent_id: str) -> None:
        """The agent is back in the log, or will not be."""
        if self._missing is not None:
            self._missing.discard(agent_id)
            if not self._missing:
                self.complete()

    def complete(self) -> None:
        """Wait for no missing agent any longer: send every watch a snapshot."""
        if self._missing is not None:
            self._missing = None
            if self._watches:
                steps = self._start_over([*self._watches])
                self._starting_over = self._turns.start(steps, _nothing, ahead=True)

    def fold(self, kind: Kind, record: AgentRecord, data: bytes, key: str) -> None:
        """Take in the next change of the log; `key` is that of its entry."""
        if kind in REMOVALS:
            previous = self._directory.remove(record.id)
        else:
            previous = self._directory.put(record, data)
        self.revision, self._key = record.revision, key
        event = LogEvent(record.revision, kind, record, data, previous, key, self._issuer)
        if self._history.append(event):
            self._trimmed()
        if self._missing is not None:
            self.no_longer_missing(record.id)
            return
        if not self._groups:
            return
        self._backlog.append(event)
        if self._passing_on is None:
            self._passing_on = self._pass_on()
            self._turns.start(self._passing_on, self._passed_on, ahead=True)
        elif len(self._backlog) > MAX_BACKLOG:
            complete(self._passing_on)

    def reaches(self, log: str, since: int) -> bool:
        """Whether every change of `log` after `since` is still known."""
        return log == self.log and self._missing is None and self._history.reaches(since)

    def holds(self, position: LogPosition) -> bool:
        """Whether the log has that very entry, and every change after it is still known."""
        if not self.reaches(position.log, position.revision):
            return False
        key = self._history.key_at(position.revision)
        if not key:  # there is no entry: nothing came before it, or it has been trimmed
            return position.revision == 0 and position.entry == entry_digest("")
        return position.entry == entry_digest(key)

    def follows(self, position: LogPosition) -> bool:
        """Whether the log does not contradict the position, as far as it has been folded here."""
        if position.revision > self.revision:
            return False
        return not self.reaches(position.log, position.revision) or self.holds(position)

    def contradicts(self, position: LogPosition) -> bool:
        """Whether the position proves that the log lost changes: it is of no part of this one.

        Everything durable must have been folded, and the position must be a hub's.
        """
        if self._missing is not None:
            return False
        if position.revision > self.revision:
            return True
        if not self.reaches(position.log, position.revision):
            return False
        key = self._history.key_at(position.revision)
        return bool(key) and position.entry != entry_digest(key or "")

    @property
    def position(self) -> str:
        """The position of the newest change."""
        return self._issuer.issue(self.revision, self._key)

    def follow(self, watch: Watch, since: int | None) -> Steps[None]:
        """Send what the watch missed since `since`, or a snapshot; then every change.

        What it missed may be dropped, or the log be another, before all of it is sent: then it
        starts over with a snapshot.
        """
        watch.after, issuer = 0, self._issuer
        while since is not None:
            if issuer is not self._issuer or not self.reaches(self.log, since):
                since = None
                break
            events = self._history.after(since, AT_ONCE)
            for event in events:
                if concerns(watch.matches, event):
                    watch.publish(event)
                event.forget_frames()
            since = watch.after = self.revision if not events else events[-1].revision
            if since == self.revision:
                break
            yield
        if since is None:
            watch.after = INFINITE
            yield from self._send_snapshot(watch)
        group = self._groups.get(watch.name)
        if group is None:
            group = self._groups[watch.name] = _Group(watch.matches)
        group.watches[watch] = None
        self._watches[watch] = group

    def forget(self, watch: Watch) -> None:
        """Send the watch nothing more."""
        watch.after = INFINITE
        group = self._watches.pop(watch, None)
        if group is not None:
            del group.watches[watch]
            if not group.watches:
                del self._groups[watch.name]

    def _pass_on(self) -> Steps[None]:
        """Pass the changes that wait to all watches; watches of one filter are judged once."""
        backlog = self._backlog
        done = 0
        while backlog:
            event = backlog.popleft()
            for group in tuple(self._groups.values()):
                watches = tuple(group.watches) if concerns(group.matches, event) else ()
                for watch in watches:
                    watch.publish(event)
                    done += 1
                    if done % AT_ONCE == 0:
                        yield
                done += 1
                if done % AT_ONCE == 0:
                    yield
            event.forget_frames()

    def _passed_on(self, _result: object) -> None:
        self._passing_on = None
        if self._backlog:
            self._passing_on = self._pass_on()
            self._turns.later(self._passing_on, self._passed_on)

    def _start_over(self, watches: list[Watch]) -> Steps[None]:
        for watch in watches:
            if watch in self._watches:
                yield from self._send_snapshot(watch)
                yield

    def _send_snapshot(self, watch: Watch) -> Steps[None]:
        """Send a snapshot, unless agents are missing: then it comes when none is any more."""
        if self._missing is not None:
            return
        page = yield from self._directory.find(watch.filter, None, None)
        if self._missing is None:
            watch.send_snapshot(page.agents, self.log, self.revision, self.position)


class _Group:
    """The watches of equal filters."""

    __slots__ = ("matches", "watches")

    def __init__(self, matches: Predicate | None) -> None:
        self.matches = matches
        self.watches: dict[Watch, None] = {}


def _nothing(_result: object) -> None:
    """What came of it is nobody's concern."""
