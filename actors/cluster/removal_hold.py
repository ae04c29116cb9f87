"""Whether removal is held because many agents were lost at once, and who is told so."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from actors.cluster.mass_loss import MassLossGuard
from actors.directory.directory import Directory
from actors.ports.clock import Scheduler
from actors.ports.observer import Observer
from actors.timing import Timing
from actors.watch.history import REMOVALS
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp


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
        self._guard = MassLossGuard(
            timing.loss_share, timing.loss_hold, timing.lease_ttl, lambda: len(directory)
        )
        self._scheduler = scheduler
        self._observer = observer
        self._directory = directory
        self._began = began
        self._reported = False

    @property
    def active(self) -> bool:
        """Whether no agent may be removed now."""
        return self._guard.holds(self._scheduler.now())

    @property
    def lost(self) -> int:
        """How many of the agents whose loss is held are still unreachable; 0 when none is held."""
        return self._guard.lost if self.active else 0

    @property
    def reason(self) -> str | None:
        """One phrase while removal is held; None otherwise."""
        if not self.active:
            return None
        return (
            f"{self._guard.lost} of {len(self._directory)} agents were lost at once: none is "
            "removed before the loss is acknowledged or they return"
        )

    def changed(self, kind: Kind, record: AgentRecord) -> None:
        """A change has been folded: the agent may be lost, reachable again, or removed."""
        if kind in REMOVALS or record.status != "unreachable":
            self._guard.found(record.id)
        elif kind == "status_changed" and record.health.reason != "self_reported":
            self._guard.turned_unreachable(record.id, self._scheduler.now(), record.revision)
            self._report()

    def dropped(self, agent_id: str) -> None:
        """The agent is no longer in the directory, and the log does not say so."""
        self._guard.found(agent_id)

    def acknowledged(self, revision: int) -> None:
        """All losses up to `revision` have been acknowledged; also a chance to end a hold."""
        self._guard.acknowledged(revision)
        self._report()

    def loaded(self, records: list[AgentRecord], acknowledged: int) -> None:
        """Count records from the store as if this hub had been there when agents were lost."""
        now, wall = self._scheduler.now(), self._scheduler.wall()
        lost = []
        for record in records:
            if record.status != "unreachable":
                self._guard.found(record.id)
            elif record.health.reason != "self_reported":
                lost.append((parse_timestamp(record.health.since), record))
        for since, record in sorted(lost, key=itemgetter(0)):
            at = now - max(0.0, wall - since)
            self._guard.turned_unreachable(record.id, at, record.revision)
        self.acknowledged(acknowledged)

    def _report(self) -> None:
        held = self.active
        if held and not self._reported:
            self._began()
        if held != self._reported:
            self._reported = held
            self._observer.removal_held(self.reason)
