"""A cluster for tests of the brain: several hubs on one store, on one virtual clock.

Each hub has a process that can be killed, stopped and woken (`ProcessClock`), and a connection to
the store that can be cut or have its answers held back (`Line`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import msgspec

from actors.limits import Limits
from actors.ports.store import Away
from actors.runtime.turns import complete
from actors.timing import Timing
from homeport_protocol.codec import encode
from homeport_protocol.errors import CloseCode
from homeport_protocol.filters import Filter
from tests.support.clock import ProcessClock, VirtualClock
from tests.support.model_port import ModelPort
from tests.support.model_store import ModelStore
from tests.support.world import FakeLink, World

TICK = 0.001
"""Seconds; the latency of the store, and the step in which `until` advances."""

HEARD = 1.1
"""Seconds until a hub knows that another hub's lease lapsed."""

_REPLICATED = (
    "log_name",
    "revision",
    "entries",
    "active",
    "tombstones",
    "log",
    "acknowledged",
    "times",
    "owners",
)


class Line:
    """One hub's way to the store (`actors.ports.store.Store`): `cut` it, or `hold` answers."""

    def __init__(self, port: ModelPort, clock: ProcessClock) -> None:
        self._port = port
        self._port.scheduler = clock
        self._clock = clock
        self._held: dict[str, list[Callable[[], None]]] = {}
        self._failures: dict[str, int] = {}
        self.cut = False
        self.name = port.name

    def __getattr__(self, operation: str) -> Callable[..., None]:
        def ask(*args: Any, **options: Any) -> None:
            *what, reply = args
            if "sent" in options and (self.cut or self._failures.get(operation)):
                self._port.leave(options["sent"])

            def answered(answer: Any) -> None:
                if self.cut:
                    self._unanswered(reply)
                elif operation in self._held:
                    self._held[operation].append(lambda: reply(answer))
                else:
                    self._clock.call_soon(lambda: reply(answer))

            if self.cut:
                self._unanswered(reply)
            elif self._failures.get(operation):
                self._failures[operation] -= 1
                self._clock.call_soon(lambda: reply(Away("try again")))
            else:
                getattr(self._port, operation)(*what, answered, **options)

        return ask

    def _unanswered(self, reply: Callable[[Away], None]) -> None:
        self._clock.call_at(self._clock.now() + 1.0, lambda: reply(Away("no answer")))

    def hold(self, operation: str) -> None:
        """Carry requests out, and hold their answers back until `release`."""
        self._held[operation] = []

    def release(self, operation: str) -> None:
        for answer in self._held.pop(operation):
            self._clock.call_soon(answer)

    def held(self, operation: str) -> int:
        """How many answers are held back."""
        return len(self._held[operation])

    def release_first(self, operation: str) -> None:
        """Let the oldest answer come."""
        self._clock.call_soon(self._held[operation].pop(0))

    def fail(self, operation: str, times: int) -> None:
        """Refuse the next `times` requests of that kind."""
        self._failures[operation] = times

    def end_lease(self) -> None:
        """End the lease, as a hub does that stops gracefully."""
        self._port.close()


class _Side:
    """The store as `World` takes it, with the clock and the connection of one hub."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self.scheduler = ProcessClock(store.scheduler)

    def port(self, hub_id: str, times: str) -> Line:
        return Line(self._store.port(hub_id, times), self.scheduler)


class Hub(World):
    """One hub of a cluster."""

    port: Line
    scheduler: ProcessClock

    @property
    def revision(self) -> int:
        return self.supervisor.revision

    def knows(self, agent_id: str) -> bool:
        return agent_id in self.supervisor.directory

    def listed(self) -> list[bytes]:
        return complete(self.supervisor.find(Filter())).agents

    def look_up(self, agent_id: str) -> dict[str, Any]:
        """What `get` is answered with."""
        answers: list[Any] = []
        self.supervisor.look_up(agent_id, answers.append)
        self.settle()
        return msgspec.json.decode(answers[0])

    def status(self, agent_id: str) -> tuple[str, str]:
        record = self.record(agent_id)
        return record["status"], record["health"]["connection"]

    def resume(self, held: dict[str, Any], **fields: Any) -> tuple[FakeLink, dict[str, Any]]:
        """A new connection, and what its resumption is answered with."""
        link = self.connect()
        token = {"agent_id": held["agent_id"], "session_token": held["session_token"]}
        return link, link.ask(op="resume", **token, **fields)

    def later(self, callback: Callable[[], None]) -> None:
        """Call back once the hub's process runs: what a peer sends to a stopped process waits."""
        self.scheduler.call_soon(callback)


class Cluster:
    """Hubs by their names, all of them up and known to each other."""

    def __init__(
        self, *names: str, timing: Timing | None = None, limits: Limits | None = None
    ) -> None:
        self.scheduler = VirtualClock()
        self.store = ModelStore(self.scheduler, TICK)
        self.timing = timing or Timing()
        self.limits = limits
        self.hubs: dict[str, Hub] = {}
        self._started = 0
        for name in names:
            self.start(name)
        self.advance(1.5)  # until the first hub knows of the last one

    def __getitem__(self, name: str) -> Hub:
        return self.hubs[name]

    def start(self, name: str, timing: Timing | None = None) -> Hub:
        """Start a hub of that name, perhaps with other times, and wait until it is ready."""
        self._started += 1
        hub = Hub(
            timing or self.timing,
            self.limits,
            store=_Side(self.store),  # type: ignore[arg-type]
            seed=self._started,
            hub_id=name,
        )
        self.hubs[name] = hub
        assert self.until(lambda: hub.supervisor.ready, 20) is not None
        return hub

    def kill(self, name: str) -> None:
        """kill -9."""
        hub = self.hubs.pop(name)
        hub.scheduler.kill()
        for link in hub.links:
            link.cut = True
            link.close_code = link.close_code or 1006

    def drain(self, name: str) -> None:
        """SIGTERM: as the hub's process does it."""
        hub = self.hubs[name]
        hub.supervisor.drain()
        assert self.until(lambda: hub.supervisor.settled, 5) is not None
        for session in hub.supervisor.sessions():
            session.end(CloseCode.GOING_AWAY, "hub going away, retry in 1.0 s")
        self.settle()
        hub.supervisor.close()
        hub.port.end_lease()
        self.kill(name)

    def replica(self) -> dict[str, Any]:
        """The state of a replica of the store that is up to date now."""
        return {name: copy(getattr(self.store, name)) for name in _REPLICATED}

    def fail_over(self, replica: dict[str, Any]) -> None:
        """The replica takes over: later changes are lost, and every hub must open it again."""
        for name, value in replica.items():
            setattr(self.store, name, copy(value))
        for lease in self.store.leases.values():
            lease.generation = -1

    def trim_log(self, keep: int) -> None:
        """Keep only the newest entries."""
        del self.store.log[: len(self.store.log) - keep]

    def settle(self) -> None:
        self.scheduler.advance(0.05)

    def advance(self, seconds: float) -> None:
        self.scheduler.advance(seconds)

    def until(self, holds: Callable[[], bool], within: float, step: float = TICK) -> float | None:
        """Advance until `holds()`; return the seconds that took, or None if it never did."""
        began = self.scheduler.now()
        while not holds():
            if self.scheduler.now() > began + within:
                return None
            self.scheduler.advance(step)
        return self.scheduler.now() - began

    def agree(self) -> None:
        """All hubs list the same, byte for byte, and as the store has it (but for `last_seen`)."""
        self.store.expire()
        stored = {key: _undated(entry[0]) for key, entry in self.store.entries.items()}
        assert self.store.active == set(stored)
        for name, hub in self.hubs.items():
            listed = {msgspec.json.decode(each)["id"]: _undated(each) for each in hub.listed()}
            assert listed == stored, name
            assert (hub.supervisor.log, hub.revision) == (self.store.log_name, self.store.revision)


def told(link: FakeLink) -> list[tuple[int, str, str]]:
    """(revision, kind, name) of every event so far, taken away."""
    return [(each["revision"], each["kind"], each["agent"]["name"]) for each in link.take("event")]


def kinds(watcher: FakeLink) -> list[str]:
    """The kind of every event so far, taken away."""
    return [each[1] for each in told(watcher)]


def answered(link: FakeLink, request_id: Any) -> bool:
    return any(each.get("id") == request_id for each in link.sent)


def _undated(data: bytes) -> bytes:
    record = msgspec.json.decode(data)
    del record["last_seen"]
    return encode(record)
