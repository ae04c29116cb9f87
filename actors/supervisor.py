"""The supervisor of one namespace: its directory, its agents' actors, its watches.

Queries are answered at once from memory; they are plain calls, since they change nothing. Whatever
changes something goes through the actor of the agent concerned, and comes back here as an entry of
the log, which is the only thing that changes the directory.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable

from msgspec import UnsetType, structs

from actors.agent import AgentActor
from actors.committer import Committer, Proposal
from actors.deadlines import Deadlines
from actors.directory import Directory, Page
from actors.feed import Feed
from actors.history import Entry
from actors.messages import Holder
from actors.observing import Observer, Stats
from actors.outcomes import Acknowledged, Reply
from actors.picking import Picker
from actors.ports import (
    Applied,
    Away,
    Change,
    LogEntry,
    Opened,
    RandomSource,
    Refusal,
    Scheduler,
    Store,
)
from actors.records import complete, head_of
from actors.recovery import Recovery
from actors.references import AgentRef
from actors.refusals import gone, unavailable
from actors.runtime import Runtime
from actors.timing import Timing
from actors.watchdog import Watchdog
from protocol.bounds import Kind, Metadata, Status, Strategy
from protocol.codec import decode_record
from protocol.errors import ProtocolError
from protocol.filters import Filter
from protocol.record import AgentChanges, AgentRecord, AgentSpec
from protocol.timestamps import format_timestamp, parse_timestamp

MAX_REMEMBERED_EPOCHS = 100_000
"""Removed identities whose epoch is remembered, so that it only rises when they come back."""

PUT_BACK_TIMEOUT = 5.0
"""Seconds after which watches are told of a new log although an agent is not back in it."""


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
        self._random = random
        self.observer = observer
        self._committer = Committer(scheduler, store, self, f"{hub_id}/{incarnation}")
        self._picker = Picker(self.directory, random)
        self._agents: dict[str, AgentRef] = {}
        self._epochs: OrderedDict[str, int] = OrderedDict()
        self._doubtful: set[str] = set()
        self._sessions: dict[Holder, None] = {}
        self._waiting: list[Callable[[], None]] = []
        self._recovery = Recovery(
            scheduler, store, observer, self._committer.renew_log, self._recovered
        )
        self._fresh = False
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
        return self.ready and not busy

    def close(self) -> None:
        """Stop judging and writing."""
        self._watchdog.stop()
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
        """Whether changes cannot be written now."""
        return not self._committer.open

    def find(self, filter: Filter, limit: int | None = None, cursor: str | None = None) -> Page:
        """The agents that match, ordered by id.

        Raises ProtocolError: `unavailable` before the directory is loaded, `bad_request` for a
        filter that cannot be understood.
        """
        self._check_ready()
        return self.directory.find(filter, limit, cursor)

    def get(self, agent_id: str) -> bytes:
        """The agent's record as JSON. Raises ProtocolError `not_found` or `unavailable`."""
        self._check_ready()
        entry = self.directory.get(agent_id.lower())
        if entry is None:
            raise ProtocolError("not_found", "Agent not found")
        return entry.data

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
        agent = self._agent(agent_id.lower())
        agent.register(session, spec, reply, self.now())
        return agent

    def resume(
        self, session: Holder, agent_id: str, token: str, changes: AgentChanges, reply: Reply
    ) -> AgentRef | None:
        """Take up a registration from a new connection; answered and returned as `register`."""
        if not self.ready or self._draining:
            reply(unavailable(self.not_ready_reasons()))
            return None
        agent = self._agents.get(agent_id.lower())
        if agent is None:
            reply(gone())
            return None
        agent.resume(session, token, changes, reply, self.now())
        return agent

    def heartbeat(
        self,
        agent_id: str,
        status: Status | UnsetType,
        metadata: Metadata | UnsetType,
        reply: Reply,
    ) -> None:
        """A heartbeat over HTTP; answered with Acknowledged or a ProtocolError."""
        agent = self._agents.get(agent_id.lower())
        if not self.ready:
            reply(unavailable(self.not_ready_reasons()))
        elif agent is None:
            reply(gone())
        else:
            self._counts["heartbeats"] += 1
            agent.beat(None, AgentChanges(status=status, metadata=metadata), reply, self.now())

    def unregister(self, agent_id: str, reply: Reply) -> None:
        """End a lease over HTTP; an unknown id has nothing left to end."""
        agent = self._agents.get(agent_id.lower())
        if not self.ready:
            reply(unavailable(self.not_ready_reasons()))
        elif agent is None:
            reply(Acknowledged(self.revision, True, self.timestamp()))
        else:
            agent.unregister(None, reply, self.now())

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

    # --- what the committer tells (Fold) ---------------------------------------------------------

    def opened(self, opened: Opened) -> None:
        """The store answers: load it, or write what is owed to it."""
        self.secret = opened.secret
        self._fresh = opened.fresh
        known = self.ready or self._recovery.awaits_log
        self.observer.store_returned(opened.log, fresh=opened.fresh and known)
        if not self.ready:
            self._recovery.resume()
            return
        self._watchdog.present_since = self.now()  # the store's absence is not charged either
        if opened.fresh:
            self.feed.begin(opened.log, opened.revision, [], set(self._agents))
            self._scheduler.call_at(self.now() + PUT_BACK_TIMEOUT, self.feed.finish_beginning)
        for agent in self._agents.values():
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
        if change.kind:
            self._fold(change.kind, record, data)
        else:
            self.directory.refresh(record, data)

    def foreign(self, entry: LogEntry) -> None:
        """Another hub's change is durable."""
        self._fold(entry.kind, decode_record(entry.record), entry.record)

    def _fold(self, kind: Kind, record: AgentRecord, data: bytes) -> None:
        self.feed.fold(kind, record, data)
        self._counts["changes"] += 1
        if kind == "expired":
            self._counts["expired"] += 1
        self.observer.changed(kind, record)

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

    def gone(self, agent_id: str, epoch: int) -> None:
        """An agent's actor has ended; its identity goes on from this epoch."""
        agent = self._agents.pop(agent_id, None)
        if agent is not None:
            agent.stop()
        self._doubtful.discard(agent_id)
        self.feed.expect_no_more(agent_id)
        if epoch:
            self._epochs[agent_id] = epoch
        if len(self._epochs) > MAX_REMEMBERED_EPOCHS:
            self._epochs.popitem(last=False)

    def failed(self, agent_id: str, record: AgentRecord | None, under_way: Proposal | None) -> None:
        """An actor was isolated: take its agent off the directory; it may register anew."""
        epoch = 0 if record is None else record.epoch
        if under_way is not None and under_way.change.operation in ("register", "resume"):
            record = under_way.record
            epoch = under_way.change.epoch + 1  # which the store is about to give it
        self.gone(agent_id, epoch)
        if record is not None:
            change = Change(
                operation="remove",
                kind="expired",
                agent_id=agent_id,
                epoch=epoch,
                head=head_of(record),
                hub=record.hub,
                ttl=0.0,
            )
            self._committer.propose(Proposal(change, record, _Nobody(), self.now()))

    def was_absent(self) -> bool:
        """Look whether the hub was stalled just now; if so, every agent is being absolved."""
        return self._watchdog.look()

    @property
    def present_since(self) -> float:
        """When the hub's last absence ended."""
        return self._watchdog.present_since

    # --- within ----------------------------------------------------------------------------------

    def _agent(self, agent_id: str) -> AgentRef:
        agent = self._agents.get(agent_id)
        return self._spawn(agent_id)[1] if agent is None else agent

    def _spawn(self, agent_id: str) -> tuple[AgentActor, AgentRef]:
        actor = AgentActor(self, agent_id)
        reference = AgentRef(self._runtime.spawn(actor, f"agent {agent_id}"))
        actor.begin(reference, self._epochs.pop(agent_id, 0))
        self._agents[agent_id] = reference
        return actor, reference

    def _recovered(self, records: list[AgentRecord], entries: list[Entry]) -> None:
        log = self._committer.log
        unlogged = {each.id for each in records if self._fresh or each.revision == 0}
        self.feed.begin(log, self._committer.revision, [] if self._fresh else entries, unlogged)
        self._scheduler.call_at(self.now() + PUT_BACK_TIMEOUT, self.feed.finish_beginning)
        for record in records:
            data = complete(head_of(record), record.epoch, record.hub, record.revision)
            self.directory.put(record, data)
        self.ready = True
        wall = self._scheduler.wall()
        for record in records:
            actor, _ = self._spawn(record.id)
            since = parse_timestamp(record.health.since)
            logged_in = "" if record.id in unlogged else log
            actor.recover(record, logged_in, since + self.timing.lease_ttl - wall)
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def _absolve(self, absence: float) -> None:
        self.observer.stalled(absence)
        for agent in self._agents.values():
            agent.absolve()

    def _check_ready(self) -> None:
        if not self.ready:
            raise unavailable(self.not_ready_reasons())


class _Nobody:
    """Proposes for an agent that has no actor any more, and needs no answer."""

    def settled(self, proposal: Proposal, result: Applied | Refusal | Away) -> None:
        """The change ended."""

    def sweep(self) -> None:
        """The change waits."""
