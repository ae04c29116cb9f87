"""Hubs of a simulation: the real supervisor, on a clock that can be stopped and killed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from actors.cluster.differing_times import shared_times
from actors.limits import LimitName, Limits
from actors.namespace.supervisor import Supervisor
from actors.ports.audit import Audited
from actors.runtime.dispatch import Runtime
from actors.runtime.turns import Turns
from actors.timing import Timing
from homeport_protocol.errors import CloseCode
from tests.history.recorded import Alarm
from tests.simulation.storage import SimPort, SimStore
from tests.support.authority import OpenAuthority
from tests.support.clock import ProcessClock, VirtualClock, WorkClock
from tests.support.world import Recorder

if TYPE_CHECKING:
    from tests.simulation.network import Wire


class Quiet(Recorder):
    """Observes without keeping: a simulation has its own record. Only alarms are kept."""

    def __init__(self, hub: SimHub, clock: VirtualClock) -> None:
        super().__init__()
        self._hub = hub
        self._clock = clock

    def rolled_back(self, found: str) -> None:
        alarm = Alarm(at=self._clock.now(), hub=self._hub.hub_id, words=found)
        self._hub.alarms.append(alarm)

    def takeover_refused(self, agent_id: str, times: int) -> None: ...

    def changed(self, kind: str, record: object, *, here: bool) -> None: ...

    def audited(self, act: Audited) -> None: ...

    def answered(self, op: str, outcome: str) -> None: ...

    def hubs_changed(self, hubs: list[str]) -> None: ...

    def limited(self, setting: LimitName) -> None: ...

    def hubs_differ(self, sentences: list[str]) -> None: ...

    def removal_held(self, why: str | None) -> None: ...


class SimHub:
    """One hub id; each start is a new incarnation with a new clock, brain and port."""

    clock: ProcessClock
    supervisor: Supervisor
    port: SimPort

    def __init__(  # noqa: PLR0917 - all that a hub stands on
        self,
        hub_id: str,
        clock: VirtualClock,
        store: SimStore,
        random: Random,
        timing: Timing,
        limits: Limits,
        skew: float,
        trace: Callable[..., None],
        work_cost: float = 0.0,
    ) -> None:
        self.hub_id = hub_id
        self._work_cost = work_cost
        self._works: list[WorkClock] = []
        self.wires: list[Wire] = []
        self.up = False
        self.draining = False
        self.stopped = False
        self.failures: list[str] = []
        self.alarms: list[Alarm] = []
        self._base = clock
        self._store = store
        self._random = random
        self.timing = timing
        self._limits = limits
        self._skew = skew
        self._trace = trace
        self._starts = 0
        self.start()

    @property
    def refuses(self) -> bool:
        """Whether it takes no connections."""
        return not self.up or self.draining

    @property
    def ready(self) -> bool:
        return self.up and not self.stopped and self.supervisor.ready

    def start(self) -> None:
        """A new process under this hub's id."""
        self._starts += 1
        random = Random(self._random.getrandbits(64))
        self.clock = ProcessClock(self._base, random.randrange(1, 100_000) + 0.125, self._skew)
        self.port = self._store.connect(self.hub_id, self.clock)
        self.port.times = shared_times(self.timing).decode()
        self.wires = []
        self.up, self.draining, self.stopped = True, False, False
        self.supervisor = Supervisor(
            hub_id=self.hub_id,
            timing=self.timing,
            scheduler=self.clock,
            runtime=self._runtime(),
            store=self.port,
            random=random,
            observer=Quiet(self, self._base),
            limits=self._limits,
            incarnation=str(self._starts),
            authority=OpenAuthority(),
        )
        self._trace(self.hub_id, "starts")
        self.supervisor.start()

    def _runtime(self) -> Runtime:
        runtime = Runtime(self.clock, self._failed)
        if self._work_cost:
            work = WorkClock(self.clock, self._work_cost)
            self._works.append(work)
            runtime.turns = Turns(work, self._failed)
        return runtime

    @property
    def held(self) -> float:
        """The longest time for which queries held its loop."""
        return max((work.held for work in self._works), default=0.0)

    def _failed(self, name: str, message: object, error: BaseException) -> None:
        self._trace(self.hub_id, "fails:", name, repr(message), repr(error))
        self.failures.append(f"{self.hub_id}: {name} raised {error!r} on {type(message).__name__}")

    def kill(self, *, silently: bool) -> None:
        """SIGKILL; `silently` when its machine is gone, so that no peer is told."""
        if not self.up:
            return
        self._trace(self.hub_id, "is killed")
        self.up = False
        self.clock.kill()
        for wire in self.wires:
            wire.hub_died(silently=silently)

    def stop(self) -> None:
        """SIGSTOP."""
        self._trace(self.hub_id, "is stopped")
        self.stopped = True
        self.clock.stop()

    def go_on(self) -> None:
        """SIGCONT."""
        self._trace(self.hub_id, "goes on")
        self.stopped = False
        self.clock.go_on(self._random)

    def drain(self, done: Callable[[], None]) -> None:
        """SIGTERM: hand the agents over, write what waits, and end; `done` when it has."""
        self._trace(self.hub_id, "drains")
        self.draining = True
        self.supervisor.drain()
        clock, tries = self.clock, 0

        def look() -> None:
            nonlocal tries
            tries += 1
            if tries == 2:
                for session in self.supervisor.sessions():
                    session.end(CloseCode.GOING_AWAY, "the hub is stopping")
            if tries < 4 or (not self.supervisor.settled and tries < 100):
                clock.call_at(clock.now() + 0.05, look)
                return
            self.supervisor.close()
            self.port.close()
            self.up = False
            self.clock.kill()
            self._trace(self.hub_id, "has ended")
            for wire in self.wires:
                wire.hub_died(silently=False)
            done()

        look()
