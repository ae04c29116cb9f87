"""The supervisor of one namespace: where queries, asks and sessions come in.

Queries are answered from memory, since they change nothing; `perform` does so in turns, in which
those of one caller hold up nobody else for long. Changes go through
the actor of the agent concerned (`actors.namespace.actor_registry`) and come back as entries of the
log; nothing else changes the directory (`actors.cluster.replica`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from msgspec import UNSET, UnsetType

from actors.agent.messages import HttpCaller, SessionHandle
from actors.agent.outcomes import Acknowledged, Reply, gone, no_such_agent, unavailable
from actors.agent.ref import AgentRef
from actors.cluster.replica import Replica
from actors.directory.directory import Page
from actors.directory.pick import Picker
from actors.limits import Limits
from actors.namespace.actor_registry import ActorRegistry
from actors.namespace.over_http import ask_over_http
from actors.namespace.registrations import Registration, Registrations
from actors.ports.authority import Authority
from actors.ports.clock import RandomSource, Scheduler
from actors.ports.conditions import Caution, Reason
from actors.ports.observer import Observer, Stats
from actors.ports.store import Away, HubLease, HubReport, Store, Stored
from actors.rules.permissions import NOBODY, Principal
from actors.rules.records import completed
from actors.rules.registration_rate import RegistrationRate
from actors.rules.stored_records import read_records
from actors.runtime.dispatch import Runtime
from actors.runtime.turns import Steps, Work
from actors.timing import Timing
from homeport_protocol.bounds import Metadata, Status, Strategy
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentChanges, AgentSpec
from homeport_protocol.timestamps import format_timestamp

T = TypeVar("T")

SESSIONS_AT_ONCE = 100
"""Sessions that are looked at in one step when principals were revoked."""


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
        limits: Limits,
        incarnation: str,
        authority: Authority,
        make: Callable[[Principal], bool] = lambda _principal: False,
        registration_rate: RegistrationRate | None = None,
    ) -> None:
        self.hub_id = hub_id
        self.timing = timing
        self.limits = limits
        self.now = scheduler.now
        self.observer = observer
        self.replica = Replica(
            hub_id=hub_id,
            turns=runtime.turns,
            timing=timing,
            scheduler=scheduler,
            store=store,
            observer=observer,
            limits=limits,
            incarnation=incarnation,
            report=self._report,
        )
        self.registry = ActorRegistry(
            self.replica,
            hub_id=hub_id,
            timing=timing,
            limits=limits,
            scheduler=scheduler,
            runtime=runtime,
            store=store,
            observer=observer,
            authority=authority,
        )
        self.registrations = Registrations(
            registry=self.registry,
            replica=self.replica,
            authority=authority,
            random=random,
            not_ready=self.not_ready_reasons,
            make=make,
            rate=RegistrationRate() if registration_rate is None else registration_rate,
            limited=observer.limited,
        )
        self.directory = self.replica.directory
        self.feed = self.replica.feed
        self._scheduler = scheduler
        self._runtime = runtime
        self.turns = runtime.turns
        self._store = store
        self._picker = Picker(self.directory, random)
        self._sessions: dict[SessionHandle, None] = {}
        self._heartbeats = 0

    # --- start and end -------------------------------------------------------------------------

    def start(self) -> None:
        """Open the store and load what it holds; `ready` once that is done."""
        self.registry.start()

    @property
    def ready(self) -> bool:
        """Whether everything stored has been loaded."""
        return self.replica.ready

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once everything stored has been loaded; at once if it has."""
        self.replica.when_ready(callback)

    def drain(self) -> None:
        """Take no new agents, and log that every connected one is draining."""
        self.registrations.draining = True
        self.registry.drain()

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be written, as far as the store can be reached."""
        return self.store_is_away or (
            self.replica.committer.outstanding == 0 and self._runtime.backlog == 0
        )

    @property
    def unused(self) -> bool:
        """Whether the namespace has no agent, session or change, at this hub or another."""
        busy = self.registry.agents or self._sessions or self.replica.committer.outstanding
        elsewhere = any(hub.sessions for hub in self.roster if hub.hub_id != self.hub_id)
        idle = self.ready and not (busy or elsewhere or self.replica.awaited)
        return idle and len(self.directory) == 0

    def close(self) -> None:
        """Judge no silence and write nothing any more."""
        self.registry.close()
        self.replica.close()

    # --- queries -------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """The name of the log that `revision` belongs to."""
        return self.replica.log

    @property
    def revision(self) -> int:
        """The newest change that the directory holds."""
        return self.replica.revision

    @property
    def secret(self) -> bytes:
        """Signs session tokens and positions; the cluster shares it."""
        return self.replica.secret

    @property
    def store_is_away(self) -> bool:
        """Whether changes cannot be written now."""
        return self.replica.store_is_away

    @property
    def roster(self) -> list[HubLease]:
        """The living hubs of the cluster with this one, ordered by id."""
        return self.replica.membership.hubs

    def timing_of(self, agent_id: str) -> Timing:
        """The times that the agent was told when it registered, and by which it is judged."""
        return self.replica.told_times.of(agent_id.lower())

    @property
    def differing_hubs(self) -> list[str]:
        """A sentence for each hub of the cluster that has other times than this one."""
        return self.replica.differing_hubs

    @property
    def alone(self) -> bool:
        """Whether this is the only hub of its cluster, as far as it knows."""
        return self.replica.membership.alone

    def perform(self, steps: Steps[T], done: Callable[[T | ProtocolError], None]) -> Work[T]:
        """Do a query's steps, at once or when its turn comes; `done` is told what it comes to."""
        return self.turns.start(steps, done)

    def find(
        self,
        filter: Filter,
        limit: int | None = None,
        cursor: str | None = None,
        max_bytes: int | None = None,
    ) -> Steps[Page]:
        """The agents that match, ordered by id; see `Directory.find`.

        Raises ProtocolError: `unavailable` before the directory is loaded, `bad_request` for a
        filter that cannot be understood.
        """
        self._check_ready()
        return self.directory.find(filter, limit, cursor, max_bytes)

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
        """The agent's record as JSON, with the `last_seen` that other hubs know by now.

        Answered as `get`; the store is asked about agents whose session is not at this hub.
        """
        agent_id = agent_id.lower()
        entry = self.directory.get(agent_id)
        held_here = entry is not None and entry.record.hub == self.hub_id
        if not self.ready or self.alone or held_here or self.store_is_away:
            reply(self._get(agent_id))
        else:
            self._store.read(agent_id, lambda stored: reply(self._newest(agent_id, stored)))

    def pick(self, filter: Filter, strategy: Strategy, key: str | None) -> Steps[bytes]:
        """One agent to give work to, as JSON. Raises ProtocolError as `Picker.pick`."""
        self._check_ready()
        excluded = self.registry.recently_lost
        entry = yield from self._picker.pick(filter, strategy, key, excluded)
        return entry.data

    def not_ready_reasons(self) -> list[Reason]:
        """Why this namespace cannot do all its work now; empty when it can."""
        reasons = []
        if self.store_is_away:
            name, why = self.replica.store_name, self.replica.why_away
            phrase = why if name in why else f"{name}: {why}"
            reasons.append(Reason("store_away", phrase))
        if not self.ready:
            reasons.append(Reason("not_loaded", "the directory has not been loaded yet"))
        if self.draining:
            reasons.append(Reason("stopping", "the hub is stopping"))
        return reasons

    def warnings(self) -> list[Caution]:
        """What an operator should look at in this namespace although it is ready."""
        cautions = []
        if self.loss is not None:
            cautions.append(Caution("mass_loss", self.loss))
        if self.rollback is not None:
            cautions.append(Caution("store_rolled_back", self.rollback))
        if self.foreign_writes is not None:
            cautions.append(Caution("foreign_writes", self.foreign_writes))
        if self.slowness is not None:
            cautions.append(Caution("store_slow", self.slowness))
        return cautions

    @property
    def slowness(self) -> str | None:
        """One phrase while the store is slow or far away, so that changes and heartbeats wait."""
        round_trip = self.replica.committer.round_trip
        if not round_trip.slow:
            return None
        name = self.replica.store_name
        return f"{name} is slow: it takes {round_trip.seconds:.2f} seconds to answer"

    @property
    def loss(self) -> str | None:
        """One phrase while removal is held because many agents were lost at once."""
        return self.replica.removal.reason

    @property
    def rollback(self) -> str | None:
        """One phrase when the store turned out to have come back older."""
        return self.replica.rollback.warning

    @property
    def foreign_writes(self) -> str | None:
        """One sentence while a program that is no hub writes to the store."""
        return self.registry.foreign_writes.warning

    @property
    def held_bytes(self) -> int:
        """Bytes of all records, and of the changes that are kept."""
        return self.directory.bytes + self.feed.kept_bytes

    def stats(self) -> Stats:
        """Figures for metrics."""
        return Stats(
            agents=self.directory.status_counts(),
            actors=len(self.registry.agents),
            deadlines=len(self.registry.deadlines),
            sessions=len(self._sessions),
            watches=self.feed.watches,
            revision=self.revision,
            pending_changes=self.replica.committer.outstanding + self.registry.pending,
            commits=self.replica.committer.commits,
            agent_bytes=self.directory.bytes,
            log_bytes=self.feed.kept_bytes,
            mailbox=self._runtime.backlog,
            waiting=self._runtime.turns.waiting,
            hubs=max(1, len(self.roster)),
            agents_lost_at_once=self.replica.removal.lost,
            removal_held_until=self.replica.removal.until,
            round_trip=self.replica.committer.round_trip.seconds,
            heartbeats=self._heartbeats,
            fenced=self.registry.fenced,
            takeovers_refused=self.registry.takeovers_refused,
            rollbacks=self.replica.rollback.found,
            events=dict(self.replica.events),
            foreign_writes=dict(self.registry.foreign_writes.counts),
        )

    # --- asks ----------------------------------------------------------------------------------

    def register(
        self,
        spec: AgentSpec,
        agent_id: str | None,
        reply: Reply,
        session: SessionHandle | None = None,
        *,
        principal: Principal,
        exclusive: bool = False,
        wanted: Callable[[], bool] = lambda: True,
        asked: Callable[[AgentRef], None] = lambda _agent: None,
    ) -> None:
        """Begin a lease; without `agent_id` under a new id. `session` is None over HTTP.

        The agent belongs to `principal` from then on. `exclusive`: only if no other session of the
        agent lives. Answered with a Lease or a ProtocolError, unless it is not `wanted` any more
        by the time that its turn comes. `asked` is called when the agent's actor has been asked.
        """
        self.registrations.begin(
            Registration(
                spec=spec,
                agent_id=(agent_id or self.registrations.new_id()).lower(),
                principal=principal,
                reply=reply,
                exclusive=exclusive,
                session=session,
                wanted=wanted,
                asked=asked,
            )
        )

    def made(self) -> None:
        """Another hub has made the namespace, which did not exist before."""
        self.registrations.made()

    def locate(
        self,
        agent_id: str,
        found: Callable[[AgentRef | ProtocolError | None], None],
        *,
        current: bool = False,
    ) -> None:
        """Call `found` with the reference of an agent that is to be asked something.

        With None when the agent does not exist. Another hub may have registered it a moment ago,
        so everything durable is folded before that is said. With ProtocolError `unavailable` when
        that cannot be done now.

        With `current`, everything durable is folded first even if the agent is known already.
        """
        agent_id = agent_id.lower()
        if not self.ready:
            found(unavailable(self.not_ready_reasons()))
            return
        if self.alone or (not current and self.registry.knows(agent_id)):
            found(self.registry.get(agent_id))
            return

        def caught_up(complete: bool) -> None:
            agent = self.registry.get(agent_id)
            if agent is None and not complete:
                found(unavailable(self.not_ready_reasons()))
            else:
                found(agent)

        self.replica.committer.catch_up(caught_up)

    def find_foreign(self, agent_id: str, found: Callable[[AgentRef | None], None]) -> None:
        """Call `found` with an agent that no hub knows, if another program has registered it."""
        agent_id = agent_id.lower()
        self.registry.foreign_writes.find(
            agent_id, lambda: found(self.registry.agents.get(agent_id))
        )

    def catch_up(self, caught_up: Callable[[bool], None]) -> None:
        """Call back once everything durable is folded; with False when the store is away."""
        self.replica.committer.catch_up(caught_up)

    def heartbeat(
        self,
        agent_id: str,
        status: Status | UnsetType,
        metadata: Metadata | UnsetType,
        reply: Reply,
        *,
        principal: Principal,
        load: float | UnsetType = UNSET,
        token: str | None = None,
    ) -> None:
        """A heartbeat over HTTP; answered with Acknowledged or a ProtocolError.

        `principal` is whom the caller acts for, and `token` the session token that it shows, None
        if it shows none.
        """
        at, changes = self.now(), AgentChanges(status=status, metadata=metadata, load=load)
        caller = HttpCaller(principal, token)

        def ask(agent: AgentRef, reply: Reply) -> None:
            self._heartbeats += 1
            agent.heartbeat(None, changes, reply, at, caller)

        ask_over_http(self, agent_id, ask, reply, unknown=gone)

    def unregister(
        self, agent_id: str, reply: Reply, *, principal: Principal, token: str | None = None
    ) -> None:
        """End a lease over HTTP; an unknown id has none, which is acknowledged as well.

        `principal` and `token` as for a heartbeat.
        """
        at, caller = self.now(), HttpCaller(principal, token)

        def ask(agent: AgentRef, reply: Reply) -> None:
            agent.unregister(None, reply, at, caller)

        def unknown() -> Acknowledged:
            return Acknowledged(self.revision, True, self.timestamp())

        ask_over_http(self, agent_id, ask, reply, unknown=unknown)

    def remove(self, agent_id: str, reply: Reply) -> None:
        """An operator ends a lease, whoever holds it; answered `not_found` for an unknown id."""
        at = self.now()

        def ask(agent: AgentRef, reply: Reply) -> None:
            agent.remove(reply, at)

        ask_over_http(self, agent_id, ask, reply, unknown=no_such_agent)

    def acknowledge_loss(self, reply: Reply) -> None:
        """Let agents that were lost at once be removed; answered once all hubs can hear of it."""
        revision = self.revision

        def acknowledged(answer: bool | Away) -> None:
            if isinstance(answer, Away):
                words = f"the hub is not ready: {answer.reason}"
                reply(ProtocolError("unavailable", words, outcome="unknown"))
                return
            self.replica.removal.acknowledged(revision)
            reply(Acknowledged(revision, True, self.timestamp()))

        self._store.acknowledge_loss(revision, acknowledged)

    # --- sessions and watches --------------------------------------------------------------------

    def join(self, session: SessionHandle) -> None:
        """Add a connection to this namespace."""
        self._sessions[session] = None

    def part(self, session: SessionHandle) -> None:
        """Remove a connection, which has ended."""
        self._sessions.pop(session, None)

    def sessions(self) -> list[SessionHandle]:
        """The connections of this namespace."""
        return list(self._sessions)

    def end_sessions_of(self, principal_ids: Collection[str], reason: str) -> None:
        """End with 4401 what acts for these principals, and what holds an agent of theirs.

        For principals that were revoked; those that have run out keep their agents.
        """
        steps = self._end_sessions_of(principal_ids, reason)
        self.turns.start(steps, lambda _ended: None, ahead=True)

    def _end_sessions_of(self, principal_ids: Collection[str], reason: str) -> Steps[None]:
        for number, session in enumerate(self.sessions(), 1):
            owner = NOBODY if session.agent_id is None else self.replica.owners.of(session.agent_id)
            if session.principal.id in principal_ids or owner in principal_ids:
                session.end(CloseCode.UNAUTHORIZED, reason)
            if number % SESSIONS_AT_ONCE == 0:
                yield

    def count_heartbeat(self) -> None:
        """Count a heartbeat that came over a websocket."""
        self._heartbeats += 1

    @property
    def draining(self) -> bool:
        """Whether the hub is stopping, and takes no more agents."""
        return self.registrations.draining

    # --- within ----------------------------------------------------------------------------------

    def timestamp(self) -> str:
        """The wall clock's now, as records hold it."""
        return format_timestamp(self._scheduler.wall())

    def _report(self) -> HubReport:
        return HubReport(len(self.registry.agents), len(self._sessions), self.revision)

    def _get(self, agent_id: str) -> bytes | ProtocolError:
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
        return self._get(agent_id)

    def _check_ready(self) -> None:
        if not self.ready:
            raise unavailable(self.not_ready_reasons())
