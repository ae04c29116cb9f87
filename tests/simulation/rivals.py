"""Rivals: programs that have one identity, and are started again whenever they end."""

from __future__ import annotations

from homeport_protocol.errors import CloseCode
from tests.history.recorded import Ask
from tests.simulation.agents import Connection, WebsocketAgent
from tests.simulation.asking import Surroundings
from tests.simulation.network import Wire

RESTART = 0.3
"""Seconds after which a supervisor starts a program again, at least."""


class Rival(WebsocketAgent):
    """One of them. It ends when it is fenced off or refused; a new process knows no token.

    An `exclusive` one takes the place of no living session.
    """

    def __init__(
        self, around: Surroundings, number: int, interval: float, *, exclusive: bool
    ) -> None:
        self._exclusive = exclusive
        super().__init__(around, number, interval)

    def closed(self, wire: Wire, code: int) -> None:
        if code == CloseCode.FENCED and self._of(wire) is self.connection:
            self.token = ""
        super().closed(wire, code)

    def _register(self) -> None:
        spec = {"name": self.name, "type": self._type, "version": str(self.version)}
        exclusive = {"exclusive": True} if self._exclusive else {}
        self._say("register", agent_id=self.agent_id, agent=spec, **exclusive)

    def _refused(self, connection: Connection, ask: Ask) -> None:
        if connection is self.connection and ask.code in ("conflict", "fenced"):
            self.token = ""
            self._reconnect(max(self.retry_after, RESTART))
        else:
            super()._refused(connection, ask)
