"""A world for the brain: virtual time, a model of the store, and fake links.

Time passes only when a test says so (`tests.support.clock`); everything is exact and repeatable.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import UNSET

from actors.cluster.differing_times import shared_times
from actors.limits import LimitName, Limits
from actors.namespace.supervisor import Supervisor
from actors.ports.audit import Audited
from actors.ports.authority import Authority
from actors.rules.permissions import ANYBODY, Principal
from actors.rules.registration_rate import RegistrationRate
from actors.runtime.dispatch import Runtime
from actors.session.session import Session
from actors.timing import Timing
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentRecord, AgentSpec
from tests.support.authority import OpenAuthority
from tests.support.clock import VirtualClock
from tests.support.model_store import ModelStore
from tests.support.records import agent_id

PAUSE_AT = 64 * 1024
"""Unsent bytes above which a link's transport is paused and its session is blocked."""


class FakeLink:
    """A connection whose peer reads as fast as the test lets it."""

    def __init__(
        self, world: World, namespace: str = "default", principal: Principal = ANYBODY
    ) -> None:
        self.world = world
        self.sent: list[dict[str, Any]] = []
        self.address = "192.0.2.7"
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
        self.session = Session(world.supervisor, self, principal)

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
        # Whatever `drained` sends is read at once.
        self.delivered += self.unsent
        self.unsent = 0
        self.session.drained()

    def read_some(self, size: int) -> None:
        """Read this many bytes, and then stop reading again."""
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
        """Send a request, advance until it is answered, and return the answer."""
        self.asked += 1
        request_id = f"q{self.asked}"
        self.say(id=request_id, **message)
        self.world.settle()
        return next(each for each in self.sent if each.get("id") == request_id)

    def watch(self, **fields: Any) -> dict[str, Any]:
        """Begin a watch; its `watching` answer. What follows stays in `sent`."""
        answer = self.ask(op="watch", **fields)
        assert answer["op"] == "watching", answer
        return answer

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

    def event_revisions(self) -> list[int]:
        return [each["revision"] for each in self.sent if each["op"] == "event"]

    def answered_ids(self) -> list[Any]:
        """The request each answer was for, in the order they came."""
        return [each["id"] for each in self.sent if "id" in each]


class Recorder:
    """The observer: what would be logged."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.made_here: list[tuple[str, str]] = []
        self.acts: list[Audited] = []
        self.outages: list[str] = []
        self.returns: list[tuple[str, bool]] = []
        self.unreadable_records: list[bytes] = []
        self.stalls: list[float] = []
        self.rollbacks: list[str] = []
        self.fights: list[tuple[str, int]] = []
        self.hubs: list[list[str]] = []
        self.holds: list[str | None] = []
        self.differing: list[list[str]] = []
        self.new_logs: list[str] = []
        self.foreign: list[str] = []
        self.slow: list[float | None] = []
        self.answers: Counter[tuple[str, str]] = Counter()
        self.limits: Counter[str] = Counter()

    def changed(self, kind: str, record: AgentRecord, *, here: bool) -> None:
        self.changes.append((kind, record.name))
        if here:
            self.made_here.append((kind, record.name))

    def audited(self, act: Audited) -> None:
        self.acts.append(act)

    def store_away(self, reason: str) -> None:
        self.outages.append(reason)

    def store_returned(self, log: str, *, fresh: bool, why: str) -> None:
        self.returns.append((log, fresh))
        self.new_logs += [why] if fresh else []

    def rolled_back(self, found: str) -> None:
        self.rollbacks.append(found)

    def takeover_refused(self, agent_id: str, times: int) -> None:
        self.fights.append((agent_id, times))

    def foreign_writes(self, warning: str) -> None:
        self.foreign.append(warning)

    def store_slow(self, seconds: float | None) -> None:
        self.slow.append(seconds)

    def unreadable(self, data: bytes) -> None:
        self.unreadable_records.append(data)

    def answered(self, op: str, outcome: str) -> None:
        self.answers[op, outcome] += 1

    def stalled(self, seconds: float) -> None:
        self.stalls.append(seconds)

    def hubs_changed(self, hubs: list[str]) -> None:
        self.hubs.append(hubs)

    def limited(self, setting: LimitName) -> None:
        self.limits[setting] += 1

    def hubs_differ(self, sentences: list[str]) -> None:
        self.differing.append(sentences)

    def removal_held(self, why: str | None) -> None:
        self.holds.append(why)


class World:
    """One hub's brain, its store, and the agents and watchers a test connects."""

    def __init__(
        self,
        timing: Timing | None = None,
        limits: Limits | None = None,
        store: ModelStore | None = None,
        seed: int = 0,
        hub_id: str = "hub-1",
        *,
        authority: Authority | None = None,
        registration_rate: RegistrationRate | None = None,
    ) -> None:
        self.scheduler = store.scheduler if store is not None else VirtualClock()
        self.store = store if store is not None else ModelStore(self.scheduler)
        self.seed = seed
        self.links: list[FakeLink] = []
        self.failures: list[tuple[str, object, BaseException]] = []
        self.expects_failures = False
        self.runtime = Runtime(self.scheduler, self._report)
        self.observer = Recorder()
        self.authority = authority or OpenAuthority()
        self.timing = timing or Timing()
        self.port = self.store.port(hub_id, shared_times(self.timing).decode())
        self.supervisor = Supervisor(
            hub_id=hub_id,
            timing=self.timing,
            scheduler=self.scheduler,
            runtime=self.runtime,
            store=self.port,
            random=random.Random(seed),
            observer=self.observer,
            limits=limits or Limits(log_length=1000),
            incarnation=str(seed),
            registration_rate=registration_rate,
            authority=self.authority,
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

    def connect(self, principal: Principal = ANYBODY) -> FakeLink:
        return FakeLink(self, principal=principal)

    def agent(
        self, name: str = "a1", *, principal: Principal = ANYBODY, **fields: Any
    ) -> tuple[FakeLink, dict[str, Any]]:
        """A connected, registered agent; returns its link and the `registered` answer."""
        link = self.connect(principal)
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

    def stored(self, agent_id: str) -> dict[str, Any]:
        """The stored record, which must be the one that callers get."""
        data = self.store.entries[agent_id][0]
        assert data == self.supervisor.get(agent_id)
        return msgspec.json.decode(data)

    def log_kinds(self) -> list[str]:
        return [entry.kind for entry in self.store.log]

    def check_store(self) -> None:
        """The store holds the directory, byte for byte, and nothing else."""
        self.store.expire()
        ids = set(self.supervisor.directory.ids())
        assert self.store.active == ids
        assert set(self.store.entries) == ids
        assert set(self.supervisor.registry.agents) == ids
        for each in ids:
            assert self.store.entries[each][0] == self.supervisor.get(each)

    def lose_store(self, link: FakeLink) -> None:
        """The store goes away, and the hub has noticed by a heartbeat of that link."""
        self.store.reachable = False
        link.say(op="heartbeat", id="notice")
        self.advance(2.2)
        assert self.supervisor.store_is_away
        link.sent.clear()

    # Callers over HTTP.

    def http_register(
        self,
        name: str = "h1",
        agent_id: str | None = None,
        *,
        principal: Principal = ANYBODY,
        **fields: Any,
    ) -> Any:
        """What a registration over HTTP is answered with: a Lease or a ProtocolError."""
        spec = msgspec.convert({"name": name, "type": "cost", **fields}, AgentSpec)
        outcomes: list[Any] = []
        self.supervisor.register(spec, agent_id, outcomes.append, principal=principal)
        return self._outcome(outcomes)

    def populate(self, count: int, **fields: Any) -> list[str]:
        """So many agents over HTTP; their ids."""
        return [
            self.http_register(f"h{number}", agent_id(number), **fields).agent_id
            for number in range(count)
        ]

    def http_heartbeat(
        self,
        agent_id: str,
        token: str | None = None,
        *,
        principal: Principal = ANYBODY,
        **says: Any,
    ) -> Any:
        outcomes: list[Any] = []
        status, metadata = says.get("status", UNSET), says.get("metadata", UNSET)
        load = says.get("load", UNSET)
        self.supervisor.heartbeat(
            agent_id, status, metadata, outcomes.append, principal=principal, load=load, token=token
        )
        return self._outcome(outcomes)

    def http_unregister(
        self, agent_id: str, token: str | None = None, *, principal: Principal = ANYBODY
    ) -> Any:
        outcomes: list[Any] = []
        self.supervisor.unregister(agent_id, outcomes.append, principal=principal, token=token)
        return self._outcome(outcomes)

    def remove(self, agent_id: str) -> Any:
        """What an operator's removal is answered with."""
        outcomes: list[Any] = []
        self.supervisor.remove(agent_id, outcomes.append)
        return self._outcome(outcomes)

    def _outcome(self, outcomes: list[Any]) -> Any:
        """The one answer; waits for it as long as an answer may take."""
        self.settle()
        if not outcomes:
            self.advance(2.2)
        (outcome,) = outcomes
        return outcome

    def kill(self) -> None:
        """Kill the hub: its links are cut, and nothing that it still sends arrives."""
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
