"""Watchers: they follow the log, lose their connection, and go on at another hub."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from homeport_protocol.answers import Error, Event, Message, Pong, Reading, Snapshot, Watching
from homeport_protocol.record import AgentRecord
from tests.history import recorded
from tests.simulation.asking import Surroundings
from tests.simulation.hubs import SimHub
from tests.simulation.network import Wire

PING_INTERVAL = 4.0
PATIENCE = 5.0
"""Seconds without a sign of the hub after which a watcher turns to another one."""

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


class Frames:
    """Decodes what hubs send; an event's bytes are the same for many watchers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Message] = {}

    def decode(self, payload: bytes) -> Message:
        message = self._known.get(payload)
        if message is None:
            message = self._known[payload] = _decode(payload)
        return message


class Watcher:
    """Follows all agents, or those that a filter names; all events, or those of some kinds."""

    def __init__(
        self,
        around: Surroundings,
        name: str,
        filter: dict[str, Any],
        frames: Frames,
        kinds: list[str],
        *,
        by_position: bool = True,
        readings: bool = False,
    ) -> None:
        self.around = around
        self.name = name
        self.filter = filter
        self.kinds = kinds
        self.loads: dict[str, float] | None = {} if readings else None
        self.watch: recorded.Watch | None = None
        self.by_position = by_position
        self.position: tuple[str, int] | None = None
        self._text: str | None = None
        """The position as hubs give it, and when this watcher had it."""
        self._text_at = 0.0
        self._frames = frames
        self._wire: Wire | None = None
        self._asked: tuple[str, int] | None = None
        self._asked_at: float | None = None
        self._chunks: list[AgentRecord] = []
        self._heard_at = 0.0
        self._failures = 0
        self._connect()

    def leave(self) -> None:
        """Drop the connection and turn to another hub."""
        self._again()

    # --- the peer of its wires -------------------------------------------------------------------

    def opened(self, wire: Wire) -> None:
        if wire is not self._wire:
            return
        self._heard_at = self.around.clock.now()
        request: dict[str, Any] = {"op": "watch", "id": 1, "filter": self.filter}
        if self.kinds:
            request["kinds"] = self.kinds
        if self.loads is not None:
            request["readings"] = True
        self._asked, self._asked_at = self.position, None
        if self._asked is not None and self.by_position:
            request["position"], self._asked_at = self._text, self._text_at
        elif self._asked is not None:
            request |= {"log": self._asked[0], "since": self._asked[1]}
        wire.say(encode(request))

    def pinged(self, wire: Wire) -> bool:
        return True

    def closed(self, wire: Wire, code: int) -> None:
        if wire is self._wire:
            self._again()

    def received(self, wire: Wire, payload: bytes) -> None:
        if wire is not self._wire:
            return
        now = self._heard_at = self.around.clock.now()
        message = self._frames.decode(payload)
        match message:
            case Watching():
                self._watching(wire.hub, message)
            case Snapshot():
                self._chunks += message.agents
                if message.last:
                    self._seen(
                        recorded.Snapshot(
                            at=now,
                            log=message.log,
                            revision=message.revision,
                            agents=self._chunks,
                        )
                    )
                    self._chunks = []
                    self._stands(message.log, message)
            case Reading():
                assert self.loads is not None, "a reading that was not asked for"
                self.loads.update(message.loads)
            case Event():
                assert self.position is not None, "an event before the snapshot"
                self._seen(
                    recorded.Event(
                        at=now,
                        revision=message.revision,
                        kind=message.kind,
                        agent=message.agent,
                        coalesced=message.coalesced is True,
                    )
                )
                self._stands(self.position[0], message)
            case Error():
                self._again()
            case Pong():
                pass

    def _stands(self, log: str, message: Snapshot | Event) -> None:
        assert isinstance(message.position, str)
        self.position, self._text = (log, message.revision), message.position
        self._text_at = self.around.clock.now()

    def _watching(self, hub: SimHub, message: Watching) -> None:
        log, since = self._asked if self._asked is not None else ("", None)
        self._failures = 0
        self.watch = recorded.Watch(
            watcher=self.name,
            hub=hub.hub_id,
            at=self.around.clock.now(),
            resumed=message.resumed,
            log=message.log,
            revision=message.revision,
            since=since,
            since_log=log,
            known_at=self._asked_at,
            filter=self.filter,
            kinds=self.kinds,
            loads=self.loads,
        )
        self.around.history.watches.append(self.watch)

    def _seen(self, what: recorded.Snapshot | recorded.Event) -> None:
        assert self.watch is not None
        self.watch.seen.append(what)
        if self.loads is None:
            return
        if isinstance(what, recorded.Snapshot):
            self.loads.clear()
        for agent in what.agents if isinstance(what, recorded.Snapshot) else [what.agent]:
            self.loads.pop(agent.id, None)
            if agent.load is not UNSET:
                self.loads[agent.id] = agent.load

    # --- connecting ------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._wire is not None:
            return
        wire = self._wire = Wire(self.around.network, self, self.around.hub(None))
        self._heard_at = self.around.clock.now()
        self._look_later(wire)

    def _look_later(self, wire: Wire) -> None:
        self.around.clock.call_later(PING_INTERVAL, lambda: self._look(wire))

    def _look(self, wire: Wire) -> None:
        """Check that the hub still answers."""
        if wire is not self._wire:
            return
        if self.around.clock.now() - self._heard_at > PATIENCE:
            self._again()
            return
        if wire.session is not None:
            wire.say(b'{"op":"ping","id":2}')
        self._look_later(wire)

    def _again(self) -> None:
        wire, self._wire = self._wire, None
        if self.watch is not None:
            self.watch.open = False
            self.watch = None
        self._chunks = []
        if wire is not None:
            wire.hang_up()
        most = min(2.0, 0.1 * 2**self._failures)
        self._failures += 1
        self.around.clock.call_later(self.around.random.random() * most, self._connect)
