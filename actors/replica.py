"""A hub's replica of one namespace: the directory, as the fold of the log that all hubs share.

Every hub holds the whole of it. Whatever changes it comes from the committer, in the log's order:
changes of this hub, and those of others. Where the log cannot tell what came between (the hub
slept while it was trimmed, or another log was begun), what is stored is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Protocol

from msgspec import structs

from actors.committer import Committer, Proposal
from actors.directory import Directory
from actors.feed import Feed
from actors.history import REMOVALS, Entry
from actors.loading import read_entries, read_record, read_records
from actors.massloss import LossGuard
from actors.membership import Membership
from actors.observing import Observer
from actors.ports import (
    Applied,
    Away,
    Fenced,
    HubReport,
    Loaded,
    LogEntry,
    Opened,
    Renewal,
    Roster,
    Scheduler,
    Store,
)
from actors.records import complete, completed
from actors.recovery import Recovery
from actors.timing import Timing
from protocol.bounds import Kind
from protocol.record import AgentRecord
from protocol.timestamps import parse_timestamp

PUT_BACK_TIMEOUT = 5.0
"""Seconds after which watches are told of a new log although an agent is not back in it."""

JOINING = 1.1
"""Seconds for which a hub waits before it serves, so that all others know of it."""


class Residents(Protocol):
    """The actors of this hub, as its replica sees them."""

    def begin(self, unlogged: set[str]) -> None:
        """Everything is loaded: be in charge of whom this hub is in charge of."""
        ...

    def report(self, revision: int) -> HubReport:
        """What the other hubs are told of this one."""
        ...

    def store_returned(self) -> None:
        """The store answers again, and the directory is up to date."""
        ...

    def store_came_back(self) -> None:
        """The store answers again; what it holds is not known yet."""
        ...

    def changed_here(self, kind: Kind, record: AgentRecord) -> None:
        """A change of this hub has been folded."""
        ...

    def changed_elsewhere(self, record: AgentRecord, *, removed: bool) -> None:
        """A change of another hub has been folded."""
        ...

    def overtaken(self, record: AgentRecord, *, removed: bool) -> None:
        """What is stored is newer than what was known of the agent here."""
        ...

    def renewed_elsewhere(self, agent_id: str, last_seen: str, at: float) -> None:
        """Another hub renewed the entry."""
        ...

    def hubs_changed(self) -> None:
        """Others are in charge now of some agents."""
        ...

    def removal_held(self) -> None:
        """Many agents were lost at once: nobody is removed for now."""
        ...


class Replica:
    """The directory of one namespace in this hub, and its place in the cluster."""

    residents: Residents

    def __init__(
        self,
        *,
        hub_id: str,
        timing: Timing,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        log_length: int,
        incarnation: str,
    ) -> None:
        self.secret = b""
        self.ready = False
        self.directory = Directory()
        self.feed = Feed(self.directory, log_length)
        self.committer = Committer(scheduler, store, self, f"{hub_id}/{incarnation}")
        self.membership = Membership(scheduler, store, hub_id, self)
        self.losses = LossGuard(timing.loss_share, timing.loss_hold, lambda: len(self.directory))
        self.counts = {"changes": 0, "expired": 0}
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._waiting: list[Callable[[], None]] = []
        self._recovery = Recovery(
            scheduler, store, observer, self.committer.renew_log, self._recovered
        )
        self._fresh = False
        self._loaded = False
        self._reloading = False
        self._doubtful_load = False
        self._told_meanwhile: set[str] = set()
        self._beginning = 0
        self._removal_held = False

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once everything stored has been loaded; at once if it has."""
        if self.ready:
            callback()
        else:
            self._waiting.append(callback)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it to be ready."""
        return bool(self._waiting)

    @property
    def log(self) -> str:
        """The name of the log that `revision` belongs to."""
        return self.committer.log

    @property
    def revision(self) -> int:
        """The newest change that the directory holds."""
        return self.committer.revision

    @property
    def store_is_away(self) -> bool:
        """Whether changes cannot be written now.

        Nor while it is not known what others made of a new log: an agent that was removed there
        must not be put back.
        """
        return self._reloading or not self.committer.open

    @property
    def why_away(self) -> str:
        """Why changes cannot be written now, as one plain phrase."""
        return self.committer.reason or "what others wrote is being loaded"

    @property
    def removal_held(self) -> bool:
        """Whether nobody may be removed, because many were lost at once."""
        return self.losses.holds(self._scheduler.now())

    def close(self) -> None:
        """Write and follow no more."""
        self.membership.stop()
        self.committer.close()

    # --- what the committer tells (Fold) ---------------------------------------------------------

    def opened(self, opened: Opened, *, gap: bool) -> None:
        """The store answers: load it, or write what is owed to it."""
        self.secret = opened.secret
        # While not all are back in a new log, it is as new as when it was found.
        self._fresh = opened.fresh or (self._fresh and (self._reloading or self.feed.beginning))
        known = self.ready or self._recovery.awaits_log
        self._observer.store_returned(opened.log, fresh=opened.fresh and known)
        if not self._loaded:
            self._recovery.resume()
            return
        self.residents.store_came_back()
        self.membership.store_returned()
        if gap or opened.fresh or self._reloading:
            # Whoever began a new log, others may have written to it before us.
            self._reloading = True
            self._told_meanwhile.clear()
            self.feed.suspend(opened.log, opened.revision)
            self._store.load(self._reloaded)
            return
        self.residents.store_returned()

    def away(self, reason: str) -> None:
        """The store does not answer."""
        self._observer.store_away(reason)

    def applied(self, proposal: Proposal, applied: Applied) -> None:
        """A change of ours is durable: the directory takes it in."""
        change, record = proposal.change, proposal.record
        if change.kind:
            record = structs.replace(
                record, epoch=applied.epoch, hub=change.hub, revision=applied.revision
            )
            proposal.record = record
        data = complete(change.head, applied.epoch, change.hub, applied.revision)
        if not change.kind:
            self.directory.refresh(record, data)
            return
        self._fold(change.kind, record, data)
        self.residents.changed_here(change.kind, record)

    def foreign(self, entry: LogEntry) -> None:
        """Another hub's change is durable."""
        try:
            record = read_record(entry.record)
        except (ValueError, RecursionError):
            self._observer.unreadable(entry.record)
            self.feed.begin(self.log, entry.revision, [], set())  # nobody can be told of it
            return
        self._fold(entry.kind, record, entry.record)
        self.membership.spoke(entry.key.partition("/")[0])
        self.residents.changed_elsewhere(record, removed=entry.kind in REMOVALS)

    def _fold(self, kind: Kind, record: AgentRecord, data: bytes) -> None:
        self.feed.fold(kind, record, data)
        self.counts["changes"] += 1
        if kind == "expired":
            self.counts["expired"] += 1
        if self._reloading:
            self._told_meanwhile.add(record.id)
        if kind in REMOVALS or record.status != "unreachable":
            self.losses.found(record.id)
        elif kind == "status_changed" and record.health.reason != "self_reported":
            self.losses.turned_unreachable(record.id, self._scheduler.now(), record.revision)
            self.note_losses()
        self._observer.changed(kind, record)

    # --- what the membership tells (Cluster) -----------------------------------------------------

    def report(self) -> HubReport | None:
        """What the other hubs are told of this one."""
        if not self.committer.open:
            return None
        return self.residents.report(self.revision)

    def roster_heard(self, roster: Roster) -> None:
        """The newest roster."""
        self.losses.acknowledged(roster.acknowledged)
        self.note_losses()
        self.committer.follow(following=not self.membership.alone)
        self.committer.grown(roster.revision)

    def roster_failed(self, answer: Fenced | Away) -> None:
        """The store does not answer, or knows this hub no more."""
        self.committer.suspect(answer)

    def hubs_changed(self) -> None:
        """Another hub came or went: others are in charge now."""
        self.committer.follow(following=not self.membership.alone)
        self._observer.hubs_changed([hub.hub_id for hub in self.membership.hubs])
        if self.ready:
            self.residents.hubs_changed()

    def renewed_elsewhere(self, renewals: list[Renewal]) -> None:
        """Other hubs, or this one, renewed these entries."""
        now = self._scheduler.now()
        for renewal in renewals:
            entry = self.directory.get(renewal.agent_id)
            if entry is None or entry.record.last_seen >= renewal.last_seen:
                continue
            record = structs.replace(entry.record, last_seen=renewal.last_seen)
            self.directory.refresh(record, completed(record))
            self.residents.renewed_elsewhere(record.id, record.last_seen, now - renewal.age)

    # --- loading ---------------------------------------------------------------------------------

    def _recovered(self, records: list[AgentRecord], entries: list[Entry], roster: Roster) -> None:
        log, revision = self.committer.log, self.committer.revision
        # Others may have written since the store was opened; that is folded later.
        entries = [each for each in entries if each.revision <= revision]
        if self._fresh or not entries or entries[-1].revision != revision:
            entries = []
        self.membership.start(roster)
        unlogged = {each.id for each in records if self._fresh or each.revision == 0}
        self.feed.begin(log, revision, entries, unlogged)
        self._bound_beginning(set(), {})
        for record in records:
            self.directory.put(record, completed(record))
        self._recall_losses(records, roster)
        self._loaded = True
        self.committer.follow(following=not self.membership.alone)
        if self.membership.alone:
            self._begin(unlogged)
        else:
            self._scheduler.call_at(self._scheduler.now() + JOINING, lambda: self._begin(unlogged))

    def _begin(self, unlogged: set[str]) -> None:
        """Serve; the log does not tell of those that are `unlogged`."""
        self.ready = True
        self.residents.begin(unlogged)
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def _reloaded(self, loaded: Loaded | Away) -> None:
        """The log could not tell what came since: the stored records do."""
        if isinstance(loaded, Away):
            self._doubtful_load = True  # ghosts may have been dropped, and the answer lost
            self.committer.suspect(loaded)  # its return loads again
            return
        if loaded.ghosts or self._doubtful_load:
            # They ran out, and yet may live at their hubs, which tell so in a new log only.
            self._doubtful_load = False
            self.committer.renew_log()
            return
        self._reloading = False
        told = self._told_meanwhile
        records = {
            each.id: each
            for each in read_records(loaded.records, self._observer)
            if each.id not in told or each.id in self.directory  # else it has been removed
        }
        outlived: dict[str, AgentRecord] = {}
        news = []
        for record in records.values():
            held = self.directory.get(record.id)
            if held is None or self._prevails(record, held.record, told):
                self.directory.put(record, completed(record))
                self.residents.overtaken(record, removed=False)
                news.append(record)
            else:
                outlived[record.id] = record
        missing = set(self.directory.ids())
        if self._fresh:  # those whom it does not tell of, their hubs are about to put back
            last = {each.record.id: each for each in read_entries(loaded.entries)}
            missing -= told
            for agent_id in sorted(missing.intersection(last) - set(records)):
                if last[agent_id].kind in REMOVALS:
                    self.forget(agent_id)
            missing -= set(last)
        else:
            for agent_id in sorted(missing - told - set(records)):
                self.forget(agent_id)
            missing = set()
        self.feed.begin(self.log, self.revision, [], missing)
        self._bound_beginning(missing - set(records), outlived)
        self._recall_losses(news, loaded.roster)
        self.residents.store_returned()
        self.hubs_changed()

    def _recall_losses(self, records: list[AgentRecord], roster: Roster) -> None:
        """Count those that are unreachable as if this hub had been there when they were lost."""
        now, wall = self._scheduler.now(), self._scheduler.wall()
        lost = []
        for record in records:
            if record.status != "unreachable":
                self.losses.found(record.id)
            elif record.health.reason != "self_reported":
                lost.append((parse_timestamp(record.health.since), record))
        for since, record in sorted(lost, key=itemgetter(0)):
            at = now - max(0.0, wall - since)
            self.losses.turned_unreachable(record.id, at, record.revision)
        self.losses.acknowledged(roster.acknowledged)
        self.note_losses()

    def _prevails(self, stored: AgentRecord, held: AgentRecord, told: set[str]) -> bool:
        """Whether the stored record, and not the one held here, tells what the agent is now.

        In a log that begins anew, whoever is in charge puts the agent back as it was last known
        there, unless others knew it later: what is stored may name a hub that lost the agent to
        another one since, and must not take it back. Of the agents that were `told` of meanwhile,
        the fold may know more than what was loaded.
        """
        if not self._fresh or held.id in told:
            return stored.revision > held.revision
        # (What the store would refuse to have put back; of before a loss, epochs may be higher.)
        later = (
            stored.epoch > held.epoch
            or stored.revision > held.revision
            or stored.registered_at > held.registered_at
        )
        same = (stored.epoch, stored.revision) == (held.epoch, held.revision)
        return later or (same and not self.membership.in_charge(held))

    def _bound_beginning(self, lost: set[str], outlived: dict[str, AgentRecord]) -> None:
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
        if number == self._beginning and not self._reloading:
            for agent_id in sorted(self.feed.missing):
                entry = self.directory.get(agent_id)
                if entry is None or self.membership.in_charge(entry.record):
                    continue
                if agent_id in outlived:
                    record = outlived[agent_id]
                    self.directory.put(record, completed(record))
                    self.residents.changed_elsewhere(record, removed=False)
                elif agent_id in lost:
                    self.forget(agent_id)
            self.feed.finish_beginning()

    def forget(self, agent_id: str) -> None:
        """Take an agent off the directory whose end the log does not tell of."""
        entry = self.directory.get(agent_id)
        assert entry is not None
        if entry.record.revision > self.committer.revision:
            return
        self.directory.remove(agent_id)
        self.losses.found(agent_id)
        ended = structs.replace(entry.record, revision=self.revision, status="unreachable")
        self.residents.overtaken(ended, removed=True)

    def note_losses(self) -> None:
        """Look whether removal is to be held, or goes on."""
        held = self.removal_held
        if held and not self._removal_held:
            self.residents.removal_held()
        if held != self._removal_held:
            self._removal_held = held
            self._observer.removal_held(self.loss)

    @property
    def loss(self) -> str | None:
        """One phrase while removal is held because many agents were lost at once."""
        if not self.removal_held:
            return None
        return (
            f"{self.losses.lost} of {len(self.directory)} agents were lost at once: none is "
            "removed before the loss is acknowledged or they return"
        )
