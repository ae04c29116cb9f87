"""Carrying out a plan of faults, and ending them all."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import assert_never

from tests.history.recorded import Fault, History
from tests.simulation.hubs import SimHub
from tests.simulation.network import Network
from tests.simulation.scenario import Planned
from tests.simulation.storage import SimStore
from tests.support.clock import VirtualClock


class Faults:
    """Does to hubs, store and network what is planned; `end_all` makes everything well again."""

    def __init__(  # noqa: PLR0917 - everything that can fail
        self,
        clock: VirtualClock,
        random: Random,
        network: Network,
        hubs: list[SimHub],
        store: SimStore,
        history: History,
        trace: Callable[..., None],
    ) -> None:
        self._clock = clock
        self._random = random
        self._network = network
        self._hubs = hubs
        self._store = store
        self._history = history
        self._trace = trace
        self._ended = False
        self._went_back = 0

    def plan(self, planned: list[Planned]) -> None:
        """Have each fault begin in its time."""
        for each in planned:
            self._clock.call_at(each.at, lambda each=each: self._begin(each))  # type: ignore[misc]

    def _begin(self, planned: Planned) -> None:
        hub, lasts = self._hubs[planned.hub], planned.lasts
        self._trace("fault:", planned.kind, hub.hub_id, lasts)
        kind = planned.kind
        match kind:
            case "kill" | "vanish":
                self._note(kind, hub.hub_id, lasts)
                hub.kill(silently=kind == "vanish")
                self._later(lasts, lambda: self._revive(hub))
            case "stop":
                if hub.up and not hub.stopped:
                    self._note(kind, hub.hub_id, lasts)
                    hub.stop()
                    clock = hub.clock
                    self._later(lasts, lambda: self._continue(hub, clock))
            case "drain":
                if hub.up and not hub.draining and not hub.stopped:
                    self._note(kind, hub.hub_id, lasts + 6.0)
                    hub.drain(lambda: self._drained(hub, lasts))
            case "isolate":
                self._note(kind, hub.hub_id, lasts)
                hub.port.cut_until = self._clock.now() + lasts
            case "stall":
                self._note(kind, hub.hub_id, lasts)
                self._network.stall(hub.hub_id, lasts)
            case "trouble":
                self._note(kind, hub.hub_id, lasts)
                port = hub.port
                port.trouble = planned.share
                self._later(lasts, lambda: setattr(port, "trouble", 0.0))
            case "store stops":
                self._note(kind, "store", lasts)
                self._store.stop()
                self._later(lasts, self._store.go_on)
            case "store crashes" | "store forgets":
                self._note(kind, "store", lasts)
                self._store.crash()
                if kind == "store forgets":
                    self._store.forget()
                self._later(lasts, self._store.start)
            case "store rolls back":
                lag = self._random.choice([0.01, 0.1, 0.5, 2.0])
                self._note(kind, "store", lag + lasts)
                held = self._store.checkpoint()
                went_back = self._went_back
                self._later(lag, lambda: self._fail_over(held, lasts, went_back))
            case "store is far":
                self._note(kind, "store", lasts)
                self._store.distance = self._random.choice([0.03, 0.15, 0.3, 0.5])
                self._later(lasts, lambda: setattr(self._store, "distance", 0.0))
            case "store goes back":
                lag = self._random.choice([0.1, 0.5, 2.0, 6.0])
                self._note(kind, "store", lag + lasts)
                held = self._store.checkpoint()
                self._later(lag, lambda: self._go_back(held, lasts))
            case "connections drop":
                self._note(kind, "network", 0.0)
                for wire in self._network.live_wires():
                    if self._random.random() < planned.share:
                        self._drop(wire)
            case "slow network":
                self._note(kind, "network", lasts)
                self._network.slowness = 30.0
                self._later(lasts, lambda: setattr(self._network, "slowness", 1.0))
            case _:
                assert_never(kind)

    def _drop(self, wire: object) -> None:
        how = self._random.random()
        if how < 0.5:
            wire.reset()  # type: ignore[attr-defined]
        else:
            wire.cut()  # type: ignore[attr-defined]

    def _fail_over(self, held: dict[str, object], lasts: float, went_back: int) -> None:
        if went_back != self._went_back:
            return  # or it would bring back what has been lost
        self._trace("the store fails over, and loses what was done lately")
        self._store.crash()
        self._store.roll_back(held)
        self._later(lasts, self._store.start)

    def _go_back(self, held: dict[str, object], lasts: float) -> None:
        """Nobody is left who knows what the store loses."""
        self._trace("all hubs die, and the store comes back older")
        for hub in self._hubs:
            self._note("kill", hub.hub_id, lasts)
            hub.kill(silently=False)
        self._store.crash()
        self._store.roll_back(held, unseen=True)
        self._went_back += 1
        self._store.start()
        self._later(lasts, lambda: self._revive_all())

    def _revive_all(self) -> None:
        for hub in self._hubs:
            self._revive(hub)

    def _drained(self, hub: SimHub, lasts: float) -> None:
        self._later(0.0 if self._ended else lasts, lambda: self._revive(hub))

    def _revive(self, hub: SimHub) -> None:
        if not hub.up:
            hub.start()

    def _continue(self, hub: SimHub, clock: object) -> None:
        if hub.stopped and hub.clock is clock:
            hub.go_on()

    def end_all(self) -> None:
        """Faults are over: everything runs, and can reach everything."""
        self._trace("all faults end")
        self._ended = True
        now = self._clock.now()
        self._network.slowness = 1.0
        self._network.stalled_until.clear()
        self._store.distance = 0.0
        self._store.start()
        self._store.go_on()
        for hub in self._hubs:
            if hub.stopped:
                hub.go_on()
            if not hub.up:
                hub.start()
            hub.port.cut_until = 0.0
            hub.port.trouble = 0.0
        for fault in self._history.faults:
            fault.until = min(fault.until, now)

    def _note(self, kind: str, subject: str, lasts: float) -> None:
        now = self._clock.now()
        self._history.faults.append(Fault(at=now, until=now + lasts, kind=kind, subject=subject))

    def _later(self, delay: float, callback: Callable[[], None]) -> None:
        self._clock.call_later(delay, callback)
