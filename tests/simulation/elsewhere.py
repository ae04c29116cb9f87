"""Agents of a legacy service that writes to the same store, and knows nothing of hubs."""

from __future__ import annotations

from random import Random

from msgspec import UNSET

from actors.agent.outcomes import Acknowledged, Outcome
from actors.rules.permissions import ANYBODY
from tests.history.recorded import Elsewhere
from tests.simulation.asking import Surroundings
from tests.simulation.storage import SimStore
from tests.support.legacy_writer import LegacyWriter, writer_of

AT_A_HUB = 0.3
"""Share of its heartbeats that a caller sends to a hub: it is moving there."""


class ElsewhereAgent:
    """Registers at the legacy service, and sends heartbeats there, or sometimes to a hub.

    Each one says a new value, until it is calm. What was said last is in `said`.
    """

    def __init__(
        self,
        around: Surroundings,
        store: SimStore,
        name: str,
        own: Random,
        *,
        interval: float,
        until: float,
    ) -> None:
        self._around = around
        self._store = store
        self._service: LegacyWriter = writer_of(store)
        self._name = name
        self._interval = interval
        self._until = until
        self._own = own
        self._leaves_at = own.uniform(5.0, 60.0) if own.random() < 0.4 else None
        self.said = Elsewhere(agent_id="", value=0, until=until)
        self._register()

    def _register(self) -> None:
        """Under a new id, as the service gives one to everybody."""
        if self._reachable:
            self.said = Elsewhere(agent_id="", value=self.said.value, until=self._until)
            metadata = {"value": self.said.value}
            self.said.agent_id = self._service.register(
                self._name, metadata=metadata, id=self._new_id()
            )
        self._later(self._next)

    def _next(self) -> None:
        around = self._around
        if around.clock.now() >= self._until:
            return  # what is said later, the hubs need not have noticed
        if not self.said.agent_id:
            self._register()
            return
        leaves_at = self._leaves_at
        if leaves_at is not None and around.clock.now() >= leaves_at and self._reachable:
            self._service.unregister(self.said.agent_id)
            self.said.left = around.clock.now()
            return
        value = self.said.value + (not around.calm)
        if not around.calm and leaves_at is None and self._own.random() < AT_A_HUB:
            self._say_to_a_hub(value)
        elif self._reachable:
            around.network.trace(self._name, "->", "legacy", "heartbeat", value)
            if not self._service.heartbeat(self.said.agent_id, "healthy", value=value):
                self._register()
                return
            self.said.value = value
        self._later(self._next)

    def _say_to_a_hub(self, value: int) -> None:
        hub, said = self._around.hub(None), self.said

        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, Acknowledged) and outcome.durable and said is self.said:
                said.value = max(said.value, value)

        def handle() -> None:
            hub.supervisor.heartbeat(
                said.agent_id, UNSET, {"value": value}, answered, principal=ANYBODY
            )

        if not hub.refuses:
            hub.clock.deliver(handle)

    @property
    def _reachable(self) -> bool:
        return self._store.up and not self._store.stopped

    def _new_id(self) -> str:
        digits = f"{self._own.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"

    def _later(self, callback: object) -> None:
        delay = self._interval * (0.5 + 0.5 * self._own.random())
        self._around.clock.call_later(delay, callback)  # type: ignore[arg-type]
