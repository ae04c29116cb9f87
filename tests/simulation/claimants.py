"""Claimants: programs of several principals that claim one identity, over HTTP and at any hub."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from actors.agent.outcomes import Acknowledged, Outcome
from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentSpec
from tests.history.checks.owners import CLAIMED_BY
from tests.history.recorded import Ask, Living
from tests.simulation.asking import Surroundings
from tests.simulation.callers import HttpAgent
from tests.simulation.hubs import SimHub

STAYS = 0.9
"""How often one goes on, each time that it says something, and does not unregister."""

THEFTS = 0.3
"""How often one that was refused says something for the agent all the same."""


class Claimant(HttpAgent):
    """It wants the identity for its own principal, and never gives up.

    All that it says names the principal, so that the log shows whom a hub has listened to.
    """

    def __init__(
        self, around: Surroundings, number: int, interval: float, owner: str, own: Random
    ) -> None:
        self.principal = Principal(id=f"token:{owner}", role="agent")
        self._own = own
        super().__init__(around, number, interval)

    @property
    def _says(self) -> dict[str, str]:
        return {CLAIMED_BY: self.principal.id}

    def _register(self) -> None:
        self.version += 1
        version = f"{self.principal.id} {self.version}"
        body = {"name": self.name, "type": "claimed", "version": version, "metadata": self._says}
        spec = msgspec.convert(body, AgentSpec)

        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.register(spec, self.agent_id, reply, principal=self.principal)

        self._ask("register", call, {"version": version})

    def _beat(self) -> None:
        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.heartbeat(
                self.agent_id, "degraded", self._says, reply, principal=self.principal
            )

        self._ask("heartbeat", call, {"metadata": self._says})

    def _leave(self) -> None:
        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.unregister(self.agent_id, reply, principal=self.principal)

        self._ask("unregister", call, {})

    def _next(self) -> None:
        if self.over or self.around.quiet:
            return
        if self._own.random() < STAYS or self.around.calm:
            self._beat()
        else:
            self._leave()

    def _answered(self, ask: Ask, outcome: Outcome | None) -> None:
        clock = self.around.clock
        if isinstance(outcome, ProtocolError) and outcome.code == "forbidden":
            ask.answered, ask.code = clock.now(), outcome.code
            again = self._next if self._own.random() < THEFTS else self._register
            clock.call_later(self.interval * self._own.random(), again)
        elif isinstance(outcome, Acknowledged) and ask.op == "unregister":
            ask.answered, ask.code = clock.now(), "ok"
            clock.call_later(self.interval * self._own.random(), self._register)
        else:
            super()._answered(ask, outcome)

    def living(self) -> Living | None:
        """Which of them has the identity at the end is nobody's business."""
        return None
