"""The feed of directory changes: the newest part of the log, and the watches that follow it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from actors.directory.directory import Directory
from actors.limits import Limits
from actors.ports.store import Position
from actors.rules.positions import LogPosition, PositionIssuer, entry_digest
from actors.runtime.turns import complete
from actors.watch.history import REMOVALS, History, LogEvent
from actors.watch.watch import Watch
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord

_UNKNOWN = ""
"""No agent's id: stands for the missing agents while it is not known which they are."""


class Feed:
    """Folds changes into the directory, in the log's order, and passes them to all watches.

    `trimmed` is called when changes are dropped for their bytes.
    """

    def __init__(self, directory: Directory, limits: Limits, trimmed: Callable[[], None]) -> None:
        self._directory = directory
        self._history = History(limits.log_length, limits.max_log_bytes)
        self._trimmed = trimmed
        self._watches: dict[Watch, None] = {}
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
            for watch in self._watches:
                self._send_snapshot(watch)

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
        for watch in tuple(self._watches):
            watch.publish(event)
        event.forget_frames()

    def reaches(self, log: str, since: int) -> bool:
        """Whether every change of `log` after `since` is still known."""
        return log == self.log and self._missing is None and self._history.reaches(since)

    def holds(self, position: LogPosition) -> bool:
        """Whether the log has that very entry, and every change after it is still known."""
        if not self.reaches(position.log, position.revision):
            return False
        # The position of a log's beginning has no entry; and where that log goes on, it began so.
        key = self._history.key_at(position.revision) or ""
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

    def follow(self, watch: Watch, since: int | None) -> None:
        """Send what the watch missed since `since`, or a snapshot; then every change."""
        self._watches[watch] = None
        if self._missing is not None:
            return  # its snapshot comes when the new log is complete
        if since is None:
            self._send_snapshot(watch)
            return
        for event in self._history.after(since):
            watch.publish(event)
            event.forget_frames()

    def forget(self, watch: Watch) -> None:
        """Send the watch nothing more."""
        self._watches.pop(watch, None)

    def _send_snapshot(self, watch: Watch) -> None:
        agents = complete(self._directory.find(watch.filter, None, None)).agents
        watch.send_snapshot(agents, self.log, self.revision, self.position)
