"""The supervisor of one namespace: its directory, its agents' actors, its watches.

Queries are answered at once from memory; they are plain calls, since they change nothing. Whatever
changes something goes through the actor of the agent concerned, and comes back here as an entry of
the log, which is the only thing that changes the directory. Other hubs' changes come here the same
way, so that every hub holds the whole directory; actors it has for those agents only that it is in
charge of (`actors.membership`), or is asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from itertools import chain, islice

from msgspec import UnsetType, structs

from actors.agent import AgentActor
from actors.committer import Committer, Proposal
from actors.deadlines import Deadlines
from actors.directory import Directory, Page
from actors.feed import Feed
from actors.history import REMOVALS, Entry
from actors.loading import read_entries, read_record, read_records
from actors.massloss import LossGuard
from actors.membership import Membership
from actors.messages import Holder
from actors.observing import Observer, Stats
from actors.outcomes import Acknowledged, Reply
from actors.picking import Picker
from actors.ports import (
    Applied,
    Away,
    Change,
    Fenced,
    HubLease,
    HubReport,
    Loaded,
    LogEntry,
    Opened,
    RandomSource,
    Refusal,
    Renewal,
    Roster,
    Scheduler,
    Store,
    Stored,
)
from actors.records import complete, completed, head_of
from actors.recovery import Recovery
from actors.references import AgentRef
from actors.refusals import gone, unavailable
from actors.runtime import Runtime
from actors.timing import Timing
from actors.watchdog import Watchdog
from protocol.bounds import Kind, Metadata, Status, Strategy
from protocol.errors import ProtocolError
from protocol.filters import Filter
from protocol.record import AgentChanges, AgentRecord, AgentSpec
from protocol.timestamps import format_timestamp, parse_timestamp

PUT_BACK_TIMEOUT = 5.0
"""Seconds after which watches are told of a new log although an agent is not back in it."""

JOINING = 1.1
"""Seconds for which a hub waits before it serves, so that all others know of it."""

CHARGED_AT_ONCE = 500
"""Agents that are looked at in one turn of the loop when hubs come or go."""


class Supervisor:
    """One namespace of a hub."""

    def __init__(
        self,
        *,
        hub_id: str,
        timing: Timing,
        scheduler: Scheduler,
        runtime: Runtime,
        store: Store,
        random: RandomSource,
        observer: Observer,
        log_length: int,
        incarnation: str,
    ) -> None:
        self.hub_id = hub_id
        self.timing = timing
        self.secret = b""
        self.ready = False
        self.deadlines = Deadlines(scheduler)
        self.directory = Directory()
        self.feed = Feed(self.directory, log_length)
        self._scheduler = scheduler
        self._runtime = runtime
        self._store = store
        self._random = random
        self.observer = observer
        self._committer = Committer(scheduler, store, self, f"{hub_id}/{incarnation}")
        self._membership = Membership(scheduler, store, hub_id, self)
        self._losses = LossGuard(timing.loss_share, timing.loss_hold, lambda: len(self.directory))
        self._picker = Picker(self.directory, random)
        self._agents: dict[str, AgentRef] = {}
        self._uncharged: Iterator[str] = iter(())
        self._doubtful: set[str] = set()
        self._sessions: dict[Holder, None] = {}
        self._waiting: list[Callable[[], None]] = []
        self._recovery = Recovery(
            scheduler, store, observer, self._committer.renew_log, self._recovered
        )
        self._fresh = False
        self._loaded = False
        self._reloading = False
        self._doubtful_load = False
        self._told_meanwhile: set[str] = set()
        self._beginning = 0
        self._removal_held = False
        self._watchdog = Watchdog(scheduler, timing, self._absolve)
        self._draining = False
        self._counts = dict.fromkeys(("heartbeats", "changes", "expired", "fenced"), 0)

    # --- beginning and end ---------------------------------------------------------------------

    def start(self) -> None:
        """Open the store and load what it holds; `ready` from then on."""
        self._committer.start()
        self._watchdog.start()

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once everything stored has been loaded; at once if it has."""
        if self.ready:
            callback()
        else:
            self._waiting.append(callback)

    def drain(self) -> None:
        """Take no new agents, and write for every connected one that the hub lets go of it."""
        self._draining = True
        for agent in self._agents.values():
            agent.drain()

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be written, as far as the store can be reached."""
        return self.store_is_away or (
            self._committer.outstanding == 0 and self._runtime.backlog == 0
        )

    @property
    def unused(self) -> bool:
        """Whether there is nobody here, and nothing on its way."""
        busy = self._agents or self._sessions or self._waiting or self._committer.outstanding
        elsewhere = any(hub.sessions for hub in self.roster if hub.hub_id != self.hub_id)
        return self.ready and not busy and not elsewhere and len(self.directory) == 0

    def close(self) -> None:
        """Stop judging and writing."""
        self._watchdog.stop()
        self._membership.stop()
        self._committer.close()
        self.deadlines.clear()

    # --- queries -------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """The name of the log that `revision` belongs to."""
        return self._committer.log

    @property
    def revision(self) -> int:
        """The newest change that the directory holds."""
        return self._committer.revision

    @property
    def store_is_away(self) -> bool:
        """Whether changes cannot be written now.

        Nor while it is not known what others made of a new log: an agent that was removed there
        must not be put back.
        """
        return self._reloading or not self._committer.open

    @property
    def roster(self) -> list[HubLease]:
        """The living hubs of the cluster, ordered by id; this one among them."""
        return self._membership.hubs

    @property
    def alone(self) -> bool:
        """Whether this is the only hub of its cluster, as far as it knows."""
        return self._membership.alone

    def find(self, filter: Filter, limit: int | None = None, cursor: str | None = None) -> Page:
        """The agents that match, ordered by id.

        Raises ProtocolError: `unavailable` before the directory is loaded, `bad_request` for a
        filter that cannot be understood.
        """
        self._check_ready()
        return self.directory.find(filter, limit, cursor)

    def get(self, agent_id: str) -> bytes:
        """The agent's record as JSON, as the directory has it.

        Raises ProtocolError `not_found` or `unavailable`.
        """
        self._check_ready()
        entry = self.directory.get(agent_id.lower())
        if entry is None:
            raise ProtocolError("not_found", "Agent not found")
        return entry.data

    def look_up(self, agent_id: str, reply: Callable[[bytes | ProtocolError], None]) -> None:
        """The agent's record as JSON, with what other hubs heard of it until now.

        Answered as `get`; the store is asked about agents that are not held here.
        """
        agent_id = agent_id.lower()
        entry = self.directory.get(agent_id)
        held_here = entry is not None and entry.record.hub == self.hub_id
        if not self.ready or self.alone or held_here or self.store_is_away:
            reply(self._listed(agent_id))
        else:
            self._store.read(agent_id, lambda stored: reply(self._newest(agent_id, stored)))

    def pick(self, filter: Filter, strategy: Strategy, key: str | None) -> bytes:
        """One agent to give work to, as JSON. Raises ProtocolError as `Picker.pick`."""
        self._check_ready()
        return self._picker.pick(filter, strategy, key, self._doubtful).data

    def not_ready_reasons(self) -> list[str]:
        """Why this namespace cannot do all its work now, in plain phrases; empty when it can."""
        reasons = []
        if self.store_is_away:
            reasons.append(f"Redis: {self._committer.reason}")
        if not self.ready:
            reasons.append("the directory has not been loaded yet")
        if self._draining:
            reasons.append("the hub is stopping")
        return reasons

    @property
    def loss(self) -> str | None:
        """One phrase while removal is held because many agents were lost at once."""
        if not self.removal_held:
            return None
        return (
            f"{self._losses.lost} of {len(self.directory)} agents were lost at once: none is "
            "removed before the loss is acknowledged or they return"
        )

    def stats(self) -> Stats:
        """Figures for metrics."""
        return Stats(
            agents=self.directory.status_counts(),
            sessions=len(self._sessions),
            watches=self.feed.watches,
            revision=self.revision,
            pending_changes=self._committer.outstanding,
            commits=self._committer.commits,
            mailbox=self._runtime.backlog,
            hubs=max(1, len(self.roster)),
            agents_lost_at_once=self._losses.lost if self.removal_held else 0,
            **self._counts,
        )

    # --- asks ----------------------------------------------------------------------------------

    def register(
        self,
        spec: AgentSpec,
        agent_id: str | None,
        reply: Reply,
        session: Holder | None = None,
    ) -> AgentRef | None:
        """Begin a lease; without `agent_id` under a new id. `session` is None over HTTP.

        Answered with a Lease or a ProtocolError. Returns the agent's reference, None when the
        answer was an error already.
        """
        if not self.ready or self._draining:
            reply(unavailable(self.not_ready_reasons()))
            return None
        if agent_id is None:
            agent_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        agent_id = agent_id.lower()
        agent = self._known(agent_id)
        if agent is None:
            _, agent = self._spawn(agent_id)
        agent.register(session, spec, reply, self.now())
        return agent

    def locate(
        self,
        agent_id: str,
        found: Callable[[AgentRef | ProtocolError | None], None],
        *,
        current: bool = False,
    ) -> None:
        """The reference of an agent that is to be asked something, now or later.

        With `current`, everything that is durable has been folded by then, whether or not the
        agent is known already.

        None when there is no such agent. Another hub may have registered it a moment ago: before
        that is said, all that is durable has been folded. ProtocolError `unavailable` when that
        cannot be done now.
        """
        agent_id = agent_id.lower()
        if not self.ready:
            found(unavailable(self.not_ready_reasons()))
            return
        if self.alone or (not current and self._is_known(agent_id)):
            found(self._known(agent_id))
            return

        def caught_up(complete: bool) -> None:
            agent = self._known(agent_id)
            if agent is None and not complete:
                found(unavailable(self.not_ready_reasons()))
            else:
                found(agent)

        self._committer.catch_up(caught_up)

    def catch_up(self, caught_up: Callable[[bool], None]) -> None:
        """Call back once all is folded that any hub made durable; False when the store is away."""
        self._committer.catch_up(caught_up)

    def heartbeat(
        self,
        agent_id: str,
        status: Status | UnsetType,
        metadata: Metadata | UnsetType,
        reply: Reply,
    ) -> None:
        """A heartbeat over HTTP; answered with Acknowledged or a ProtocolError."""
        at = self.now()

        def found(agent: AgentRef | ProtocolError | None) -> None:
            if isinstance(agent, AgentRef):
                self._counts["heartbeats"] += 1
                agent.beat(None, AgentChanges(status=status, metadata=metadata), reply, at)
            else:
                reply(agent or gone())

        self.locate(agent_id, found)

    def unregister(self, agent_id: str, reply: Reply) -> None:
        """End a lease over HTTP; an unknown id has nothing left to end."""
        at = self.now()

        def found(agent: AgentRef | ProtocolError | None) -> None:
            if isinstance(agent, AgentRef):
                agent.unregister(None, reply, at)
            else:
                reply(agent or Acknowledged(self.revision, True, self.timestamp()))

        self.locate(agent_id, found)

    def acknowledge_loss(self, reply: Reply) -> None:
        """Let agents that were lost at once be removed; answered once all hubs can know."""
        revision = self.revision

        def acknowledged(answer: bool | Away) -> None:
            if isinstance(answer, Away):
                reply(ProtocolError("unavailable", f"the hub is not ready: {answer.reason}"))
                return
            self._losses.acknowledged(revision)
            self._note_losses()
            reply(Acknowledged(revision, True, self.timestamp()))

        self._store.acknowledge_loss(revision, acknowledged)

    # --- sessions and watches --------------------------------------------------------------------

    def join(self, session: Holder) -> None:
        """A connection has come to this namespace."""
        self._sessions[session] = None

    def part(self, session: Holder) -> None:
        """A connection has gone."""
        self._sessions.pop(session, None)

    def sessions(self) -> list[Holder]:
        """The connections of this namespace."""
        return list(self._sessions)

    def count_heartbeat(self) -> None:
        """A heartbeat came over a websocket."""
        self._counts["heartbeats"] += 1

    @property
    def draining(self) -> bool:
        """Whether the hub is stopping, and takes no more agents."""
        return self._draining

    # --- what the committer tells (Fold) ---------------------------------------------------------

    def opened(self, opened: Opened, *, gap: bool) -> None:
        """The store answers: load it, or write what is owed to it."""
        self.secret = opened.secret
        # While not all are back in a new log, it is as new as when it was found.
        self._fresh = opened.fresh or (self._fresh and (self._reloading or self.feed.beginning))
        known = self.ready or self._recovery.awaits_log
        self.observer.store_returned(opened.log, fresh=opened.fresh and known)
        if not self._loaded:
            self._recovery.resume()
            return
        self._watchdog.present_since = self.now()  # the store's absence is not charged either
        self._membership.store_returned()
        if gap or opened.fresh or self._reloading:
            # Whoever began a new log, others may have written to it before us.
            self._reloading = True
            self._told_meanwhile.clear()
            self.feed.suspend(opened.log, opened.revision)
            self._store.load(self._reloaded)
            return
        self._tell_store_returned()

    def _tell_store_returned(self) -> None:
        for agent in list(self._agents.values()):
            agent.store_returned()

    def away(self, reason: str) -> None:
        """The store does not answer."""
        self.observer.store_away(reason)

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
        if change.kind not in REMOVALS and record.id not in self._agents:
            _Removal(self, record.id).propose()  # its actor was isolated meanwhile

    def foreign(self, entry: LogEntry) -> None:
        """Another hub's change is durable."""
        record = read_record(entry.record)
        self._fold(entry.kind, record, entry.record)
        self._membership.spoke(entry.key.partition("/")[0])
        removed = entry.kind in REMOVALS
        agent = self._agents.get(record.id)
        if agent is not None:
            agent.overtaken(record, removed=removed)
        elif not removed and self.ready and self.in_charge(record):
            self._take_over(record, self.log, self.timing.resume_window)

    def _fold(self, kind: Kind, record: AgentRecord, data: bytes) -> None:
        self.feed.fold(kind, record, data)
        self._counts["changes"] += 1
        if kind == "expired":
            self._counts["expired"] += 1
        if self._reloading:
            self._told_meanwhile.add(record.id)
        if kind in REMOVALS or record.status != "unreachable":
            self._losses.found(record.id)
        elif kind == "status_changed" and record.health.reason != "self_reported":
            self._losses.turned_unreachable(record.id, self.now(), record.revision)
            self._note_losses()
        self.observer.changed(kind, record)

    # --- what the membership tells (Cluster) -----------------------------------------------------

    def report(self) -> HubReport | None:
        """What the other hubs are told of this one."""
        if self.store_is_away:
            return None
        return HubReport(len(self._agents), len(self._sessions), self.revision)

    def roster_heard(self, roster: Roster) -> None:
        """The newest roster."""
        self._losses.acknowledged(roster.acknowledged)
        self._note_losses()
        self._committer.follow(following=not self.alone)
        self._committer.grown(roster.revision)

    def roster_failed(self, answer: Fenced | Away) -> None:
        """The store does not answer, or knows this hub no more."""
        self._committer.suspect(answer)

    def hubs_changed(self) -> None:
        """Another hub came or went: look, some agents at a time, who is in charge of whom."""
        self._committer.follow(following=not self.alone)
        self.observer.hubs_changed([hub.hub_id for hub in self.roster])
        self._uncharged = iter(tuple(self.directory.ids()))
        self._scheduler.call_soon(self._charge_some)

    def renewed_elsewhere(self, renewals: list[Renewal]) -> None:
        """Other hubs, or this one, renewed these entries."""
        now = self.now()
        for renewal in renewals:
            entry = self.directory.get(renewal.agent_id)
            if entry is None or entry.record.last_seen >= renewal.last_seen:
                continue
            record = structs.replace(entry.record, last_seen=renewal.last_seen)
            self.directory.refresh(record, completed(record))
            agent = self._agents.get(record.id)
            if agent is not None:
                agent.renewed_elsewhere(renewal.last_seen, now - renewal.age)

    def _charge_some(self) -> None:
        uncharged = self._uncharged
        if not self.ready:
            return
        for agent_id in islice(uncharged, CHARGED_AT_ONCE):
            entry = self.directory.get(agent_id)
            agent = self._agents.get(agent_id)
            if agent is not None:
                agent.hubs_changed()
            elif entry is not None and self.in_charge(entry.record):
                log = "" if agent_id in self.feed.missing else self.log
                self._take_over(entry.record, log, self.timing.resume_window)
        following = next(uncharged, None)
        if following is not None:
            self._uncharged = chain((following,), uncharged)
            self._scheduler.call_soon(self._charge_some)

    # --- what the agents' actors need (Home) -----------------------------------------------------

    def now(self) -> float:
        """The scheduler's now."""
        return self._scheduler.now()

    def timestamp(self) -> str:
        """The wall clock's now, as records hold it."""
        return format_timestamp(self._scheduler.wall())

    def propose(self, proposal: Proposal) -> None:
        """Have a change committed."""
        self._committer.propose(proposal)

    def doubt(self, agent_id: str, *, doubtful: bool) -> None:
        """Do not pick the agent, even before the log tells that its connection is lost."""
        if doubtful:
            self._doubtful.add(agent_id)
        else:
            self._doubtful.discard(agent_id)

    def count_fenced(self) -> None:
        """A session was fenced off."""
        self._counts["fenced"] += 1

    def in_charge(self, record: AgentRecord) -> bool:
        """Whether this hub judges the agent."""
        return self._membership.in_charge(record)

    def look(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """Ask the store what it holds of the agent now."""
        self._store.read(agent_id, reply)

    @property
    def removal_held(self) -> bool:
        """Whether nobody may be removed, because many were lost at once."""
        return self._losses.holds(self.now())

    def lease_left(self, record: AgentRecord) -> float:
        """Seconds until an unreachable agent's lease is over, by the record's own words."""
        since = parse_timestamp(record.health.since)
        return since + self.timing.lease_ttl - self._scheduler.wall()

    def gone(self, agent_id: str) -> None:
        """An agent's actor has ended."""
        agent = self._agents.pop(agent_id, None)
        if agent is not None:
            agent.stop()
        self._doubtful.discard(agent_id)
        entry = self.directory.get(agent_id)
        if entry is None:
            self.feed.expect_no_more(agent_id)
        elif self.in_charge(entry.record):  # its own ask failed, and yet somebody must judge it
            self._take_over(entry.record, self.log, self.timing.resume_window)

    def failed(self, agent_id: str) -> None:
        """An actor was isolated: take its agent off the directory; it may register anew."""
        self._agents.pop(agent_id, None)
        self._doubtful.discard(agent_id)
        self.feed.expect_no_more(agent_id)
        _Removal(self, agent_id).propose()

    def is_without_actor(self, agent_id: str) -> bool:
        """Whether nobody here would write for the agent."""
        return agent_id not in self._agents

    def was_absent(self) -> bool:
        """Look whether the hub was stalled just now; if so, every agent is being absolved."""
        return self._watchdog.look()

    @property
    def present_since(self) -> float:
        """When the hub's last absence ended."""
        return self._watchdog.present_since

    # --- within ----------------------------------------------------------------------------------

    def _is_known(self, agent_id: str) -> bool:
        return agent_id in self._agents or agent_id in self.directory

    def _known(self, agent_id: str) -> AgentRef | None:
        """The agent's actor; one that only the directory knows is given an actor for the ask."""
        agent = self._agents.get(agent_id)
        if agent is None and (entry := self.directory.get(agent_id)) is not None:
            actor, agent = self._spawn(agent_id)
            actor.adopt(entry.record, self.log)
        return agent

    def _spawn(self, agent_id: str) -> tuple[AgentActor, AgentRef]:
        actor = AgentActor(self, agent_id)
        reference = AgentRef(self._runtime.spawn(actor, f"agent {agent_id}"))
        actor.begin(reference)
        self._agents[agent_id] = reference
        return actor, reference

    def _take_over(self, record: AgentRecord, log: str, grace: float) -> None:
        actor, _ = self._spawn(record.id)
        actor.take_over(record, log, grace)

    def _recovered(self, records: list[AgentRecord], entries: list[Entry], roster: Roster) -> None:
        log, revision = self._committer.log, self._committer.revision
        # Others may have written since the store was opened; that is folded later.
        entries = [each for each in entries if each.revision <= revision]
        if self._fresh or not entries or entries[-1].revision != revision:
            entries = []
        self._membership.start(roster)
        unlogged = {each.id for each in records if self._fresh or each.revision == 0}
        self.feed.begin(log, revision, entries, unlogged)
        self._bound_beginning(set())
        for record in records:
            self.directory.put(record, completed(record))
        self._loaded = True
        self._committer.follow(following=not self.alone)
        if self.alone:
            self._begin(unlogged)
        else:
            self._scheduler.call_at(self.now() + JOINING, lambda: self._begin(unlogged))

    def _begin(self, unlogged: set[str]) -> None:
        """Serve; the log does not tell of those that are `unlogged`."""
        self.ready = True
        for agent_id in tuple(self.directory.ids()):
            entry = self.directory.get(agent_id)
            if entry is not None and self.in_charge(entry.record):
                logged_in = "" if agent_id in unlogged else self.log
                self._take_over(entry.record, logged_in, self.timing.heartbeat_timeout)
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def _reloaded(self, loaded: Loaded | Away) -> None:
        """The log could not tell what came since: the stored records do."""
        if isinstance(loaded, Away):
            self._doubtful_load = True  # ghosts may have been dropped, and the answer lost
            self._committer.suspect(loaded)  # its return loads again
            return
        if loaded.ghosts or self._doubtful_load:
            # They ran out, and yet may live at their hubs, which tell so in a new log only.
            self._doubtful_load = False
            self._committer.renew_log()
            return
        self._reloading = False
        told = self._told_meanwhile
        records = {
            each.id: each
            for each in read_records(loaded.records, self.observer)
            if each.id not in told or each.id in self.directory  # else it has been removed
        }
        for record in records.values():
            held = self.directory.get(record.id)
            if held is None or self._prevails(record, held.record, told):
                self.directory.put(record, completed(record))
                agent = self._agents.get(record.id)
                if agent is not None:
                    agent.overtaken(record, removed=False)
        missing = set(self.directory.ids())
        if self._fresh:  # those whom it does not tell of, their hubs are about to put back
            last = {each.record.id: each for each in read_entries(loaded.entries)}
            missing -= told
            for agent_id in sorted(missing.intersection(last) - set(records)):
                if last[agent_id].kind in REMOVALS:
                    self._forget(agent_id)
            missing -= set(last)
        else:
            for agent_id in sorted(missing - told - set(records)):
                self._forget(agent_id)
            missing = set()
        self.feed.begin(self.log, self.revision, [], missing)
        self._bound_beginning(missing - set(records))
        self._tell_store_returned()
        self.hubs_changed()

    def _prevails(self, stored: AgentRecord, held: AgentRecord, told: set[str]) -> bool:
        """Whether the stored record, and not the one held here, tells what the agent is now.

        In a log that begins anew, whoever is in charge puts the agent back as it was last known
        there, unless others knew it later; to all others, what is stored counts. Of the agents
        that were `told` of meanwhile, the fold may know more than what was loaded.
        """
        if not self._fresh or held.id in told:
            return stored.revision > held.revision
        # (What the store would refuse to have put back; of before a loss, epochs may be higher.)
        later = stored.epoch > held.epoch or stored.revision > held.revision
        return later or not self.in_charge(held)

    def _bound_beginning(self, lost: set[str]) -> None:
        self._beginning += 1
        number = self._beginning
        self._scheduler.call_at(
            self.now() + PUT_BACK_TIMEOUT, lambda: self._finish_beginning(number, lost)
        )

    def _finish_beginning(self, number: int, lost: set[str]) -> None:
        """Those of the `lost` whom nobody has put back are no more."""
        if number == self._beginning and not self._reloading:
            for agent_id in sorted(lost.intersection(self.feed.missing)):
                entry = self.directory.get(agent_id)
                if entry is not None and not self.in_charge(entry.record):
                    self._forget(agent_id)
            self.feed.finish_beginning()

    def _forget(self, agent_id: str) -> None:
        entry = self.directory.get(agent_id)
        assert entry is not None
        if entry.record.revision > self._committer.revision:
            return
        self.directory.remove(agent_id)
        self._losses.found(agent_id)
        agent = self._agents.get(agent_id)
        if agent is not None:
            ended = structs.replace(entry.record, revision=self.revision, status="unreachable")
            agent.overtaken(ended, removed=True)

    def _absolve(self, absence: float) -> None:
        self.observer.stalled(absence)
        for agent in list(self._agents.values()):
            agent.absolve()

    def _note_losses(self) -> None:
        held = self.removal_held
        if held and not self._removal_held:
            for agent in list(self._agents.values()):
                agent.removal_held()
        if held != self._removal_held:
            self._removal_held = held
            self.observer.removal_held(self.loss)

    def _listed(self, agent_id: str) -> bytes | ProtocolError:
        try:
            return self.get(agent_id)
        except ProtocolError as error:
            return error

    def _newest(self, agent_id: str, stored: Stored | Away | None) -> bytes | ProtocolError:
        if isinstance(stored, Stored):
            entry = self.directory.get(agent_id)
            for record in read_records([stored.record], self.observer):
                if entry is None or record.revision >= entry.record.revision:
                    return completed(record)
        return self._listed(agent_id)

    def _check_ready(self) -> None:
        if not self.ready:
            raise unavailable(self.not_ready_reasons())


class _Removal:
    """Takes an agent without an actor off the directory, whatever becomes of it meanwhile."""

    def __init__(self, supervisor: Supervisor, agent_id: str) -> None:
        self._supervisor = supervisor
        self._agent_id = agent_id

    def propose(self) -> None:
        """Remove the agent as the directory has it."""
        entry = self._supervisor.directory.get(self._agent_id)
        if entry is None:
            return
        record = entry.record
        change = Change(
            operation="remove",
            kind="expired",
            agent_id=record.id,
            epoch=record.epoch,
            head=head_of(record),
            hub=record.hub,
            ttl=0.0,
            revision=record.revision,
        )
        self._supervisor.propose(Proposal(change, record, self, self._supervisor.now()))

    def settled(self, proposal: Proposal, result: Applied | Refusal | Away) -> None:
        """The change ended; what came between has been folded."""
        if result in ("stale", "fenced") and self._supervisor.is_without_actor(self._agent_id):
            self.propose()

    def sweep(self) -> None:
        """The change waits."""
