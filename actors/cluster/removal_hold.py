"""Whose removal is held because many agents were lost at once, and who is told so."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from actors.cluster.mass_loss import PERIOD, HoldRules, MassLossGuard, Population
from actors.cluster.past_losses import past_change_of, past_changes
from actors.directory.directory import Directory
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.timing import Timing
from actors.watch.history import REMOVALS, LogEvent
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import format_timestamp, parse_timestamp

HOLD = 600.0
"""Seconds for which an agent is held at most where `loss_hold` is not given."""


def hold_rules(timing: Timing) -> HoldRules:
    """The rules that follow from the settings.

    One partition may be noticed over a whole `heartbeat_timeout`: it must fit into a period.
    """
    hold = HOLD if timing.loss_hold is None else timing.loss_hold
    small_hold = min(hold, 2 * timing.lease_ttl) if timing.loss_hold is None else hold
    return HoldRules(
        share=timing.loss_share,
        hold=hold,
        small_hold=small_hold,
        grace=timing.lease_ttl,
        period=max(PERIOD, timing.heartbeat_timeout),
    )


class RemovalHold:
    """The guard against mass loss, fed with the changes of one directory.

    Calls `began` when removal is held from now on. The observer is told that, and when it ends.
    """

    def __init__(
        self,
        *,
        timing: Timing,
        scheduler: Scheduler,
        observer: Observer,
        directory: Directory,
        began: Callable[[], None],
    ) -> None:
        self._guard = MassLossGuard(hold_rules(timing))
        self._scheduler = scheduler
        self._observer = observer
        self._directory = directory
        self._began = began
        self._reported = False

    @property
    def active(self) -> bool:
        """Whether the removal of some agent is held now."""
        return self._guard.active(self._scheduler.now())

    @property
    def lost(self) -> int:
        """How many unreachable agents are held."""
        return len(self._held())

    @property
    def until(self) -> float:
        """The Unix time at which the last of them may be removed at the latest; 0 without any."""
        return max(map(self._wall, self._held().values()), default=0.0)

    @property
    def reason(self) -> str | None:
        """One phrase while removal is held; None otherwise."""
        held = self._held()
        if not held:
            return None
        return (
            f"{len(held)} of {len(self._directory)} agents were lost at once: each is kept until "
            f"it is back, acknowledged, or {_seconds(self._wall(max(held.values())))}"
        )

    def held_until(self, agent_id: str) -> float:
        """When the agent may be removed, on the scheduler's scale; in the past when it may now."""
        return self._guard.held_until(agent_id)

    def reason_for(self, agent_id: str) -> str | None:
        """One phrase why this agent is not removed, and until when; None when it is not held."""
        until = self._held().get(agent_id)
        if until is None:
            return None
        return (
            f"it is one of {self.lost} agents that were lost at once, and is not removed before "
            f"{_seconds(self._wall(until))} unless the loss is acknowledged"
        )

    def changed(self, kind: Kind, record: AgentRecord, *, known: bool) -> None:
        """A change has been folded: the agent may be new, lost, reachable again, or removed.

        `known`: whether it was listed before.
        """
        self._take(kind, record, self._population(), self._scheduler.now(), known=known)
        if self._reported or record.status == "unreachable":
            self._report()

    def dropped(self, agent_id: str) -> None:
        """The agent is no longer in the directory, and the log does not say so."""
        self._guard.removed(agent_id)
        self._guard.changed(self._population(), self._scheduler.now())

    def acknowledged(self, revision: int) -> None:
        """All losses up to `revision` have been acknowledged; also a chance to end a hold."""
        self._guard.acknowledged(revision)
        self._report()

    def restored(
        self, records: list[AgentRecord], events: list[LogEvent], acknowledged: int
    ) -> None:
        """Count what a starting hub loaded as if it had been there when agents were lost.

        `events` are the newest part of the log.
        """
        self._guard.acknowledged(acknowledged)
        for change in past_changes(records, events, self._registered_lately(records)):
            at = self._at(change.wall)
            self._take(change.kind, change.record, change.population, at, known=change.known)
        lost = {record.id for record in records if record.status == "unreachable"}
        for agent_id in self._held().keys() - lost:
            self._guard.found(agent_id)  # it has changed since the last event
        self._guard.changed(self._population(), self._scheduler.now())
        self._report()

    def merged(self, records: list[AgentRecord], new: set[str], acknowledged: int) -> None:
        """Count records that turned out to be other than was known, though no event said so.

        `new` are the ids that were not listed.
        """
        self._guard.acknowledged(acknowledged)
        late = new & self._registered_lately(records)
        changes = [past_change_of(record, registered=record.id in late) for record in records]
        for wall, kind, record in sorted(changes, key=itemgetter(0)):
            known = record.id not in late
            self._take(kind, record, self._population(), self._at(wall), known=known)
        self._report()

    # --- within ----------------------------------------------------------------------------------

    def _take(
        self, kind: Kind, record: AgentRecord, population: Population, at: float, *, known: bool
    ) -> None:
        guard, agent_id, role = self._guard, record.id, (record.name, record.type)
        if kind == "status_changed" and _is_lost(record):
            guard.lost(
                agent_id,
                population,
                at,
                role=role,
                revision=record.revision,
                registered_at=parse_timestamp(record.registered_at),
            )
            return
        if kind in REMOVALS:
            guard.removed(agent_id)
        elif record.status != "unreachable":
            guard.found(agent_id)
            if kind == "registered" and not known:
                guard.registered(agent_id, population, at, role=role)
                return
        guard.changed(population, at)

    def _registered_lately(self, records: list[AgentRecord]) -> set[str]:
        """Those of them that may be successors of lost agents."""
        began = format_timestamp(self._scheduler.wall() - self._guard.period)
        return {record.id for record in records if record.registered_at > began}

    def _population(self) -> Population:
        listed, unreachable = len(self._directory), self._directory.count("unreachable")
        return Population(listed, listed - unreachable)

    def _held(self) -> dict[str, float]:
        return self._guard.held(self._scheduler.now())

    def _wall(self, at: float) -> float:
        return self._scheduler.wall() + at - self._scheduler.now()

    def _at(self, wall: float) -> float:
        return self._scheduler.now() - max(0.0, self._scheduler.wall() - wall)

    def _report(self) -> None:
        held = self.active
        if held and not self._reported:
            self._began()
        if held != self._reported:
            self._reported = held
            self._observer.removal_held(self.reason)


def _is_lost(record: AgentRecord) -> bool:
    return record.status == "unreachable" and record.health.reason != "self_reported"


def _seconds(wall: float) -> str:
    return f"{format_timestamp(wall)[:19]}Z"
