"""Agents on websockets: they register, heartbeat, update, move, fail and come back."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from homeport_protocol.answers import (
    Error,
    HeartbeatAck,
    Message,
    Registered,
    Unregistered,
    Updated,
)
from tests.history.recorded import Ask, Living, Session
from tests.simulation.asking import Surroundings, agent_id
from tests.simulation.hubs import SimHub
from tests.simulation.network import Wire
from tests.support.clock import Timer

PATIENCE = 4.0
"""Seconds without the answer to a request after which a connection is given up."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Message).decode


class Connection:
    """One connection of an agent: its wire, its session in the history, what is unanswered."""

    def __init__(self, agent: WebsocketAgent, hub: SimHub) -> None:
        around = agent.around
        sessions = around.history.sessions
        self.record = Session(
            number=len(sessions) + 1,
            agent_id=agent.agent_id,
            hub=hub.hub_id,
            opened=around.clock.now(),
        )
        sessions.append(self.record)
        self.hub = hub
        self.asks: dict[int, Ask] = {}
        self.said: list[dict[str, Any]] = []
        self.count = 0
        self.wire = Wire(around.network, agent, hub)


class WebsocketAgent:
    """A program that wants to be registered until its time is over."""

    def __init__(self, around: Surroundings, number: int, interval: float) -> None:
        self.around = around
        self.name = f"a{number:03d}"
        self.agent_id = agent_id(number)
        self.interval = interval
        self.started = around.clock.now()
        self.version = 0
        self.token = ""
        self.connection: Connection | None = None
        self.zombies: list[Connection] = []
        self.last_hub: SimHub | None = None
        self.leaving = False
        self.over = False
        self.hangs = False
        self.retry_after = 0.0
        """What the last refusal said."""
        self._failures = 0
        self._timers: list[Timer] = []
        self._connect()

    # --- what is done to it ----------------------------------------------------------------------

    def leave(self) -> None:
        """It unregisters, and ends when it is told so."""
        self.leaving = True
        if self.connection is not None and self.connection.record.joined is not None:
            self._say("unregister")

    def die(self, *, silently: bool) -> None:
        """Its process is killed, or (silently) its machine is."""
        self._end()
        if self.connection is not None:
            self._note_end(self.connection)
            if silently:
                self.connection.wire.cut()
            else:
                self.connection.wire.hang_up()

    def restart(self) -> None:
        """A new process under the same identity: it knows no token."""
        self.token = ""
        self.hangs = False
        self._reconnect(0.1)

    def move(self) -> None:
        """A second connection takes over, and the first one is left to go on as it likes."""
        if self.connection is not None and self.connection.record.joined is not None:
            self.zombies.append(self.connection)
            self.connection = None
            self._connect()
            self._later(self.around.random.random() * 2.0, self._replay)

    # --- the peer of its wires -------------------------------------------------------------------

    def opened(self, wire: Wire) -> None:
        connection = self._of(wire)
        if connection is None or connection is not self.connection:
            return
        if self.token:
            self._say("resume", agent_id=self.agent_id, session_token=self.token)
        else:
            self._register()

    def pinged(self, wire: Wire) -> bool:
        return not self.over

    def received(self, wire: Wire, payload: bytes) -> None:
        connection = self._of(wire)
        if connection is None or self.over:
            return
        answer = decode(payload)
        assert isinstance(answer.id, int), answer
        ask = connection.asks.pop(answer.id)
        ask.answered = self.around.clock.now()
        match answer:
            case Registered():
                ask.code, ask.given = "ok", answer.epoch
                ask.log, ask.revision = answer.log, answer.revision
                ask.told = answer.heartbeat_timeout
                self.interval = answer.heartbeat_interval
                self._joined(connection, answer)
            case HeartbeatAck():
                ask.code, ask.durable = "ok", answer.durable
            case Updated():
                ask.code, ask.log, ask.revision = "ok", answer.log, answer.revision
            case Unregistered():
                ask.code = "ok"
                self._end()
                if self.connection is not None:
                    self._note_end(self.connection)
                    self.connection.wire.hang_up()
            case Error():
                ask.code, ask.unknown = answer.code, answer.outcome == "unknown"
                self.retry_after = 0.0 if answer.retry_after is UNSET else answer.retry_after
                self._refused(connection, ask)

    def closed(self, wire: Wire, code: int) -> None:
        connection = self._of(wire)
        if connection is None:
            return
        connection.record.closed, connection.record.code = self.around.clock.now(), code
        self._note_end(connection)
        if connection is self.connection:
            self.connection = None
            if not self.over:
                self._reconnect()
        else:
            self.zombies.remove(connection)

    # --- connecting ------------------------------------------------------------------------------

    def _of(self, wire: Wire) -> Connection | None:
        here = [self.connection] if self.connection is not None else []
        return next((each for each in (*here, *self.zombies) if each.wire is wire), None)

    def _connect(self) -> None:
        if self.over or self.connection is not None:
            return
        hub = self.around.hub(self.last_hub)
        connection = self.connection = Connection(self, hub)

        def give_up() -> None:
            if self.connection is connection and connection.record.joined is None:
                self._reconnect()

        self._later(PATIENCE, give_up)

    def _reconnect(self, least: float = 0.0) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            self._note_end(connection)
            connection.wire.hang_up()
        # Full jitter: the fleet's returns are spread.
        most = min(3.0, 0.2 * 2**self._failures)
        self._failures += 1
        self._later(least + self.around.random.random() * most, self._connect)

    def _note_end(self, connection: Connection) -> None:
        if connection.record.ended is None:
            connection.record.ended = connection.wire.broken_at or self.around.clock.now()

    def _joined(self, connection: Connection, answer: Registered) -> None:
        connection.record.epoch = answer.epoch
        connection.record.joined = self.around.clock.now()
        self.token = answer.session_token
        self.last_hub = connection.hub
        self._failures = 0
        if connection is not self.connection:
            return
        if self.leaving:
            self._say("unregister")
        else:
            self._beat_later(connection)

    def _refused(self, connection: Connection, ask: Ask) -> None:
        if connection is not self.connection:
            return
        if ask.op in ("register", "resume"):
            if ask.code in ("not_found", "fenced", "unauthorized"):
                if self.leaving and ask.code == "not_found":
                    self._end()
                    connection.wire.hang_up()
                    return
                self.token = ""
                self._register()
            else:
                self._reconnect(0.2)
        elif ask.code in ("not_found", "fenced"):
            self._reconnect()
        elif ask.op == "unregister":
            self._later(0.5, lambda: self._say_if(connection, "unregister"))

    def _end(self) -> None:
        self.over = True
        self.around.history.dead[self.agent_id] = self.around.clock.now()
        for timer in self._timers:
            timer.cancel()
        for zombie in self.zombies:
            self._note_end(zombie)
            zombie.wire.hang_up()

    # --- saying ----------------------------------------------------------------------------------

    def _register(self) -> None:
        spec = {"name": self.name, "type": self._type, "version": str(self.version)}
        self._say("register", agent_id=self.agent_id, agent=spec)

    @property
    def _type(self) -> str:
        return "cost" if int(self.name[1:]) % 2 else "resource"

    def _say_if(self, connection: Connection, op: Any, **fields: Any) -> None:
        if self.connection is connection and not self.over:
            self._say(op, **fields)

    def _say(self, op: Any, **fields: Any) -> None:
        assert self.connection is not None
        self._say_on(self.connection, op, **fields)

    def _say_on(self, connection: Connection, op: Any, **fields: Any) -> None:
        connection.count += 1
        number = connection.count
        spec = fields.get("agent", fields)
        ask = connection.asks[number] = self.around.asked(
            op,
            self.agent_id,
            connection.hub.hub_id,
            session=connection.record.number,
            epoch=connection.record.epoch,
            says={key: spec[key] for key in ("version", "load", "status") if key in spec}
            | {key: fields[key] for key in ("exclusive",) if key in fields},
        )
        message = {"op": op, "id": number, **fields}
        connection.said.append(message)
        connection.wire.say(encode(message))

        def give_up() -> None:
            if connection is self.connection and ask.answered is None:
                self._reconnect()

        if connection is self.connection:
            self._later(PATIENCE, give_up)

    def _beat_later(self, connection: Connection) -> None:
        delay = self.interval * (0.7 + 0.3 * self.around.random.random())
        self._later(delay, lambda: self._beat(connection))

    def _beat(self, connection: Connection) -> None:
        if connection is not self.connection or self.over or self.around.quiet:
            return
        random = self.around.random
        if not self.hangs:
            if self.around.calm and self._type == "cost" and random.random() < 0.5:
                self._say("heartbeat", load=float(random.randrange(9)))
            elif self.around.calm or random.random() < 0.6:
                self._say("heartbeat")
            elif random.random() < 0.5:
                load = float(random.randrange(9))
                status = random.choice(["healthy", "healthy", "degraded"])
                self._say("heartbeat", load=load, status=status)
            else:
                self.version += 1
                self._say("update", version=str(self.version))
        if connection is self.connection:
            self._beat_later(connection)

    def _replay(self) -> None:
        """An old connection says again what it said before."""
        if self.over or self.around.calm:
            for zombie in [*self.zombies]:
                self.zombies.remove(zombie)
                self._note_end(zombie)
                zombie.wire.hang_up()
            return
        random = self.around.random
        for zombie in self.zombies:
            again = [each for each in zombie.said if each["op"] in ("heartbeat", "update")]
            message = random.choice(again) if again else {"op": "heartbeat"}
            fields = {key: value for key, value in message.items() if key not in ("op", "id")}
            op = "unregister" if random.random() < 0.1 else message["op"]
            self._say_on(zombie, op, **({} if op == "unregister" else fields))
        if self.zombies:
            self._later(random.random() * 2.0, self._replay)

    def _later(self, delay: float, callback: Any) -> None:
        if len(self._timers) > 50:
            del self._timers[:25]
        self._timers.append(self.around.clock.call_later(delay, callback))

    def living(self) -> Living | None:
        """How it stands at the end."""
        if self.over or self.leaving:
            return None
        if self.hangs and (self.connection is None or not self.connection.wire.alive):
            return None  # it does not notice
        return Living(agent_id=self.agent_id, way="websocket", since=self.started)


class DeployedAgent(WebsocketAgent):
    """One of a fleet whose programs are replaced: its successor has its name and another id."""

    def __init__(self, around: Surroundings, number: int, interval: float, name: str) -> None:
        super().__init__(around, number, interval)
        self.name = name


class CrashingAgent(WebsocketAgent):
    """One that comes, and crashes as soon as it is registered."""

    def _joined(self, connection: Connection, answer: Registered) -> None:
        super()._joined(connection, answer)
        self._later(0.2, lambda: self.die(silently=False))
