"""Agents over HTTP: every request goes to any hub, and gets lost now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from actors.agent.outcomes import Acknowledged, Lease, Outcome
from actors.rules.permissions import ANYBODY
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentSpec
from tests.history.recorded import Ask, Living
from tests.simulation.asking import Surroundings, agent_id
from tests.simulation.hubs import SimHub

PATIENCE = 3.0
"""Seconds after which a caller takes its request for lost; it may arrive all the same."""


class HttpAgent:
    """A legacy agent: registers, sends heartbeats, registers anew when it is told 404."""

    def __init__(self, around: Surroundings, number: int, interval: float) -> None:
        self.around = around
        self.name = f"h{number:03d}"
        self.agent_id = agent_id(number)
        self.interval = interval
        self.started = around.clock.now()
        self.version = 0
        self.leaving = False
        self.over = False
        self.hangs = False
        self._register()

    # --- what is done to it ----------------------------------------------------------------------

    def leave(self) -> None:
        self.leaving = True

    def die(self, *, silently: bool) -> None:
        self.over = True
        self.around.history.dead[self.agent_id] = self.around.clock.now()

    def restart(self) -> None:
        if not self.over:
            self._register()

    def move(self) -> None:
        """It has no connection to move."""

    # --- its life --------------------------------------------------------------------------------

    def _register(self) -> None:
        self.version += 1
        spec = msgspec.convert(
            {"name": self.name, "type": "performance", "version": str(self.version)}, AgentSpec
        )

        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.register(spec, self.agent_id, reply, principal=ANYBODY)

        self._ask("register", call, {"version": str(self.version)})

    def _beat(self) -> None:
        random = self.around.random
        load = float(random.randrange(9)) if random.random() < 0.3 else UNSET

        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.heartbeat(
                self.agent_id, UNSET, UNSET, reply, load=load, principal=ANYBODY
            )

        self._ask("heartbeat", call, {} if load is UNSET else {"load": load})

    def _leave(self) -> None:
        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.unregister(self.agent_id, reply, principal=ANYBODY)

        self._ask("unregister", call, {})

    def _next(self) -> None:
        if self.over or self.around.quiet:
            return
        if self.leaving:
            self._leave()
        else:
            self._beat()

    def _ask(
        self,
        op: Any,
        call: Callable[[SimHub, Callable[[Outcome], None]], None],
        says: dict[str, Any],
    ) -> None:
        around = self.around
        clock, network = around.clock, around.network
        hub = around.hub(None)
        ask = around.asked(op, self.agent_id, hub.hub_id, says=says)
        network.trace(self.name, "->", hub.hub_id, op)
        done = False

        def end(outcome: Outcome | None) -> None:
            nonlocal done
            if not done and not self.over:
                done = True
                network.trace(hub.hub_id, "->", self.name, op, _word(outcome))
                self._answered(ask, outcome)

        def arrive() -> None:
            if hub.refuses:
                ask.answered, ask.code = clock.now(), "refused"
                clock.call_later(network.delay(hub.hub_id), lambda: end(None))
                return
            began = hub.clock

            def handle() -> None:
                call(hub, reply)

            def reply(outcome: Outcome) -> None:
                if not began.dead:
                    clock.call_later(network.delay(hub.hub_id), lambda: end(outcome))

            began.deliver(handle)

        clock.call_later(network.delay(hub.hub_id), arrive)
        clock.call_later(PATIENCE, lambda: end(None))

    def _answered(self, ask: Ask, outcome: Outcome | None) -> None:
        clock, random = self.around.clock, self.around.random
        again = 0.2 + random.random() * 0.8
        if outcome is None:
            clock.call_later(again, self._register if ask.op == "register" else self._next)
            return
        ask.answered = clock.now()
        match outcome:
            case Lease():
                ask.code, ask.given = "ok", outcome.epoch
                ask.log, ask.revision = outcome.log, outcome.revision
                told = self.around.timing_of(ask.hub)
                ask.told, self.interval = told.heartbeat_timeout, told.heartbeat_interval
            case Acknowledged():
                ask.code, ask.durable = "ok", outcome.durable
                if ask.op == "unregister":
                    self.over = True
                    self.around.history.dead[self.agent_id] = clock.now()
                    return
            case ProtocolError():
                ask.code, ask.unknown = outcome.code, outcome.outcome == "unknown"
                if ask.op == "register" or (ask.code == "not_found" and not self.leaving):
                    clock.call_later(again, self._register)
                else:
                    clock.call_later(again, self._next)
                return
        delay = 0.1 if self.leaving else self.interval * (0.7 + 0.3 * random.random())
        clock.call_later(delay, self._next)

    def living(self) -> Living | None:
        """How it stands at the end."""
        if self.over or self.leaving:
            return None
        return Living(agent_id=self.agent_id, way="http", since=self.started)


def _word(outcome: Outcome | None) -> str:
    match outcome:
        case None:
            return "lost"
        case ProtocolError():
            return outcome.code
        case Lease():
            return f"epoch {outcome.epoch} revision {outcome.revision}"
        case Acknowledged():
            return "durable" if outcome.durable else "heard"
