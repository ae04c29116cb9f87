"""Loading anew: what a hub makes of the store when the log cannot tell what came between.

So it is when the log was trimmed past a hub that slept, and when a new log was begun: whoever began
it, others may have written to it before this hub. Until everything is loaded, watches are told
nothing, and nothing is written: an agent that was removed meanwhile must not be put back.
"""

from __future__ import annotations

from typing import Protocol

from actors.cluster.membership import Membership
from actors.directory.directory import Directory
from actors.log.committer import Committer
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import Away, Loaded, Opened, Roster, Store
from actors.rules.records import completed, supersedes
from actors.rules.stored_records import read_records
from actors.watch.feed import Feed
from actors.watch.history import REMOVALS, read_entries
from homeport_protocol.record import AgentRecord

RETRY = 0.25
"""Seconds until loading is tried again."""

PUT_BACK_TIMEOUT = 5.0
"""Seconds after which watches are told of a new log although an agent is not back in it."""


class Merged(Protocol):
    """Who is told what the store holds that was not known here."""

    def overtaken(self, record: AgentRecord) -> None:
        """What is stored is newer than what was known of the agent."""
        ...

    def put_by_others(self, record: AgentRecord) -> None:
        """The agent is as stored: who knew it later has not put it back."""
        ...

    def forget(self, agent_id: str) -> None:
        """The agent is no more; the log does not tell."""
        ...

    def reloaded(self, news: list[AgentRecord], roster: Roster) -> None:
        """All that is stored has been taken in; `news` was not known before."""
        ...


class Resync:
    """Loads what is stored into a directory that is in use. `under_way` while it does."""

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
        merged: Merged,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._directory = directory
        self._feed = feed
        self._committer = committer
        self._membership = membership
        self._merged = merged
        self._ghosts_possible = False
        self._loads = 0
        self._told: set[str] = set()
        self._beginning = 0
        self.under_way = False
        self.fresh = False
        """Whether the log is new, and not all agents are back in it."""

    def opened(self, opened: Opened, *, loaded: bool, gap: bool) -> None:
        """The store has been opened; once all was `loaded` at first, load anew if need be."""
        # While not all are back in a new log, it is as new as when it was found.
        self.fresh = opened.fresh or (self.fresh and (self.under_way or self._feed.beginning))
        if loaded and (gap or opened.fresh or self.under_way):
            self.under_way = True
            self._told.clear()
            self._feed.suspend(opened.log, opened.revision)
            self._load()

    def close(self) -> None:
        """Load no more, and tell nobody of what was loaded."""
        self._loads += 1
        self._beginning += 1

    def told(self, agent_id: str) -> None:
        """The log has told of the agent: the load under way may know less."""
        if self.under_way:
            self._told.add(agent_id)

    def _load(self) -> None:
        self._loads += 1
        number = self._loads
        self._store.load(lambda loaded: self._answered(number, loaded))

    def _answered(self, number: int, loaded: Loaded | Away) -> None:
        if isinstance(loaded, Away) or number != self._loads:
            # Ghosts may have been dropped, and nobody told. (Where the store was opened again
            # meanwhile, the newer load is waited for: the older one knows less than the fold.)
            self._ghosts_possible |= isinstance(loaded, Away) or bool(loaded.ghosts)
            if number == self._loads:
                at = self._scheduler.now() + RETRY
                self._scheduler.call_at(at, lambda: self._load_again(number))
            return
        self._loaded(loaded)

    def _load_again(self, number: int) -> None:
        if number == self._loads:  # else the store has been opened again, and is being loaded
            self._load()

    def _loaded(self, loaded: Loaded) -> None:
        if loaded.ghosts or self._ghosts_possible:
            # They ran out, and yet may live at their hubs, which tell so in a new log only.
            self._ghosts_possible = False
            self._committer.begin_new_log()
            return
        self.under_way = False
        told = self._told
        records = {
            each.id: each
            for each in read_records(loaded.records, self._observer)
            if each.id not in told or each.id in self._directory  # else it has been removed
        }
        outlived: dict[str, AgentRecord] = {}
        news = []
        for record in records.values():
            held = self._directory.get(record.id)
            if held is None or self._prevails(record, held.record, told):
                self._directory.put(record, completed(record))
                self._merged.overtaken(record)
                news.append(record)
            else:
                outlived[record.id] = record
        missing = set(self._directory.ids())
        if self.fresh:  # those whom it does not tell of, their hubs are about to put back
            last = {each.record.id: each for each in read_entries(loaded.entries)}
            missing -= told
            for agent_id in sorted(missing.intersection(last) - set(records)):
                if last[agent_id].kind in REMOVALS:
                    self._merged.forget(agent_id)
            missing -= set(last)
        else:
            for agent_id in sorted(missing - told - set(records)):
                self._merged.forget(agent_id)
            missing = set()
        self._feed.begin(self._committer.log, self._committer.revision, [], missing)
        self.bound_beginning(missing - set(records), outlived)
        self._merged.reloaded(news, loaded.roster)

    def bound_beginning(self, lost: set[str], outlived: dict[str, AgentRecord]) -> None:
        """Tell watches of a new log after a while, whoever is not back in it by then."""
        self._beginning += 1
        number = self._beginning
        self._scheduler.call_at(
            self._scheduler.now() + PUT_BACK_TIMEOUT,
            lambda: self._finish_beginning(number, lost, outlived),
        )

    def _finish_beginning(
        self, number: int, lost: set[str], outlived: dict[str, AgentRecord]
    ) -> None:
        """Those of the `lost` whom nobody has put back are no more; others are as stored."""
        if number != self._beginning:
            return
        if not self._committer.open:  # nobody could put them back, or be heard to
            self.bound_beginning(lost, outlived)
        elif not self.under_way:
            for agent_id in sorted(self._feed.missing):
                entry = self._directory.get(agent_id)
                if entry is None or self._membership.owns(entry.record):
                    continue
                if agent_id in outlived:
                    record = outlived[agent_id]
                    self._directory.put(record, completed(record))
                    self._merged.put_by_others(record)
                elif agent_id in lost:
                    self._merged.forget(agent_id)
            self._feed.finish_beginning()

    def _prevails(self, stored: AgentRecord, held: AgentRecord, told: set[str]) -> bool:
        """Whether the stored record, and not the one held here, tells what the agent is now.

        In a log that begins anew, whoever is in charge puts the agent back as it was last known
        there, unless others knew it later: what is stored may name a hub that lost the agent to
        another one since, and must not take it back. Of the agents that were `told` of meanwhile,
        the fold may know more than what was loaded.
        """
        if not self.fresh or held.id in told:
            return stored.revision > held.revision
        same = (stored.epoch, stored.revision) == (held.epoch, held.revision)
        return supersedes(stored, held) or (same and not self._membership.owns(held))
