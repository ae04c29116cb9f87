"""Which hubs of the cluster live, and which of them owns an agent.

A hub owns the agents whose session it holds or held. The leader owns all others: those that came
over HTTP, and those of dead hubs. It is the living hub with the lowest id. There is no election,
and two hubs may both believe to lead for a moment: every verdict on an agent is a compare-and-set,
so only one of them takes effect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
"""Seconds between two renewals of this hub's lease, each of which tells who else lives.

The renewals of other hubs are read as often: `last_seen` and `load` of their agents lag by so much.
"""


class Membership:
    """The living hubs as this one knows them.

    Every INTERVAL it renews this hub's lease with what `report` says; a `report` of None means
    that the store cannot be asked now. It calls back:

    - `heard` with each roster that the store answers,
    - `failed` when the store could not be asked, or does not hold this hub's lease any more,
    - `changed` when a hub came or went, so that agents have other owners,
    - `renewed` with entries that were renewed lately, by other hubs or by this one,
    - `answered_in` with the seconds that the store took to renew the lease.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        hub_id: str,
        *,
        report: Callable[[], HubReport | None],
        heard: Callable[[Roster], None],
        failed: Callable[[Fenced | Away], None],
        changed: Callable[[], None],
        renewed: Callable[[list[ForeignRenewal]], None],
        answered_in: Callable[[float], None],
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._hub_id = hub_id
        self._report = report
        self._heard = heard
        self._failed = failed
        self._changed = changed
        self._renewed = renewed
        self._answered_in = answered_in
        self._alive = frozenset({hub_id})
        self._leader = hub_id
        self._absences_count_from = scheduler.now()
        self._renewals_from = ""
        self._renewing = self._reading = False
        self._timer: Timer | None = None
        self.hubs: list[HubLease] = []

    @property
    def alone(self) -> bool:
        """Whether there is no other hub."""
        return len(self._alive) == 1

    @property
    def leads(self) -> bool:
        """Whether this hub owns the agents that are no living hub's."""
        return self._leader == self._hub_id

    def owns(self, record: AgentRecord) -> bool:
        """Whether this hub owns the agent, and so judges its silence."""
        hub = record.hub if record.hub in self._alive else self._leader
        return hub == self._hub_id

    def start(self, roster: Roster) -> None:
        """Take the loaded roster, and ask for a new one every INTERVAL until `stop`."""
        self.hubs = roster.hubs
        self._set_alive(frozenset(hub.hub_id for hub in roster.hubs))
        self._tick()

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ask(self) -> None:
        """Ask for the roster now, and every INTERVAL from then on."""
        self.stop()
        self._tick()

    def begin_anew(self) -> None:
        """The store has become another one: who lives there is not known yet."""
        self._set_alive(frozenset())

    def store_returned(self) -> None:
        """The store was away, perhaps for all hubs: give the others one lease's time to be back."""
        self._absences_count_from = self._scheduler.now() + HUB_LEASE

    def loaded(self, roster: Roster) -> None:
        """Everything was loaded again, with this roster: whoever is in it owns its agents."""
        self._set_alive(self._alive | {hub.hub_id for hub in roster.hubs})

    def wrote(self, hub_id: str) -> None:
        """That hub has just written: it lives, whatever the roster said a moment ago."""
        if hub_id not in self._alive:
            self._set_alive(self._alive | {hub_id})
            self._changed()

    def _tick(self) -> None:
        self._timer = self._scheduler.call_at(self._scheduler.now() + INTERVAL, self._tick)
        report = self._report()
        if report is None:
            return
        if not self._renewing:
            self._renewing = True
            asked_at = self._scheduler.now()
            self._store.renew_lease(report, partial(self._lease_renewed, asked_at))
        if not self.alone and not self._reading:
            self._reading = True
            self._store.read_renewals(self._renewals_from, self._renewals_read)

    def _lease_renewed(self, asked_at: float, answer: Roster | Fenced | Away) -> None:
        self._renewing = False
        if not isinstance(answer, Roster):
            self._failed(answer)
            return
        self._answered_in(self._scheduler.now() - asked_at)
        self.hubs = answer.hubs
        alive = frozenset(hub.hub_id for hub in answer.hubs)
        if self._scheduler.now() < self._absences_count_from:
            alive |= self._alive
        before = self._alive
        self._set_alive(alive)
        self._heard(answer)
        if self._alive != before:
            self._changed()

    def _renewals_read(self, answer: ForeignRenewals | Away) -> None:
        self._reading = False
        if isinstance(answer, ForeignRenewals):
            self._renewals_from = answer.position
            self._renewed(answer.renewals)

    def _set_alive(self, alive: frozenset[str]) -> None:
        self._alive = alive | {self._hub_id}
        self._leader = min(self._alive)
