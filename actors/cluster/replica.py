"""A hub's replica of one namespace: the directory, as the fold of the log that all hubs share.

Every hub holds the whole of it. All changes come from the committer, in the log's order: those of
this hub, and those of others. Where the log cannot tell what came between (the hub slept while it
was trimmed, or another log was begun), what is stored is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import UNSET, structs

from actors.cluster.differing_times import differing_hubs
from actors.cluster.events import (
    ChangedElsewhere,
    ChangedHere,
    ClusterEvent,
    ClusterEvents,
    HubsChanged,
    Ready,
    RemovalHeld,
    RenewedElsewhere,
    StoreReopened,
    StoreReturned,
)
from actors.cluster.flapping import FlappingAgents
from actors.cluster.initial_load import InitialLoad
from actors.cluster.membership import Membership
from actors.cluster.removal_hold import RemovalHold
from actors.cluster.resync import Resync
from actors.cluster.rollback import RollbackDetector
from actors.directory.directory import Directory
from actors.limits import Limits
from actors.log.committer import Committer
from actors.log.proposal import Proposal, RenewalProposal
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import (
    BEGIN_SESSIONS,
    Applied,
    ForeignRenewal,
    HubReport,
    Loaded,
    LogEntry,
    Opened,
    Roster,
    Store,
)
from actors.rules.owners import Owners
from actors.rules.records import complete, completed, seen_later
from actors.rules.stored_records import read_record
from actors.rules.told_times import ToldTimes
from actors.runtime.turns import Turns
from actors.timing import Timing
from actors.watch.feed import Feed
from actors.watch.history import REMOVALS, LogEvent
from actors.watch.readings import Readings
from homeport_protocol.bounds import KINDS, Kind
from homeport_protocol.record import AgentRecord

JOINING = 1.1
"""Seconds for which a hub waits before it serves, so that all others know of it."""

REJOIN_TIMEOUT = 2.0
"""Seconds for which a registration that makes its namespace waits for the store."""


class Replica:
    """The directory of one namespace in this hub, and its place in the cluster.

    `report` returns what this hub reports to the other hubs.
    """

    _events: ClusterEvents

    def __init__(
        self,
        *,
        hub_id: str,
        timing: Timing,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        limits: Limits,
        turns: Turns,
        incarnation: str,
        report: Callable[[], HubReport],
    ) -> None:
        self.secret = b""
        self.ready = False
        self.events: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        """Events of the log that this hub has written."""
        self.directory = Directory()
        self.flapping = FlappingAgents(scheduler, self.directory)
        trimmed = partial(observer.limited, "max_log_bytes")
        self.feed = Feed(self.directory, limits, turns, trimmed)
        self.readings = Readings(scheduler, self.directory, self.feed, turns)
        self.committer = Committer(scheduler, store, self, f"{hub_id}/{incarnation}")
        self.membership = Membership(
            scheduler,
            store,
            hub_id,
            report=lambda: report() if self.committer.open else None,
            heard=self._roster_heard,
            failed=self.committer.suspect,
            changed=self._hubs_changed,
            renewed=self._renewed_elsewhere,
            answered_in=self.committer.answered_in,
        )
        self.told_times = ToldTimes(timing)
        self.owners = Owners()
        self.removal = RemovalHold(
            timing=timing,
            scheduler=scheduler,
            observer=observer,
            directory=self.directory,
            began=lambda: self._emit(RemovalHeld()),
        )
        self.rollback = RollbackDetector(
            scheduler,
            observer,
            self.feed,
            lambda above, why: self.committer.begin_new_log(why, above=above),
            self.committer.catch_up,
            store_name=store.name,
        )
        self._scheduler = scheduler
        self._observer = observer
        self._store = store
        self._hub_id = hub_id
        self._timing = timing
        self.differing_hubs: list[str] = []
        """A sentence for each hub that has other times than this one."""
        self._waiting: list[Callable[[], None]] = []
        self._initial_load = InitialLoad(
            scheduler, store, observer, self.committer.begin_new_log, self._start_from
        )
        self._resync = Resync(
            scheduler=scheduler,
            store=store,
            observer=observer,
            directory=self.directory,
            feed=self.feed,
            committer=self.committer,
            membership=self.membership,
            removal=self.removal,
            told_times=self.told_times,
            owners=self.owners,
            emit=self._emit,
            done=self._resynced,
        )
        self._loaded = False
        self._joined: Callable[[], None] | None = None
        """Called once the other hubs know of this one, after `rejoin`."""

    def start(self, events: ClusterEvents) -> None:
        """Open the store and load what it holds; `events` hears of all that comes of it."""
        self._events = events
        self.committer.start()

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once everything stored has been loaded; at once if it has."""
        if self.ready:
            callback()
        else:
            self._waiting.append(callback)

    @property
    def awaited(self) -> bool:
        """Whether a callback waits for everything to be loaded."""
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

        Nor can they while it is not known what other hubs made of a new log: an agent that was
        removed there must not be put back.
        """
        return self._resync.under_way or not self.committer.open

    @property
    def why_away(self) -> str:
        """Why changes cannot be written now, as one plain phrase."""
        return self.committer.reason or "what others wrote is being loaded"

    @property
    def store_name(self) -> str:
        """What people know the store by."""
        return self._store.name

    def rejoin(self, joined: Callable[[], None]) -> None:
        """The store has become another one, with a log that others may write: open it.

        `joined` is called, once, when the other hubs know of this one, or when the store does not
        answer for long.
        """
        self._joined = joined
        self.membership.begin_anew()
        self.committer.reopen()
        self._scheduler.call_at(self._scheduler.now() + REJOIN_TIMEOUT, self._has_joined)

    def drop(self, agent_id: str) -> None:
        """Take an agent off the directory although no log has its end.

        Watches that know the agent start over.
        """
        logged = agent_id not in self.feed.missing
        self._resync.drop(agent_id)
        self.feed.no_longer_missing(agent_id)
        if logged and not self.feed.incomplete:
            self.feed.restart(self.committer.position, self.secret, [], set())

    def close(self) -> None:
        """Write and follow no more."""
        self.membership.stop()
        self._initial_load.close()
        self._resync.close()
        self.committer.close()

    # --- the fold of the log (actors.log.fold.Fold) ----------------------------------------------

    def opened(self, opened: Opened, *, gap: bool, why: str) -> None:
        """The store answers: load it, or write to it what is dirty."""
        self.secret = opened.secret
        self.rollback.opened(opened.log)
        self._resync.opened(opened, self.committer.position, loaded=self._loaded, gap=gap)
        known = (self.ready or self._initial_load.awaits_log) and self._joined is None
        self._observer.store_returned(opened.log, fresh=opened.fresh and known, why=why)
        if not self._loaded:
            self._initial_load.load()
            return
        self._emit(StoreReopened())
        if self._joined is None:
            self.membership.store_returned()
        if not self._resync.under_way:
            self._store_returned()

    def away(self, reason: str) -> None:
        """The store does not answer."""
        self._observer.store_away(reason)

    def slow(self, seconds: float | None) -> None:
        """The store is far away (None: not any more)."""
        self._observer.store_slow(seconds)

    def applied(self, proposal: Proposal, applied: Applied) -> AgentRecord:
        """A change of this hub is durable: the directory takes it in."""
        change, record = proposal.change, proposal.record
        data = complete(change.head, applied.epoch, change.hub, applied.revision)
        if not change.kind:
            self._refresh(record, data)
            return record
        record = structs.replace(
            record, epoch=applied.epoch, hub=change.hub, revision=applied.revision
        )
        self.events[change.kind] += 1
        if change.operation == "adopt" or change.operation in BEGIN_SESSIONS:
            self.told_times.told(record.id, change.times)
        if change.owner is not None:
            self.owners.set(record.id, change.owner)
        self._fold(change.kind, record, data, change.key, here=True)
        if change.kind not in REMOVALS:
            self._events.handle(ChangedHere(record))
        return record

    def renewed(self, proposal: RenewalProposal) -> None:
        """A renewal of this hub is durable: only `last_seen` and `load` have moved on."""
        renewal = proposal.change
        data = complete(renewal.head, renewal.epoch, renewal.hub, renewal.revision)
        self._refresh(proposal.record, data)

    def foreign(self, entry: LogEntry) -> None:
        """A change of another hub is durable: the directory takes it in."""
        try:
            record = read_record(entry.record)
        except (ValueError, RecursionError):
            self._observer.unreadable(entry.record)
            # No watch can show it.
            self.feed.restart(self.committer.position, self.secret, [], set())
            return
        if entry.times or entry.kind in ("registered", "resumed"):
            self.told_times.told(record.id, entry.times)
        if entry.owner or entry.kind == "registered":
            self.owners.set(record.id, entry.owner)
        before = self.directory.get(record.id)
        known = None if before is None else before.record
        self._fold(entry.kind, record, entry.record, entry.key, here=False)
        if known is not None and known.epoch == record.epoch and known.last_seen > record.last_seen:
            # A renewal after this change has been heard of before it.
            newest = seen_later(record, known.last_seen, known.load)
            self._refresh(newest, completed(newest))
        if (hub_id := entry.key.partition("/")[0]) != "":
            self.membership.wrote(hub_id)
        self._events.handle(ChangedElsewhere(record, entry.kind in REMOVALS))

    def _refresh(self, record: AgentRecord, data: bytes) -> None:
        if self.directory.refresh(record, data):
            self.readings.moved(record.id)

    def _fold(self, kind: Kind, record: AgentRecord, data: bytes, key: str, *, here: bool) -> None:
        entry = self.directory.get(record.id)
        if record.load != (UNSET if entry is None else entry.record.load):
            self.readings.moved(record.id)  # a watch may leave out events of this kind
        self.feed.fold(kind, record, data, key)
        self.rollback.folded(record.revision, key)
        if kind in REMOVALS:
            self.told_times.forget(record.id)
            self.owners.forget(record.id)
        if self._resync.under_way:
            self._resync.folded(record.id)
        self.removal.changed(kind, record, known=entry is not None)
        self.flapping.folded(kind, record, known=entry is not None)
        self._observer.changed(kind, record, here=here)

    # --- other hubs ------------------------------------------------------------------------------

    def _roster_heard(self, roster: Roster) -> None:
        self.removal.acknowledged(roster.acknowledged)
        self._compare_times(roster)
        self.committer.follow(following=not self.membership.alone)
        self.committer.grown(roster.revision)
        if self._joined is not None and not self.store_is_away:
            wait = 0.0 if self.membership.alone else JOINING
            self._scheduler.call_at(self._scheduler.now() + wait, self._has_joined)

    def _compare_times(self, roster: Roster) -> None:
        differing = differing_hubs(roster.hubs, self._hub_id, self._timing)
        if differing != self.differing_hubs:
            self.differing_hubs = differing
            self._observer.hubs_differ(differing)

    def _hubs_changed(self) -> None:
        self.committer.follow(following=not self.membership.alone)
        self._observer.hubs_changed([hub.hub_id for hub in self.membership.hubs])
        if self.ready:
            self._emit(HubsChanged())

    def _renewed_elsewhere(self, renewals: list[ForeignRenewal]) -> None:
        """Take in what is newer; renewals of this hub are among them, and are known."""
        now, newer = self._scheduler.now(), []
        for renewal in renewals:
            entry = self.directory.get(renewal.agent_id)
            if entry is None or entry.record.last_seen >= renewal.last_seen:
                continue
            if entry.record.hub == self._hub_id:
                # Its session is here: by a clock that is ahead, that was of an earlier one.
                renewal = structs.replace(renewal, load=UNSET)  # noqa: PLW2901
            record = seen_later(entry.record, renewal.last_seen, renewal.load)
            self._refresh(record, completed(record))
            newer.append(renewal)
        if newer:
            self._emit(RenewedElsewhere(newer, now))

    # --- loading ---------------------------------------------------------------------------------

    def _start_from(
        self, records: list[AgentRecord], events: list[LogEvent], loaded: Loaded
    ) -> None:
        """Begin with what was loaded, and serve once the other hubs know of this one."""
        at = self.committer.position
        # Others may have written since the store was opened; that is folded later.
        events = [each for each in events if each.revision <= at.revision]
        if self._resync.fresh or not events or events[-1].revision != at.revision:
            events = []
        roster = loaded.roster
        self.membership.start(roster)
        self._compare_times(roster)
        self.told_times.load((each.id for each in records), loaded.times, loaded.usual_times)
        self.owners.load((each.id for each in records), loaded.owners)
        unlogged = {each.id for each in records if self._resync.fresh or each.revision == 0}
        self.feed.restart(at, self.secret, events, unlogged)
        self._resync.limit_wait(set(), {})
        for record in records:
            self.directory.put(record, completed(record))
        self.removal.restored(records, events, roster.acknowledged)
        self._loaded = True
        self.committer.follow(following=not self.membership.alone)
        if self.membership.alone:
            self._become_ready()
        else:
            self._scheduler.call_at(self._scheduler.now() + JOINING, self._become_ready)

    def _become_ready(self) -> None:
        self.ready = True
        self._emit(Ready())
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def _resynced(self) -> None:
        self._store_returned()
        self._hubs_changed()

    def _has_joined(self) -> None:
        joined, self._joined = self._joined, None
        if joined is not None:
            joined()

    def _store_returned(self) -> None:
        self._emit(StoreReturned())
        self.rollback.store_returned()
        if self._joined is not None:
            self.membership.ask()

    def _emit(self, event: ClusterEvent) -> None:
        self._events.handle(event)
