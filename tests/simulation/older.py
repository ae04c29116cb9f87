"""Older processes: each registered the identity of a websocket agent over HTTP, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from actors.agent.outcomes import Lease, Outcome
from actors.rules.permissions import ANYBODY
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentSpec
from tests.history.recorded import OLDER, OLDER_TYPE, Ask
from tests.simulation.asking import Surroundings
from tests.simulation.callers import HttpAgent
from tests.simulation.hubs import SimHub

GOODBYES = 0.1
"""Share of its requests with which it unregisters."""


class OlderProcess(HttpAgent):
    """Registers once, and then reports what marks it, or unregisters; with its token or none.

    It ends when its agent is not known any more, or when `ended` says that its agent has ended.
    """

    def __init__(
        self,
        around: Surroundings,
        number: int,
        interval: float,
        random: Random,
        ended: Callable[[], bool],
    ) -> None:
        self._own = random
        self._ended = ended
        self._token: str | None = None
        super().__init__(around, number, interval)

    def _register(self) -> None:
        spec = msgspec.convert(
            {"name": self.name, "type": OLDER_TYPE, "metadata": OLDER}, AgentSpec
        )

        def call(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.register(spec, self.agent_id, reply, principal=ANYBODY)

        self._ask("register", call, {"metadata": OLDER})

    def _beat(self) -> None:
        shown = self._token if self._own.random() < 0.5 else None

        def beat(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.heartbeat(
                self.agent_id, "degraded", OLDER, reply, token=shown, principal=ANYBODY
            )

        def leave(hub: SimHub, reply: Callable[[Outcome], None]) -> None:
            hub.supervisor.unregister(self.agent_id, reply, token=shown, principal=ANYBODY)

        if self._own.random() < GOODBYES:
            self._ask("unregister", leave, {"metadata": OLDER})
        else:
            self._ask("heartbeat", beat, {"metadata": OLDER})

    def _answered(self, ask: Ask, outcome: Outcome | None) -> None:
        if outcome is not None:
            ask.answered = self.around.clock.now()
            ask.code = outcome.code if isinstance(outcome, ProtocolError) else "ok"
        match outcome:
            case Lease():
                ask.given, ask.log, ask.revision = outcome.epoch, outcome.log, outcome.revision
                ask.told = self.around.timing_of(ask.hub).heartbeat_timeout
                self._token = outcome.session_token
            case _ if ask.op == "register" or (ask.op == "unregister" and ask.acknowledged):
                self.over = True
            case ProtocolError(code="not_found"):
                self.over = True
        if self._ended() or self.around.calm:
            self.over = True
        if not self.over:
            self.around.clock.call_later(self.interval * self._own.random(), self._next)
