"""A world for the brain: virtual time, a model of the store, and fake links.

Time passes only when a test says so; everything is exact and repeatable.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import UNSET

from actors.ports import (
    Applied,
    Away,
    Change,
    Committed,
    Fenced,
    Loaded,
    LogEntry,
    Opened,
    Refusal,
)
from actors.records import complete
from actors.runtime import Runtime
from actors.session import Session
from actors.supervisor import Supervisor
from actors.timing import Timing
from protocol.errors import CloseCode
from protocol.record import AgentRecord, AgentSpec

START_WALL = 1_700_000_000.0


class VirtualTimer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualScheduler:
    """`now` moves only in `advance`; callbacks run in order of their time."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sequence = itertools.count()
        self._heap: list[tuple[float, int, Callable[[], None], VirtualTimer]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return START_WALL + self._now - 1000.0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.call_at(self._now, callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> VirtualTimer:
        timer = VirtualTimer()
        heapq.heappush(self._heap, (max(when, self._now), next(self._sequence), callback, timer))
        return timer

    def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while self._heap and self._heap[0][0] <= until:
            when, _, callback, timer = heapq.heappop(self._heap)
            self._now = max(self._now, when)
            if not timer.cancelled:
                callback()
        self._now = until

    def sleep_through(self, seconds: float) -> None:
        """The process is stopped: time passes and nothing runs until afterwards."""
        self._now += seconds
        self.advance(0)


class ModelStore:
    """What Redis and the scripts do, in a few lines of Python. Answers after `latency`."""

    def __init__(self, scheduler: VirtualScheduler, latency: float = 0.001) -> None:
        self.scheduler = scheduler
        self.latency = latency
        self.reachable = True
        self.generation = 0  # of the only writer that is heard; none is given twice
        self.generations = itertools.count(1)
        self.log_name = ""
        self.revision = 0
        self.entries: dict[str, tuple[bytes, int, float]] = {}
        self.active: set[str] = set()
        self.log: list[LogEntry] = []
        self.batches: list[list[Change]] = []
        self.swallow_answers = 0
        self.hold_next_commit: float | None = None
        self.fail_loads = 0
        self.names = itertools.count(1)

    # Faults.

    # (swallow_answers: so many next requests are carried out and their answers lost;
    # hold_next_commit: the next batch arrives only after so many seconds, nobody waits for it;
    # fail_loads: so many next loads are answered Away.)

    def lose_everything(self) -> None:
        self.log_name, self.revision, self.generation = "", 0, 0
        self.entries.clear()
        self.active.clear()
        self.log.clear()

    def record(self, agent_id: str) -> AgentRecord | None:
        self.expire()
        entry = self.entries.get(agent_id)
        return None if entry is None else msgspec.json.decode(entry[0], type=AgentRecord)

    def expire(self) -> None:
        now = self.scheduler.now()
        for agent_id in [key for key, entry in self.entries.items() if entry[2] <= now]:
            del self.entries[agent_id]

    # The port.

    def _answer(self, reply: Callable[[Any], None], make: Callable[[], Any]) -> None:
        if not self.reachable:
            at = self.scheduler.now() + 1.0
            self.scheduler.call_at(at, lambda: reply(Away("no answer")))
            return
        answer = make()
        if self.swallow_answers > 0:
            self.swallow_answers -= 1
            at = self.scheduler.now() + 1.0
            self.scheduler.call_at(at, lambda: reply(Away("no answer in time")))
            return
        self.scheduler.call_at(self.scheduler.now() + self.latency, lambda: reply(answer))

    def open(
        self, log: str, revision: int, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        def make() -> Opened:
            self.generation = next(self.generations)
            if new_log or not self.log_name or self.revision < revision:
                self.log_name = f"log-{next(self.names)}"
                self.revision = max(self.revision, revision)
                self.log.clear()
                return Opened(self.log_name, self.revision, True, b"secret")
            # Also when another call began it: new to the hub that asks.
            fresh = log not in ("", self.log_name)
            return Opened(self.log_name, self.revision, fresh, b"secret")

        self._answer(reply, make)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        if self.fail_loads > 0:
            self.fail_loads -= 1
            self.scheduler.call_at(self.scheduler.now() + 0.1, lambda: reply(Away("loading")))
            return

        def make() -> Loaded:
            self.expire()
            ghosts = sorted(self.active - set(self.entries))
            self.active -= set(ghosts)
            records = [self.entries[agent_id][0] for agent_id in sorted(self.active)]
            return Loaded(records, list(self.log), ghosts)

        self._answer(reply, make)

    def commit(
        self, changes: list[Change], reply: Callable[[Committed | Fenced | Away], None]
    ) -> None:
        def make() -> Committed | Fenced:
            if not self.generation:
                return Fenced()
            self.expire()
            self.batches.append(changes)
            before = self.revision
            return Committed(self.log_name, before, [self._apply(each) for each in changes])

        if self.hold_next_commit is not None:
            held, self.hold_next_commit = self.hold_next_commit, None
            generation, now = self.generation, self.scheduler.now()

            def arrive() -> None:
                if self.reachable and self.generation == generation:
                    make()

            self.scheduler.call_at(now + held, arrive)
            self.scheduler.call_at(now + 1.0, lambda: reply(Away("no answer in time")))
            return
        self._answer(reply, make)

    def read_log(
        self, after: int, upto: int, reply: Callable[[list[LogEntry] | Away], None]
    ) -> None:
        self._answer(reply, lambda: [e for e in self.log if after < e.revision <= upto])

    def _apply(self, change: Change) -> Applied | Refusal:
        stored = self.entries.get(change.agent_id)
        epoch = change.epoch
        match change.operation:
            case "register":
                epoch = max(epoch, stored[1] if stored else 0) + 1
            case "resume":
                if stored is None:
                    return "missing"
                epoch = max(epoch, stored[1]) + 1
            case "write" | "renew":
                if stored is None:
                    return "missing"
                if stored[1] > epoch:
                    return "fenced"
                if stored[1] not in (0, epoch):
                    return "missing"  # older than the writer's own session
            case "remove" | "restore":
                if stored is not None and stored[1] > epoch:
                    return "fenced"
        revision = change.revision
        if change.kind:
            self.revision += 1
            revision = self.revision
        data = complete(change.head, epoch, change.hub, revision)
        if change.operation == "remove":
            self.entries.pop(change.agent_id, None)
            self.active.discard(change.agent_id)
        else:
            expires = self.scheduler.now() + change.ttl
            self.entries[change.agent_id] = (data, epoch, expires)
            self.active.add(change.agent_id)
        if change.kind:
            self.log.append(LogEntry(revision, change.kind, data, change.key))
        return Applied(revision, epoch)


PAUSE_AT = 64 * 1024
"""Unsent bytes at which a link's transport is paused, and the session told that it is blocked."""


class FakeLink:
    """A connection whose peer reads as fast as the test lets it."""

    def __init__(self, world: World, namespace: str = "default") -> None:
        self.world = world
        self.sent: list[dict[str, Any]] = []
        self.unsent = 0
        self.delivered = 0
        self.reads = True
        self.paused = False
        self.most_unsent = 0
        self.pings = 0
        self.answers_pings = True
        self.close_code: int | None = None
        self.close_reason = ""
        self.discarded = False
        self.reading = True
        self.asked = 0
        self.cut = False
        world.links.append(self)
        self.session = Session(world.supervisor, self)

    # Link

    def send(self, payload: bytes) -> None:
        if self.cut:
            return
        assert self.close_code is None, "a closed link was sent to"
        self.sent.append(msgspec.json.decode(payload))
        if self.reads:
            self.delivered += len(payload)
        else:
            self.unsent += len(payload)
            self.most_unsent = max(self.most_unsent, self.unsent)
            if self.unsent > PAUSE_AT and not self.paused:
                self.paused = True
                self.world.scheduler.call_soon(self._transport_paused)

    def _transport_paused(self) -> None:
        if self.paused and self.close_code is None:
            self.session.blocked()

    def ping(self) -> None:
        self.pings += 1
        if self.answers_pings:
            self.world.scheduler.call_soon(self.session.pong)

    def close(self, code: CloseCode, reason: str, *, discard: bool = False) -> None:
        if self.cut:
            return
        self.close_code = int(code)
        self.close_reason = reason
        self.discarded = discard
        self.world.scheduler.call_soon(self.session.closed)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    # The peer's side

    def stop_reading(self) -> None:
        self.reads = False

    def read_on(self) -> None:
        self.reads = True
        self.paused = False
        # What `drained` sends is read at once, as long as there is something.
        self.delivered += self.unsent
        self.unsent = 0
        self.session.drained()

    def read_some(self, size: int) -> None:
        """Take in so many bytes, and go on not reading."""
        size = min(size, self.unsent)
        self.delivered += size
        self.unsent -= size
        if self.paused and self.unsent <= PAUSE_AT // 4:
            self.paused = False
            self.session.drained()

    def say(self, **message: Any) -> None:
        self.session.received(msgspec.json.encode(message))

    def say_raw(self, data: bytes) -> None:
        self.session.received(data)

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a request and let the time pass that its answer takes."""
        self.asked += 1
        request_id = f"q{self.asked}"
        self.say(id=request_id, **message)
        self.world.settle()
        return next(each for each in self.sent if each.get("id") == request_id)

    def vanish(self) -> None:
        self.close_code = 1006
        self.session.closed()
        self.world.settle()

    def take(self, op: str) -> list[dict[str, Any]]:
        """All messages of that op, taken away."""
        taken = [each for each in self.sent if each["op"] == op]
        self.sent = [each for each in self.sent if each["op"] != op]
        return taken

    def events(self) -> list[tuple[str, str, str]]:
        """(kind, name, status) of every event so far, taken away."""
        return [
            (each["kind"], each["agent"]["name"], each["agent"]["status"])
            for each in self.take("event")
        ]


class Recorder:
    """The observer: what would be logged."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.outages: list[str] = []
        self.returns: list[tuple[str, bool]] = []
        self.unreadable_records: list[bytes] = []
        self.stalls: list[float] = []
        self.answers: Counter[tuple[str, str]] = Counter()

    def changed(self, kind: str, record: AgentRecord) -> None:
        self.changes.append((kind, record.name))

    def store_away(self, reason: str) -> None:
        self.outages.append(reason)

    def store_returned(self, log: str, *, fresh: bool) -> None:
        self.returns.append((log, fresh))

    def unreadable(self, data: bytes) -> None:
        self.unreadable_records.append(data)

    def answered(self, op: str, outcome: str) -> None:
        self.answers[op, outcome] += 1

    def stalled(self, seconds: float) -> None:
        self.stalls.append(seconds)


class World:
    """One hub's brain, its store, and the agents and watchers a test connects."""

    def __init__(
        self,
        timing: Timing | None = None,
        log_length: int = 1000,
        store: ModelStore | None = None,
        seed: int = 0,
    ) -> None:
        self.scheduler = store.scheduler if store is not None else VirtualScheduler()
        self.store = store if store is not None else ModelStore(self.scheduler)
        self.seed = seed
        self.links: list[FakeLink] = []
        self.failures: list[tuple[str, object, BaseException]] = []
        self.expects_failures = False
        self.runtime = Runtime(self.scheduler, self._report)
        self.observer = Recorder()
        self.timing = timing or Timing()
        self.supervisor = Supervisor(
            hub_id="hub-1",
            timing=self.timing,
            scheduler=self.scheduler,
            runtime=self.runtime,
            store=self.store,
            random=random.Random(seed),
            observer=self.observer,
            log_length=log_length,
            incarnation=str(seed),
        )
        self.supervisor.start()
        self.settle()

    def _report(self, name: str, message: object, error: BaseException) -> None:
        self.failures.append((name, message, error))
        if not self.expects_failures:
            raise error

    def settle(self) -> None:
        """Let what is under way with the store come to its end."""
        self.scheduler.advance(0.05)

    def advance(self, seconds: float) -> None:
        self.scheduler.advance(seconds)

    def connect(self) -> FakeLink:
        return FakeLink(self)

    def agent(self, name: str = "a1", **fields: Any) -> tuple[FakeLink, dict[str, Any]]:
        """A connected, registered agent; returns its link and the `registered` answer."""
        link = self.connect()
        register: dict[str, Any] = {"agent": {"name": name, "type": "cost", **fields}}
        if "agent_id" in fields:
            register["agent_id"] = register["agent"].pop("agent_id")
        answer = link.ask(op="register", **register)
        assert answer["op"] == "registered", answer
        return link, answer

    def watcher(self, **filter: Any) -> FakeLink:
        """A connection that watches; its snapshot has been taken away."""
        link = self.connect()
        link.ask(op="watch", filter=filter)
        link.take("watching")
        link.take("snapshot")
        return link

    def record(self, agent_id: str) -> dict[str, Any]:
        return msgspec.json.decode(self.supervisor.get(agent_id))

    # Callers over HTTP.

    def http_register(self, name: str = "h1", agent_id: str | None = None, **fields: Any) -> Any:
        """What a registration over HTTP is answered with: a Lease or a ProtocolError."""
        spec = msgspec.convert({"name": name, "type": "cost", **fields}, AgentSpec)
        outcomes: list[Any] = []
        self.supervisor.register(spec, agent_id, outcomes.append)
        return self._outcome(outcomes)

    def http_heartbeat(self, agent_id: str, **says: Any) -> Any:
        outcomes: list[Any] = []
        status, metadata = says.get("status", UNSET), says.get("metadata", UNSET)
        self.supervisor.heartbeat(agent_id, status, metadata, outcomes.append)
        return self._outcome(outcomes)

    def http_unregister(self, agent_id: str) -> Any:
        outcomes: list[Any] = []
        self.supervisor.unregister(agent_id, outcomes.append)
        return self._outcome(outcomes)

    def _outcome(self, outcomes: list[Any]) -> Any:
        """The one answer; waits for it as long as an answer may take."""
        self.settle()
        if not outcomes:
            self.advance(2.2)
        (outcome,) = outcomes
        return outcome

    def kill(self) -> None:
        """The hub is killed: its links are cut, and nothing that it still says is heard."""
        for link in self.links:
            link.cut = True
            link.close_code = link.close_code or 1006
        self.supervisor.close()

    def restart(self) -> World:
        """The hub is killed and another one starts on the same store."""
        self.kill()
        return World(self.timing, store=self.store, seed=self.seed + 1)


@contextmanager
def failures_expected(world: World) -> Iterator[list[tuple[str, object, BaseException]]]:
    world.expects_failures = True
    yield world.failures
    world.expects_failures = False
