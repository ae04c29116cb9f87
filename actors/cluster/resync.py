"""Loads the store again when the log cannot tell what came between.

That happens when the log was trimmed past a hub that slept, and when a new log was begun: whichever
hub began it, others may have written to it before this one. Until everything is loaded, watches
are sent nothing, and nothing is written: an agent that was removed meanwhile must not be put back.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from actors.cluster.events import ChangedElsewhere, ClusterEvent, FoundChanged, FoundRemoved
from actors.cluster.initial_load import GHOSTS
from actors.cluster.loaded_records import read_loaded
from actors.cluster.membership import Membership
from actors.cluster.removal_hold import RemovalHold
from actors.directory.directory import Directory
from actors.log.committer import Committer
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import Away, Loaded, LogEntry, Opened, Position, Store
from actors.rules.owners import Owners
from actors.rules.records import completed, supersedes
from actors.rules.told_times import ToldTimes
from actors.watch.feed import Feed
from actors.watch.history import REMOVALS, read_events
from homeport_protocol.record import AgentRecord

RETRY = 0.25
"""Seconds until loading is tried again."""

PUT_BACK_TIMEOUT = 5.0
"""Seconds after which watches go on in a new log although an agent is not back in it."""


class Resync:
    """Merges what is stored into a directory that is in use. `under_way` while it loads.

    `emit` is told of each agent that turned out to be another than was known; `done` is called
    when everything that is stored is in the directory.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        directory: Directory,
        feed: Feed,
        committer: Committer,
        membership: Membership,
        removal: RemovalHold,
        told_times: ToldTimes,
        owners: Owners,
        emit: Callable[[ClusterEvent], None],
        done: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._directory = directory
        self._feed = feed
        self._committer = committer
        self._membership = membership
        self._removal = removal
        self._told_times = told_times
        self._owners = owners
        self._emit = emit
        self._done = done
        self._secret = b""
        self._ghosts_possible = False
        self._loads = 0
        self._folded: set[str] = set()
        """Ids with a log entry since loading began: the answer may know less about them."""
        self._waits = 0
        self.under_way = False
        self.fresh = False
        """Whether the log is new, and not all agents are back in it."""

    def opened(self, opened: Opened, at: Position, *, loaded: bool, gap: bool) -> None:
        """The store has been opened; if all was `loaded` once, load it again where needed.

        `at` is the log's newest entry.
        """
        self._secret = opened.secret
        # While not all are back in a new log, it is as new as when it was found.
        self.fresh = opened.fresh or (self.fresh and (self.under_way or self._feed.incomplete))
        if loaded and (gap or opened.fresh or self.under_way):
            self.under_way = True
            self._folded.clear()
            self._feed.suspend(at, opened.secret)
            self._load()

    def close(self) -> None:
        """Load no more, and ignore what is still answered."""
        self._loads += 1
        self._waits += 1

    def folded(self, agent_id: str) -> None:
        """The log has an entry of the agent while loading is `under_way`."""
        self._folded.add(agent_id)

    def drop(self, agent_id: str) -> None:
        """Take an agent off the directory whose end the log does not tell.

        Nothing happens when a change of the agent is newer than what has been folded.
        """
        entry = self._directory.get(agent_id)
        assert entry is not None
        revision = self._committer.revision
        if entry.record.revision > revision:
            return
        self._directory.remove(agent_id)
        self._removal.dropped(agent_id)
        self._told_times.forget(agent_id)
        self._owners.forget(agent_id)
        ended = structs.replace(entry.record, revision=revision, status="unreachable")
        self._emit(FoundRemoved(ended))

    def limit_wait(self, lost: set[str], outlived: dict[str, AgentRecord]) -> None:
        """Let watches wait for PUT_BACK_TIMEOUT at most until all agents are back in a new log.

        Those `lost` are not stored. Those `outlived` are stored as something older than was known
        here.
        """
        self._waits += 1
        number = self._waits
        self._scheduler.call_at(
            self._scheduler.now() + PUT_BACK_TIMEOUT,
            lambda: self._end_wait(number, lost, outlived),
        )

    def _load(self) -> None:
        self._loads += 1
        number = self._loads
        self._store.load(lambda loaded: self._answered(number, loaded))

    def _answered(self, number: int, loaded: Loaded | Away) -> None:
        if isinstance(loaded, Away) or number != self._loads:
            # Ghosts may have been dropped without a hub knowing. (Where the store was opened again
            # meanwhile, the newer load is waited for: the older one knows less than the fold.)
            self._ghosts_possible |= isinstance(loaded, Away) or bool(loaded.ghosts)
            if number == self._loads:
                at = self._scheduler.now() + RETRY
                self._scheduler.call_at(at, lambda: self._load_again(number))
            return
        if loaded.ghosts or self._ghosts_possible:
            # They ran out, and yet may live at their hubs, which tell so in a new log only.
            self._ghosts_possible = False
            self._committer.begin_new_log(GHOSTS)
            return
        self._merge(loaded)

    def _load_again(self, number: int) -> None:
        if number == self._loads:  # else the store has been opened again, and is being loaded
            self._load()

    def _merge(self, loaded: Loaded) -> None:
        self.under_way = False
        self._membership.loaded(loaded.roster)
        folded = self._folded
        stored = {
            each.id: each
            for each in read_loaded(loaded, self._observer)
            if each.id not in folded or each.id in self._directory  # else it has been removed
        }
        outlived: dict[str, AgentRecord] = {}
        changed, new = [], set()
        for record in stored.values():
            held = self._directory.get(record.id)
            if held is None:
                new.add(record.id)
            if held is None or self._prevails(record, held.record):
                self._directory.put(record, completed(record))
                self._told_times.load([record.id], loaded.times, loaded.usual_times)
                self._owners.load([record.id], loaded.owners)
                self._emit(FoundChanged(record))
                changed.append(record)
            else:
                outlived[record.id] = record
        missing = self._drop_removed(set(self._directory.ids()) - folded, stored, loaded.entries)
        self._feed.restart(self._committer.position, self._secret, [], missing)
        self.limit_wait(missing - stored.keys(), outlived)
        self._removal.merged(changed, new, loaded.roster.acknowledged)
        self._done()

    def _drop_removed(
        self, unfolded: set[str], stored: dict[str, AgentRecord], entries: list[LogEntry]
    ) -> set[str]:
        """Drop the agents that were removed; returns those that a new log has yet to tell of.

        `unfolded` are those in the directory without a log entry since loading began.
        """
        if not self.fresh:
            for agent_id in sorted(unfolded - stored.keys()):
                self.drop(agent_id)
            return set()
        # Agents that a new log does not tell of are about to be put back by their owners.
        last = {event.record.id: event.kind for event in read_events(entries)}
        for agent_id in sorted(unfolded & last.keys() - stored.keys()):
            if last[agent_id] in REMOVALS:
                self.drop(agent_id)
        return unfolded - last.keys()

    def _end_wait(self, number: int, lost: set[str], outlived: dict[str, AgentRecord]) -> None:
        """Take what is stored for those that no hub has put back: others had known more."""
        if number != self._waits:
            return
        if not self._committer.open:  # no hub could put them back, or be heard to
            self.limit_wait(lost, outlived)
        elif not self.under_way:
            for agent_id in sorted(self._feed.missing):
                entry = self._directory.get(agent_id)
                if entry is None or self._membership.owns(entry.record):
                    continue
                if agent_id in outlived:
                    record = outlived[agent_id]
                    self._directory.put(record, completed(record))
                    self._emit(ChangedElsewhere(record, removed=False))
                elif agent_id in lost:
                    self.drop(agent_id)
            self._feed.complete()

    def _prevails(self, stored: AgentRecord, held: AgentRecord) -> bool:
        """Whether the stored record, and not the one held here, is the agent's state now.

        In a log that begins anew, an agent's owner puts it back as it was last known there, unless
        others knew it later: what is stored may name a hub that lost the agent to another one
        since, and must not take it back. Of agents with a log entry since loading began, the
        fold may know more than what was loaded.
        """
        if not self.fresh or held.id in self._folded:
            return stored.revision > held.revision
        same = (stored.epoch, stored.revision) == (held.epoch, held.revision)
        return supersedes(stored, held) or (same and not self._membership.owns(held))
