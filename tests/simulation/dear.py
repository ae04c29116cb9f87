"""Callers that ask for much: searches that no index answers, and watches from the beginning."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.history.recorded import Ask
from tests.simulation.asking import Surroundings
from tests.simulation.network import Wire

PIPELINED = 12
"""Finds that one sends at once; a watch comes behind them."""

PAUSE = 0.5
"""Seconds after the last answer until it asks again."""

PATIENCE = 4.0
"""Seconds after which it finds out that its connection is dead."""

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class DearCaller:
    """Asks again and again, each time by filters that nobody has asked before."""

    def __init__(self, around: Surroundings, number: int) -> None:
        self.around = around
        self.name = f"dear-{number}"
        self._asked = 0
        self._waiting: list[int] = []
        self._ask: Ask | None = None
        self._wire: Wire | None = None
        self._connect()

    # --- the peer of its wires -------------------------------------------------------------------

    def opened(self, wire: Wire) -> None:
        if wire is self._wire:
            self._go_on(wire)

    def pinged(self, wire: Wire) -> bool:
        return True

    def closed(self, wire: Wire, code: int) -> None:
        if wire is self._wire:
            self._wire = None
            self._ended()
            self.around.clock.call_later(1.0 + self.around.random.random(), self._connect)

    def received(self, wire: Wire, payload: bytes) -> None:
        if wire is not self._wire:
            return
        answer = _decode(payload)
        if "id" not in answer:
            return  # of its watch
        assert self._waiting, "an answer that nobody waits for"
        expected = self._waiting.pop(0)
        assert answer["id"] == expected, f"{answer} is no answer to {expected}"
        if not self._waiting:
            self._ended("ok")
            self.around.clock.call_later(PAUSE, lambda: self._go_on(wire))

    # --- asking ----------------------------------------------------------------------------------

    def _connect(self) -> None:
        if not self.around.quiet:
            self._wire = Wire(self.around.network, self, self.around.hub(None))

    def _go_on(self, wire: Wire) -> None:
        if wire is not self._wire or self.around.quiet:
            return
        self._ask = self.around.asked("find", self.name, wire.hub.hub_id)
        for _ in range(PIPELINED):
            self._say(wire, {"op": "find", "filter": self._filter(), "limit": 3})
        self._say(wire, {"op": "watch", "filter": self._filter()})
        self._say(wire, {"op": "unwatch", "watch": 10**9})
        self.around.clock.call_later(PATIENCE, lambda: self._look(wire))

    def _look(self, wire: Wire) -> None:
        """Turn to another hub when the connection was cut without a word."""
        if wire is self._wire and not wire.alive:
            wire.hang_up()
            self.closed(wire, 1006)

    def _filter(self) -> dict[str, Any]:
        return {"any_capability": [f"{self.name}.{self._asked}"], "version": f"!={self._asked}"}

    def _say(self, wire: Wire, request: dict[str, Any]) -> None:
        self._asked += 1
        self._waiting.append(self._asked)
        wire.say(encode({**request, "id": self._asked}))

    def _ended(self, code: str = "closed") -> None:
        self._waiting.clear()
        if self._ask is not None:
            self._ask.answered, self._ask.code = self.around.clock.now(), code
            self._ask = None
