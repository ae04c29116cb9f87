"""Which hubs of the cluster live, and which of them is in charge of an agent.

A hub is in charge of the agents whose session it holds or held. The leader is in charge of all
others: those that came over HTTP, and those of hubs that are dead. It is the living hub with the
lowest id. There is no election, and two hubs may both believe to be it for a moment: every verdict
on an agent is a compare-and-set, so that only one of them counts.
"""

from __future__ import annotations

from typing import Protocol

from actors.ports.clock import Scheduler, Timer
from actors.ports.store import (
    Away,
    Fenced,
    ForeignRenewal,
    ForeignRenewals,
    HubLease,
    HubReport,
    Roster,
    Store,
)
from actors.timing import HUB_LEASE
from homeport_protocol.record import AgentRecord

INTERVAL = 1.0
"""Seconds between two looks at the other hubs."""

RENEWALS_EVERY = 2
"""Looks after which the renewals of other hubs are read: `last_seen` lags by so many seconds."""


class Cluster(Protocol):
    """Who is told of the other hubs."""

    def report(self) -> HubReport | None:
        """What to tell the others of this hub; None while the store cannot be asked."""
        ...

    def roster_heard(self, roster: Roster) -> None:
        """The newest roster."""
        ...

    def roster_failed(self, answer: Fenced | Away) -> None:
        """The store could not be asked, or holds this hub's lease no more."""
        ...

    def hubs_changed(self) -> None:
        """A hub came or went: others are in charge now."""
        ...

    def renewed_elsewhere(self, renewals: list[ForeignRenewal]) -> None:
        """Other hubs, or this one, renewed these entries."""
        ...


class Membership:
    """The living hubs as this one knows them."""

    def __init__(self, scheduler: Scheduler, store: Store, hub_id: str, cluster: Cluster) -> None:
        self._scheduler = scheduler
        self._store = store
        self._hub_id = hub_id
        self._cluster = cluster
        self._alive = frozenset({hub_id})
        self._leader = hub_id
        self._believe_from = scheduler.now()
        self._renewals_from = ""
        self._looks = 0
        self._asking = self._reading = False
        self._timer: Timer | None = None
        self.hubs: list[HubLease] = []

    @property
    def alone(self) -> bool:
        """Whether there is no other hub."""
        return len(self._alive) == 1

    def owns(self, record: AgentRecord) -> bool:
        """Whether this hub judges the agent."""
        hub = record.hub if record.hub in self._alive else self._leader
        return hub == self._hub_id

    def start(self, roster: Roster) -> None:
        """Begin with what was loaded, and look again every INTERVAL until `stop`."""
        self.hubs = roster.hubs
        self._set(frozenset(hub.hub_id for hub in roster.hubs))
        self._tick()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def store_returned(self) -> None:
        """The store was away, perhaps for all: give the others one lease's time to be back."""
        self._believe_from = self._scheduler.now() + HUB_LEASE

    def spoke(self, hub_id: str) -> None:
        """That hub has just written: it lives, whatever the roster said a moment ago."""
        if hub_id not in self._alive:
            self._set(self._alive | {hub_id})
            self._cluster.hubs_changed()

    def _tick(self) -> None:
        self._timer = self._scheduler.call_at(self._scheduler.now() + INTERVAL, self._tick)
        report = self._cluster.report()
        if report is None:
            return
        if not self._asking:
            self._asking = True
            self._store.renew_lease(report, self._heard)
        self._looks += 1
        if self._looks % RENEWALS_EVERY == 0 and not self.alone and not self._reading:
            self._reading = True
            self._store.read_renewals(self._renewals_from, self._renewed)

    def _heard(self, answer: Roster | Fenced | Away) -> None:
        self._asking = False
        if not isinstance(answer, Roster):
            self._cluster.roster_failed(answer)
            return
        self.hubs = answer.hubs
        alive = frozenset(hub.hub_id for hub in answer.hubs)
        if self._scheduler.now() < self._believe_from:
            alive |= self._alive
        before = self._alive
        self._set(alive)
        self._cluster.roster_heard(answer)
        if self._alive != before:
            self._cluster.hubs_changed()

    def _renewed(self, answer: ForeignRenewals | Away) -> None:
        self._reading = False
        if isinstance(answer, ForeignRenewals):
            self._renewals_from = answer.position
            self._cluster.renewed_elsewhere(answer.renewals)

    def _set(self, alive: frozenset[str]) -> None:
        self._alive = alive | {self._hub_id}
        self._leader = min(self._alive)
