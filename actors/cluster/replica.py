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

from actors.cluster.initial_load import InitialLoad
from actors.cluster.mass_loss import MassLossGuard
from actors.cluster.membership import Membership
from actors.cluster.resync import Resync
from actors.directory.directory import Directory
from actors.log.committer import Committer
from actors.log.proposal import Proposal, RenewalProposal
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import (
    Applied,
    Away,
    Fenced,
    ForeignRenewal,
    HubReport,
    LogEntry,
    Opened,
    Roster,
    Store,
)
from actors.rules.records import complete, completed
from actors.rules.stored_records import read_record
from actors.timing import Timing
from actors.watch.feed import Feed
from actors.watch.history import REMOVALS, LogEvent
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp

JOINING = 1.1
"""Seconds for which a hub waits before it serves, so that all others know of it."""


class Residents(Protocol):
    """The actors of this hub, as its replica sees them."""

    def begin(self) -> None:
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
        self.losses = MassLossGuard(
            timing.loss_share, timing.loss_hold, timing.lease_ttl, lambda: len(self.directory)
        )
        self.counts = {"changes": 0, "expired": 0}
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._waiting: list[Callable[[], None]] = []
        self._recovery = InitialLoad(
            scheduler, store, observer, self.committer.begin_new_log, self._recovered
        )
        self._reloading = Resync(
            scheduler=scheduler,
            store=store,
            observer=observer,
            directory=self.directory,
            feed=self.feed,
            committer=self.committer,
            membership=self.membership,
            merged=self,
        )
        self._loaded = False
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
        return self._reloading.under_way or not self.committer.open

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
        self._recovery.close()
        self._reloading.close()
        self.committer.close()

    # --- what the committer tells (Fold) ---------------------------------------------------------

    def opened(self, opened: Opened, *, gap: bool) -> None:
        """The store answers: load it, or write what is owed to it."""
        self.secret = opened.secret
        self._reloading.opened(opened, loaded=self._loaded, gap=gap)
        known = self.ready or self._recovery.awaits_log
        self._observer.store_returned(opened.log, fresh=opened.fresh and known)
        if not self._loaded:
            self._recovery.resume()
            return
        self.residents.store_came_back()
        self.membership.store_returned()
        if not self._reloading.under_way:
            self.residents.store_returned()

    def away(self, reason: str) -> None:
        """The store does not answer."""
        self._observer.store_away(reason)

    def applied(self, proposal: Proposal, applied: Applied) -> AgentRecord:
        """A change of this hub is durable: the directory takes it in."""
        change, record = proposal.change, proposal.record
        data = complete(change.head, applied.epoch, change.hub, applied.revision)
        if not change.kind:
            self.directory.refresh(record, data)
            return record
        record = structs.replace(
            record, epoch=applied.epoch, hub=change.hub, revision=applied.revision
        )
        self._fold(change.kind, record, data)
        self.residents.changed_here(change.kind, record)
        return record

    def renewed(self, proposal: RenewalProposal) -> None:
        """A renewal of this hub is durable: only `last_seen` has moved on."""
        renewal = proposal.change
        data = complete(renewal.head, renewal.epoch, renewal.hub, renewal.revision)
        self.directory.refresh(proposal.record, data)

    def foreign(self, entry: LogEntry) -> None:
        """Another hub's change is durable."""
        try:
            record = read_record(entry.record)
        except (ValueError, RecursionError):
            self._observer.unreadable(entry.record)
            self.feed.begin(self.log, entry.revision, [], set())  # nobody can be told of it
            return
        self._fold(entry.kind, record, entry.record)
        if (hub_id := entry.key.partition("/")[0]) != "":
            self.membership.spoke(hub_id)
        self.residents.changed_elsewhere(record, removed=entry.kind in REMOVALS)

    def _fold(self, kind: Kind, record: AgentRecord, data: bytes) -> None:
        self.feed.fold(kind, record, data)
        self.counts["changes"] += 1
        if kind == "expired":
            self.counts["expired"] += 1
        self._reloading.told(record.id)
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

    def renewed_elsewhere(self, renewals: list[ForeignRenewal]) -> None:
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

    def _recovered(
        self, records: list[AgentRecord], entries: list[LogEvent], roster: Roster
    ) -> None:
        log, revision = self.committer.log, self.committer.revision
        # Others may have written since the store was opened; that is folded later.
        entries = [each for each in entries if each.revision <= revision]
        if self._reloading.fresh or not entries or entries[-1].revision != revision:
            entries = []
        self.membership.start(roster)
        unlogged = {each.id for each in records if self._reloading.fresh or each.revision == 0}
        self.feed.begin(log, revision, entries, unlogged)
        self._reloading.bound_beginning(set(), {})
        for record in records:
            self.directory.put(record, completed(record))
        self._recall_losses(records, roster)
        self._loaded = True
        self.committer.follow(following=not self.membership.alone)
        if self.membership.alone:
            self._begin()
        else:
            self._scheduler.call_at(self._scheduler.now() + JOINING, self._begin)

    def _begin(self) -> None:
        self.ready = True
        self.residents.begin()
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    # --- what loading anew tells (Merged) --------------------------------------------------------

    def overtaken(self, record: AgentRecord) -> None:
        """What is stored is newer than what was known of the agent here."""
        self.residents.overtaken(record, removed=False)

    def put_by_others(self, record: AgentRecord) -> None:
        """The agent is as stored."""
        self.residents.changed_elsewhere(record, removed=False)

    def reloaded(self, news: list[AgentRecord], roster: Roster) -> None:
        """All that is stored is in the directory: go on."""
        self._recall_losses(news, roster)
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

    def disown(self, agent_id: str) -> None:
        """As `forget`; watches that have been told of the agent start over."""
        told = agent_id not in self.feed.missing
        self.forget(agent_id)
        self.feed.expect_no_more(agent_id)
        if told and not self.feed.beginning:
            self.feed.begin(self.log, self.revision, [], set())

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
