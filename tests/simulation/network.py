"""The network between clients and hubs: delays, resets, half-open connections, partitions."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from actors.rules.permissions import ANYBODY
from actors.session.session import Session
from homeport_protocol.errors import CloseCode
from tests.simulation.hubs import SimHub
from tests.support.clock import VirtualClock

ABNORMAL = 1006
"""What a client sees when a connection ends without a close frame."""


class Peer(Protocol):
    """The client's end of a wire."""

    name: str

    def opened(self, wire: Wire) -> None: ...

    def received(self, wire: Wire, payload: bytes) -> None: ...

    def pinged(self, wire: Wire) -> bool:
        """Whether a pong goes back."""
        ...

    def closed(self, wire: Wire, code: int) -> None: ...


class Network:
    """All delays and fates come from here, and so does the trace of what travelled."""

    def __init__(self, clock: VirtualClock, random: Random, trace: Callable[..., None]) -> None:
        self.clock = clock
        self.random = random
        self.trace = trace
        self.slowness = 1.0
        self.wires: list[Wire] = []
        self.stalled_until: dict[str, float] = {}

    def delay(self, hub_id: str) -> float:
        """Seconds that a message to or from a hub takes now."""
        random = self.random
        delay = 0.0002 + random.random() * 0.003 * self.slowness
        if random.random() < 0.02:
            delay += random.random() * 0.2 * self.slowness
        until = self.stalled_until.get(hub_id, 0.0)
        return delay + max(0.0, until - self.clock.now())

    def stall(self, hub_id: str, seconds: float) -> None:
        """What is on its way from now on arrives only afterwards (and TCP loses nothing)."""
        until = self.clock.now() + seconds
        self.stalled_until[hub_id] = max(until, self.stalled_until.get(hub_id, 0.0))

    def live_wires(self) -> list[Wire]:
        self.wires = [wire for wire in self.wires if wire.alive]
        return self.wires


class Wire:
    """One websocket connection; it is the `Link` of the hub's session.

    Each direction keeps its order. A half-open wire carries nothing more, and tells nobody.
    """

    def __init__(self, network: Network, peer: Peer, hub: SimHub) -> None:
        self.network = network
        self.peer = peer
        self.hub = hub
        self.address = ""
        self.scheduler = hub.clock
        self.session: Session | None = None
        self.delivered = 0
        self.half_open = False
        self.peer_gone = False  # the client has closed it, or has been told that it is closed
        self.hub_gone = False
        self.broken_at: float | None = None
        self._to_hub_at = self._to_peer_at = 0.0
        network.wires.append(self)
        hub.wires.append(self)
        self._carry_to_hub(self._accept)

    @property
    def alive(self) -> bool:
        return self.broken_at is None

    @property
    def unsent(self) -> int:
        return 0

    # --- the client's side -----------------------------------------------------------------------

    def say(self, payload: bytes) -> None:
        self.network.trace(self.peer.name, "->", self.hub.hub_id, payload)
        self._carry_to_hub(lambda: self._heard(payload))

    def hang_up(self) -> None:
        """The client closes; the hub hears of it, unless the wire is half-open."""
        if not self.peer_gone:
            self.peer_gone = True
            self._broken()
            self._carry_to_hub(self._hub_lost)

    def cut(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self.half_open = True
        self._broken()

    def reset(self) -> None:
        """The connection is gone, and both ends are told, each in its time."""
        self._broken()
        self._carry_to_hub(self._hub_lost)
        self._carry_to_peer(lambda: self._tell_closed(ABNORMAL))
        self.half_open = True

    # --- the hub's side (Link) -------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        self.delivered += len(payload)
        self._carry_to_peer(lambda: self._arrived(payload))

    def ping(self) -> None:
        def ping() -> None:
            if not self.peer_gone and self.peer.pinged(self):
                self._carry_to_hub(self._pong)

        self._carry_to_peer(ping)

    def close(self, code: CloseCode, reason: str, *, discard: bool = False) -> None:
        if not self.hub_gone:
            self.network.trace(self.hub.hub_id, "closes", self.peer.name, int(code), reason)
            number = int(code)
            self._carry_to_peer(lambda: self._tell_closed(number))
            self._broken()
            # The peer answers in time, or the transport is aborted.
            self.scheduler.call_at(self.scheduler.now() + 0.01, self._hub_lost)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def hub_died(self, *, silently: bool) -> None:
        """The hub's process is no more; its kernel tells the peer, unless that is gone too."""
        self.hub_gone = True
        self._broken()
        if silently:
            self.half_open = True
        else:
            self._carry_to_peer(lambda: self._tell_closed(ABNORMAL))

    # --- within ----------------------------------------------------------------------------------

    def _broken(self) -> None:
        if self.broken_at is None:
            self.broken_at = self.network.clock.now()

    def _carry_to_hub(self, arrive: Callable[[], None]) -> None:
        if self.half_open:
            return
        clock = self.network.clock
        at = max(self._to_hub_at, clock.now() + self.network.delay(self.hub.hub_id))
        self._to_hub_at = at

        def deliver() -> None:
            # What was on its way when the wire was cut is lost too, but for news of its end.
            if not self.half_open or arrive == self._hub_lost:
                self.scheduler.deliver(arrive)

        clock.call_at(at, deliver)

    def _carry_to_peer(self, arrive: Callable[[], None]) -> None:
        if self.half_open:
            return
        clock = self.network.clock
        at = max(self._to_peer_at, clock.now() + self.network.delay(self.hub.hub_id))
        self._to_peer_at = at
        clock.call_at(at, arrive)

    def _accept(self) -> None:
        if self.scheduler.dead or self.hub.refuses or self.peer_gone:
            self._carry_to_peer(lambda: self._tell_closed(ABNORMAL))
            self.hub_gone = True
            return
        self.session = Session(self.hub.supervisor, self, ANYBODY)

        def opened() -> None:
            if not self.peer_gone:
                self.peer.opened(self)

        self._carry_to_peer(opened)

    def _heard(self, payload: bytes) -> None:
        if self.session is not None and not self.hub_gone:
            self.session.received(payload)

    def _pong(self) -> None:
        if self.session is not None and not self.hub_gone:
            self.session.pong()

    def _hub_lost(self) -> None:
        if not self.hub_gone:
            self.hub_gone = True
            if self.session is not None:
                self.session.closed()

    def _arrived(self, payload: bytes) -> None:
        if not self.peer_gone and not self.half_open:
            self.network.trace(self.hub.hub_id, "->", self.peer.name, payload)
            self.peer.received(self, payload)

    def _tell_closed(self, code: int) -> None:
        if not self.peer_gone:
            self.peer_gone = True
            self._broken()
            self.network.trace(self.peer.name, "sees its connection closed", code)
            self.peer.closed(self, code)
