"""The actors of one namespace's agents in this hub, and what they need of it.

Every agent that this hub owns has an actor; any other agent has one while it is asked something.
The directory that lists the agents is the replica's.
"""

from __future__ import annotations

from typing import assert_never

from actors.agent.actor import AgentActor
from actors.agent.ref import AgentRef
from actors.cluster.events import (
    ChangedElsewhere,
    ChangedHere,
    ClusterEvent,
    FoundChanged,
    FoundRemoved,
    HubsChanged,
    Ready,
    RemovalHeld,
    RenewedElsewhere,
    StoreReopened,
    StoreReturned,
)
from actors.cluster.replica import Replica
from actors.limits import Limits
from actors.namespace.capacity import Capacity
from actors.namespace.foreign_writes import ForeignWrites
from actors.namespace.orphan_removal import OrphanRemoval
from actors.ports.authority import Authority
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.ports.store import Store
from actors.rules.liveness import StartGrace
from actors.rules.takeovers import TakeoverRefusal, Takeovers
from actors.runtime.deadlines import Deadlines
from actors.runtime.dispatch import Runtime
from actors.runtime.stall_detector import StallDetector
from actors.timing import Timing
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import format_timestamp

CHECKED_AT_ONCE = 100
"""Agents whose owner is checked in one turn of the event loop when hubs come or go."""


class ActorRegistry:
    """The actors by their agents' ids.

    It handles the events of the replica (`ClusterEvents`), and is the context of each actor
    (`AgentContext`).
    """

    def __init__(
        self,
        replica: Replica,
        *,
        hub_id: str,
        timing: Timing,
        limits: Limits,
        scheduler: Scheduler,
        runtime: Runtime,
        store: Store,
        observer: Observer,
        authority: Authority,
    ) -> None:
        self.hub_id = hub_id
        self.timing = timing
        # The parts of an agent's context that others serve, without a call in between.
        self.now, self.wall = scheduler.now, scheduler.wall
        self.owns = replica.membership.owns
        self.held_until = replica.removal.held_until
        self.timing_of = replica.told_times.of
        self.owner_of, self.revoked = replica.owners.of, authority.revoked
        self.read_stored = store.read
        self._committer = committer = replica.committer
        self.propose = committer.propose
        self.new_key = committer.new_key
        self._capacity = capacity = Capacity(limits, replica.directory, observer)
        self.admit, self.check_growth = capacity.admit, capacity.check_growth
        self.deadlines = Deadlines(scheduler)
        self.agents: dict[str, AgentRef] = {}
        self.recently_lost: set[str] = set()
        """Ids of agents whose connection is lost, whether or not the log tells it yet."""
        self._unwritten: set[str] = set()
        self.fenced = 0
        self.takeovers = Takeovers()
        self.takeovers_refused = 0
        self._replica = replica
        self._scheduler = scheduler
        self._runtime = runtime
        self._observer = observer
        self._unchecked: list[str] = []
        self._checking = False
        self._start_grace = StartGrace()
        self._stall_detector = StallDetector(scheduler, timing, self._grant_fresh_timeouts)
        self.foreign_writes = ForeignWrites(
            scheduler=scheduler,
            store=store,
            observer=observer,
            replica=replica,
            agents=self.agents,
            knows=self.knows,
            create=self.get_or_create,
        )
        self.foreign_write = self.foreign_writes.noticed

    def start(self) -> None:
        """Handle the events of the replica, and detect this hub's own absences."""
        self._replica.start(self)
        self._stall_detector.start()

    def close(self) -> None:
        """Call no actor any more."""
        self._stall_detector.stop()
        self.foreign_writes.close()
        self._unchecked.clear()
        self.deadlines.clear()

    def drain(self) -> None:
        """Let go of every websocket."""
        for agent in list(self.agents.values()):
            agent.drain()

    def knows(self, agent_id: str) -> bool:
        """Whether the agent exists, as far as this hub has heard."""
        return agent_id in self.agents or agent_id in self._replica.directory

    def get(self, agent_id: str) -> AgentRef | None:
        """The agent's actor; an agent that only the directory knows gets one for an ask."""
        if agent_id not in self.agents:
            entry = self._replica.directory.get(agent_id)
            if entry is None:
                return None
            if self.owns(entry.record):
                self._take_over(entry.record)
            else:
                self._spawn(agent_id).adopt(entry.record, self._log_of(agent_id))
        return self.agents[agent_id]

    def get_or_create(self, agent_id: str) -> AgentRef:
        """The agent's actor, which is created if the agent does not exist yet."""
        return self.get(agent_id) or self._spawn(agent_id).ref

    # --- what the replica reports (actors.cluster.events.ClusterEvents) --------------------------

    def handle(self, event: ClusterEvent) -> None:
        """Have the agents' actors act on an event; called by the replica only."""
        match event:  # the frequent ones first: patterns are tried in order
            case ChangedHere():
                self._capacity.settled(event.record.id)
                if event.record.id not in self.agents:  # its actor was isolated meanwhile
                    self._remove_orphan(event.record.id)
            case ChangedElsewhere():
                self._capacity.settled(event.record.id)
                agent = self.agents.get(event.record.id)
                if agent is not None:
                    agent.overtaken(event.record, removed=event.removed)
                elif not event.removed and self._replica.ready and self.owns(event.record):
                    self._take_over(event.record)
            case RenewedElsewhere():
                self._renewed_elsewhere(event)
            case FoundChanged():
                self._overtaken(event.record, removed=False)
            case FoundRemoved():
                self._overtaken(event.record, removed=True)
            case HubsChanged():
                self._check_owners()
            case RemovalHeld():
                for agent in list(self.agents.values()):
                    agent.removal_held()
            case StoreReopened():  # the absence of the store is not charged to the agents either
                self._stall_detector.present_since = self.now()
            case StoreReturned():
                self._unwritten.clear()  # each is proposed now, or was
                for agent in list(self.agents.values()):
                    agent.store_returned()
            case Ready():
                self._start_grace = StartGrace(self._replica.revision, self.now())
                self._check_owners()
                self.foreign_writes.start()
            case _:
                assert_never(event)

    def _overtaken(self, record: AgentRecord, *, removed: bool) -> None:
        agent = self.agents.get(record.id)
        if agent is not None:
            agent.overtaken(record, removed=removed)

    def _renewed_elsewhere(self, event: RenewedElsewhere) -> None:
        for renewal in event.renewals:
            agent = self.agents.get(renewal.agent_id)
            if agent is not None:
                at = event.now - renewal.age
                agent.renewed_elsewhere(renewal.last_seen, renewal.load, at)

    # --- what the agents' actors need (actors.agent.context.AgentContext) ------------------------

    @property
    def secret(self) -> bytes:
        """What signs session tokens."""
        return self._replica.secret

    @property
    def log(self) -> str:
        """The name of the log that is written to."""
        return self._committer.log

    @property
    def store_is_away(self) -> bool:
        """Whether nothing may be written now."""
        return self._replica.store_is_away

    @property
    def why_unanswered(self) -> str:
        """Why the store has not confirmed a change in time, as one phrase."""
        if self._replica.store_is_away:
            return self._replica.why_away
        return f"{self._replica.store_name} did not answer in time"

    def unwritten(self, agent_id: str) -> None:
        """Something of the agent waits to be written, if the store is away."""
        if self._replica.store_is_away:
            self._unwritten.add(agent_id)

    @property
    def pending(self) -> int:
        """Agents of which something waits until the store is back."""
        return len(self._unwritten)

    @property
    def change_timeout(self) -> float:
        """Seconds that an ask may wait for the store."""
        return self._committer.round_trip.change_timeout

    @property
    def alone(self) -> bool:
        """Whether there is no other hub, as far as this one knows."""
        return self._replica.membership.alone

    def timestamp(self) -> str:
        """The wall clock's now, as records hold it."""
        return format_timestamp(self.wall())

    def set_recently_lost(self, agent_id: str, *, lost: bool) -> None:
        """The agent's connection is lost: do not pick it, even before the log tells so."""
        if lost:
            self.recently_lost.add(agent_id)
        else:
            self.recently_lost.discard(agent_id)

    def count_fenced(self) -> None:
        """A session was fenced off."""
        self.fenced += 1

    def takeover_refused(self, agent_id: str, refusal: TakeoverRefusal) -> None:
        """A registration was refused, because programs take the id from each other."""
        self.takeovers_refused += 1
        if refusal.new:
            self._observer.takeover_refused(agent_id, refusal.times)

    @property
    def holds_removal(self) -> bool:
        """Whether the removal of some agents is held, because many were lost at once."""
        return self._replica.removal.active

    def gone(self, agent_id: str) -> None:
        """The agent's actor has ended: the agent is no more, or another hub's."""
        self._capacity.settled(agent_id)
        self._unwritten.discard(agent_id)
        agent = self.agents.pop(agent_id, None)
        if agent is not None:
            agent.stop()
        self.recently_lost.discard(agent_id)
        entry = self._replica.directory.get(agent_id)
        if entry is None:
            self._replica.feed.no_longer_missing(agent_id)
        elif self.owns(entry.record):  # an ask failed, and yet its silence must be judged
            self._take_over(entry.record)

    def registration_lost(self, agent_id: str, epoch: int) -> None:
        """Somebody proves a later registration than the one of that epoch, which is known here."""

        def caught_up(complete: bool) -> None:
            entry = self._replica.directory.get(agent_id)
            if complete and entry is not None and entry.record.epoch == epoch:
                self._replica.rollback.registration_lost(agent_id)

        self._replica.committer.catch_up(caught_up)

    def superseded(self, agent_id: str, epoch: int) -> None:
        """The store knows a newer session of the agent than that epoch, or its end.

        The whole log had been folded when the store said so. If the directory knows nothing newer,
        an older log has it: the agent was removed, or its owner is about to put it back. If it
        were kept, it would be put back and refused for ever.
        """
        entry = self._replica.directory.get(agent_id)
        if entry is not None and entry.record.epoch <= epoch:
            self._replica.drop(agent_id)

    def failed(self, agent_id: str) -> None:
        """The agent's actor was isolated: remove the agent; it may register again."""
        self._capacity.settled(agent_id)
        self._unwritten.discard(agent_id)
        self.agents.pop(agent_id, None)
        self.recently_lost.discard(agent_id)
        self._replica.feed.no_longer_missing(agent_id)
        self._remove_orphan(agent_id)

    def was_absent(self) -> bool:
        """Whether the hub was stalled just now; if so, every agent gets a fresh timeout."""
        return self._stall_detector.check()

    @property
    def present_since(self) -> float:
        """When the hub's last absence, or the store's, ended."""
        return self._stall_detector.present_since

    # --- within ----------------------------------------------------------------------------------

    def _check_owners(self) -> None:
        """Find out, some agents at a time, which of them this hub owns now."""
        self._unchecked = [*reversed(self._replica.directory.ids())]
        if not self._checking:
            self._checking = True
            self._scheduler.call_soon(self._check_some_owners)

    def _check_some_owners(self) -> None:
        for _ in range(min(CHECKED_AT_ONCE, len(self._unchecked))):
            agent_id = self._unchecked.pop()
            entry = self._replica.directory.get(agent_id)
            agent = self.agents.get(agent_id)
            if agent is not None:
                agent.hubs_changed()
            elif entry is not None and self.owns(entry.record):
                self._take_over(entry.record)
        self._checking = bool(self._unchecked)
        if self._checking:
            self._scheduler.call_soon(self._check_some_owners)

    def _log_of(self, agent_id: str) -> str:
        """The log that has an entry of a listed agent; "" while a new log has none."""
        return "" if agent_id in self._replica.feed.missing else self.log

    def _spawn(self, agent_id: str) -> AgentActor:
        actor = AgentActor(self, self._runtime, agent_id)
        self.agents[agent_id] = actor.ref
        return actor

    def _take_over(self, record: AgentRecord) -> None:
        grace = self._start_grace.seconds(record, self.now(), self.timing_of(record.id))
        actor = self._spawn(record.id)
        actor.take_over(record, self._log_of(record.id), grace)

    def _remove_orphan(self, agent_id: str) -> None:
        OrphanRemoval(
            agent_id, self._replica, self.now, adopted=lambda: agent_id in self.agents
        ).propose()

    def _grant_fresh_timeouts(self, absence: float) -> None:
        self._observer.stalled(absence)
        for agent in list(self.agents.values()):
            agent.grant_fresh_timeout()
