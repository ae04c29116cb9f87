"""The feed of directory changes: the history of the log, and the watches that follow it."""

from __future__ import annotations

from collections.abc import Collection

from actors.directory.directory import Directory
from actors.watch.history import REMOVALS, History, LogEvent
from actors.watch.watch import Watch
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord

_NOBODY = ""
"""No agent's id: what is missing while nobody can say what is."""


class Feed:
    """Folds changes into the directory, in the log's order, and passes them to all watches."""

    def __init__(self, directory: Directory, length: int) -> None:
        self._directory = directory
        self._history = History(length)
        self._watches: dict[Watch, None] = {}
        self._missing: set[str] | None = None
        self.log = ""
        self.revision = 0

    @property
    def watches(self) -> int:
        """How many watches follow."""
        return len(self._watches)

    @property
    def beginning(self) -> bool:
        """Whether a new log does not hold everyone yet, so that no watch has been told of it."""
        return self._missing is not None

    @property
    def missing(self) -> Collection[str]:
        """The agents that a new log does not tell of yet."""
        return self._missing or ()

    def begin(self, log: str, revision: int, entries: list[LogEvent], missing: set[str]) -> None:
        """Start with what the log holds up to `revision`; nothing before `entries` is known.

        Every watch starts over with a snapshot, but not before the agents that are `missing` in
        the log have been put there: else a watch could resume, at a hub that knows nothing but
        this log, and believe in agents it never told of.
        """
        self.log = log
        self._history.begin(entries[0].revision - 1 if entries else revision)
        for entry in entries:
            self._history.append(entry)
        self.revision = revision
        self._missing = missing
        if not missing:
            self.finish_beginning()

    def suspend(self, log: str, revision: int) -> None:
        """Changes are missing between what is known and `revision`: tell nothing until `begin`."""
        self.begin(log, revision, [], {_NOBODY})

    def expect_no_more(self, agent_id: str) -> None:
        """The agent is back in the log, or will not be."""
        if self._missing is not None:
            self._missing.discard(agent_id)
            if not self._missing:
                self.finish_beginning()

    def finish_beginning(self) -> None:
        """The new log holds everyone: tell the watches."""
        if self._missing is not None:
            self._missing = None
            for watch in self._watches:
                self._give_snapshot(watch)

    def fold(self, kind: Kind, record: AgentRecord, data: bytes) -> None:
        """Take in the next change of the log."""
        if kind in REMOVALS:
            previous = self._directory.remove(record.id)
        else:
            previous = self._directory.put(record, data)
        self.revision = record.revision
        entry = LogEvent(record.revision, kind, record, data, previous)
        self._history.append(entry)
        if self._missing is not None:
            self.expect_no_more(record.id)
            return
        for watch in tuple(self._watches):
            watch.publish(entry)
        entry.frames = None  # what a slow watch is owed is encoded again for it

    def reaches(self, log: str, since: int) -> bool:
        """Whether every change of `log` after `since` is still known."""
        return log == self.log and self._missing is None and self._history.reaches(since)

    def follow(self, watch: Watch, since: int | None) -> None:
        """Send what the watch missed since `since`, or a snapshot; then every change."""
        self._watches[watch] = None
        if self._missing is not None:
            return  # its snapshot comes when the new log is complete
        if since is None:
            self._give_snapshot(watch)
            return
        for entry in self._history.after(since):
            watch.publish(entry)
            entry.frames = None

    def forget(self, watch: Watch) -> None:
        """Send the watch nothing more."""
        self._watches.pop(watch, None)

    def _give_snapshot(self, watch: Watch) -> None:
        agents = self._directory.find(watch.filter, None, None).agents
        watch.begin_snapshot(agents, self.log, self.revision)
