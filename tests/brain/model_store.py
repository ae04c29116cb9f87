"""What Redis and the scripts do, in a few lines of Python, on virtual time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from actors.ports import (
    Applied,
    Away,
    Change,
    Committed,
    Fenced,
    HubLease,
    HubReport,
    Loaded,
    LogEntry,
    Opened,
    Position,
    Refusal,
    Renewal,
    Renewals,
    Roster,
    Stored,
)
from actors.records import complete
from protocol.record import AgentRecord

if TYPE_CHECKING:
    from tests.brain.world import VirtualScheduler

HUB_LEASE = 10.0
BLOCK = 1.0
RENEWALS_KEPT = 30.0

_TAIL = re.compile(rb',"epoch":(\d+),"hub":"[^"]*","revision":(\d+)}$')
_SEEN = re.compile(rb'"last_seen":"([^"]*)"')


class Lease(Struct):
    """A hub's: who writes now, until when, and what it says of itself."""

    generation: int
    until: float
    report: HubReport


class ModelStore:
    """What is stored, for all hubs; each hub asks it through a port of its own.

    Faults: while not `reachable`, every request is answered Away after a second;
    `swallow_answers`: so many next requests are carried out and their answers lost;
    `hold_next_commit`: the next batch arrives only after so many seconds, nobody waits for it;
    `fail_loads`: so many next loads are answered Away.
    """

    def __init__(self, scheduler: VirtualScheduler, latency: float = 0.001) -> None:
        self.scheduler = scheduler
        self.latency = latency
        self.reachable = True
        self.generations = itertools.count(1)  # none is given twice
        self.leases: dict[str, Lease] = {}
        self.hubs: dict[str, None] = {}
        self.log_name = ""
        self.revision = 0
        self.entries: dict[str, tuple[bytes, int, float]] = {}
        self.active: set[str] = set()
        self.tombstones: dict[str, int] = {}
        self.log: list[LogEntry] = []
        self.renewals: list[tuple[int, float, str, str]] = []
        self.renewal_numbers = itertools.count(1)
        self.acknowledged = 0
        self.batches: list[list[Change]] = []
        self.swallow_answers = 0
        self.hold_next_commit: float | None = None
        self.fail_loads = 0
        self.names = itertools.count(1)
        self.waiting: list[Callable[[], None]] = []

    def port(self, hub_id: str) -> ModelPort:
        return ModelPort(self, hub_id)

    def lose_everything(self) -> None:
        self.log_name, self.revision, self.acknowledged = "", 0, 0
        for kept in (self.leases, self.hubs, self.entries, self.tombstones):
            kept.clear()
        self.active.clear()
        self.log.clear()
        self.renewals.clear()

    def record(self, agent_id: str) -> AgentRecord | None:
        self.expire()
        entry = self.entries.get(agent_id)
        return None if entry is None else msgspec.json.decode(entry[0], type=AgentRecord)

    def expire(self) -> None:
        now = self.scheduler.now()
        for agent_id in [key for key, entry in self.entries.items() if entry[2] <= now]:
            del self.entries[agent_id]

    def living(self, hub_id: str) -> Lease | None:
        lease = self.leases.get(hub_id)
        if lease is not None and lease.until <= self.scheduler.now():
            del self.leases[hub_id]
            return None
        return lease

    def roster(self) -> Roster:
        hubs = []
        for hub_id in sorted(self.hubs):
            lease = self.living(hub_id)
            if lease is None:
                del self.hubs[hub_id]
                continue
            report = lease.report
            hubs.append(
                HubLease(
                    hub_id=hub_id,
                    url=f"http://{hub_id}",
                    version="0",
                    started="",
                    agents=report.agents,
                    sessions=report.sessions,
                    revision=report.revision,
                )
            )
        return Roster(hubs, self.revision, self.acknowledged)

    def follows(self, position: Position) -> bool:
        """Whether the log is that one, with that history."""
        if position.log != self.log_name:
            return False
        entry = next((e for e in self.log if e.revision == position.revision), None)
        return entry is None or not position.key or entry.key == position.key

    def apply(self, change: Change) -> Applied | Refusal:
        stored = self.entries.get(change.agent_id)
        epoch = change.epoch
        found = None if stored is None else _TAIL.search(stored[0])
        revision_stored = int(found[2]) if found else None
        if stored is not None and change.operation != "register":
            refusal = _refuse(change, stored, revision_stored)
            if refusal is not None:
                return refusal
        last = self.tombstones.get(change.agent_id, 0)
        match change.operation:
            case "remove" | "restore" if stored is None and 0 < epoch <= last:
                return "fenced"  # it has been removed since
            case "register":
                epoch = max(epoch, stored[1] if stored else 0, last) + 1
            case "resume":
                if stored is None:
                    return "missing"
                epoch = max(epoch, stored[1]) + 1
            case "write" | "renew":
                if stored is None:
                    return "missing"
        revision = change.revision
        if change.kind and change.operation != "renew":
            self.revision += 1
            revision = self.revision
        data = complete(change.head, epoch, change.hub, revision)
        if change.operation == "remove":
            self.entries.pop(change.agent_id, None)
            self.active.discard(change.agent_id)
            self.tombstones[change.agent_id] = max(epoch, last)
        else:
            expires = self.scheduler.now() + change.ttl
            self.entries[change.agent_id] = (data, epoch, expires)
            self.active.add(change.agent_id)
        if change.kind and change.operation != "renew":
            self.log.append(LogEntry(revision, change.kind, data, change.key))
        return Applied(revision, epoch)

    def announce(self, agent_id: str) -> None:
        seen = _SEEN.search(self.entries[agent_id][0])
        assert seen is not None
        now = self.scheduler.now()
        number = next(self.renewal_numbers)
        self.renewals.append((number, now, agent_id, seen[1].decode()))
        while self.renewals and self.renewals[0][1] < now - RENEWALS_KEPT:
            self.renewals.pop(0)

    def changed(self) -> None:
        waiting, self.waiting = self.waiting, []
        for look in waiting:
            look()


def _refuse(
    change: Change, stored: tuple[bytes, int, float], revision: int | None
) -> Refusal | None:
    legacy = stored[1] == 0
    if change.operation != "resume" and stored[1] > change.epoch:
        return "fenced"
    if revision is not None and revision > change.revision:
        return "stale"
    if change.seen and not legacy:
        seen = _SEEN.search(stored[0])
        if seen is None or seen[1].decode() != change.seen:
            return "stale"
    older = revision != change.revision
    if change.operation != "resume":
        older = older or stored[1] != change.epoch
    if change.operation in ("write", "renew", "resume") and older and not legacy:
        return "missing"  # what is older than the writer's own is not its entry
    return None


class ModelPort:
    """The store as one hub sees it: `actors.ports.Store`. Answers after the store's latency."""

    def __init__(self, store: ModelStore, hub_id: str) -> None:
        self.store = store
        self.hub_id = hub_id
        self.generation = 0
        self.log = ""

    def _answer(self, reply: Callable[[Any], None], make: Callable[[], Any]) -> None:
        store, at = self.store, self.store.scheduler.now()
        if not store.reachable:
            store.scheduler.call_at(at + 1.0, lambda: reply(Away("no answer")))
            return
        answer = make()
        if store.swallow_answers > 0:
            store.swallow_answers -= 1
            store.scheduler.call_at(at + 1.0, lambda: reply(Away("no answer in time")))
            return
        store.scheduler.call_at(at + store.latency, lambda: reply(answer))

    @property
    def _lease(self) -> Lease | None:
        """This hub's lease, while it is the one that this port began."""
        lease = self.store.living(self.hub_id)
        return lease if lease is not None and lease.generation == self.generation else None

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        store = self.store

        def make() -> Opened:
            opened = begin()
            self.log = opened.log
            return opened

        def begin() -> Opened:
            self.generation = next(store.generations)
            until = store.scheduler.now() + HUB_LEASE
            store.leases[self.hub_id] = Lease(
                self.generation, until, HubReport(0, 0, position.revision)
            )
            store.hubs[self.hub_id] = None
            same = position.log in ("", store.log_name)
            diverged = same and bool(position.log) and not store.follows(position)
            if new_log or not store.log_name or store.revision < position.revision or diverged:
                store.log_name = f"log-{next(store.names)}"
                store.revision = max(store.revision, position.revision)
                store.log.clear()
                return Opened(store.log_name, store.revision, True, b"secret")
            # Also when another call began it: new to the hub that asks.
            return Opened(store.log_name, store.revision, not same, b"secret")

        self._answer(reply, make)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        store = self.store
        if store.fail_loads > 0:
            store.fail_loads -= 1
            at = store.scheduler.now() + 0.1
            store.scheduler.call_at(at, lambda: reply(Away("loading")))
            return

        def make() -> Loaded:
            store.expire()
            ghosts = sorted(store.active - set(store.entries))
            store.active -= set(ghosts)
            records = [store.entries[agent_id][0] for agent_id in sorted(store.active)]
            return Loaded(records, list(store.log), ghosts, store.roster())

        self._answer(reply, make)

    def commit(
        self,
        changes: list[Change],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
    ) -> None:
        store, generation, log = self.store, self.generation, self.log

        def make() -> Committed | Fenced:
            lease = self._lease
            if lease is None or self.generation != generation or store.log_name != log:
                return Fenced()
            lease.until = store.scheduler.now() + HUB_LEASE
            store.expire()
            store.batches.append(changes)
            before = store.revision
            results = [store.apply(each) for each in changes]
            for change, result in zip(changes, results, strict=True):
                if announce and change.operation == "renew" and isinstance(result, Applied):
                    store.announce(change.agent_id)
            if store.revision > before:
                store.changed()
            return Committed(store.log_name, before, results)

        if store.hold_next_commit is not None:
            held, store.hold_next_commit = store.hold_next_commit, None
            now = store.scheduler.now()

            def arrive() -> None:
                if store.reachable:
                    make()

            store.scheduler.call_at(now + held, arrive)
            store.scheduler.call_at(now + 1.0, lambda: reply(Away("no answer in time")))
            return
        self._answer(reply, make)

    def read_log(
        self,
        position: Position,
        upto: int | None,
        reply: Callable[[list[LogEntry] | Fenced | Away], None],
    ) -> None:
        def make() -> list[LogEntry] | Fenced:
            if not self.store.follows(position):
                return Fenced()
            after = position.revision
            end = self.store.revision if upto is None else upto
            return [e for e in self.store.log if after < e.revision <= end]

        self._answer(reply, make)

    def await_change(self, after: int, reply: Callable[[bool | Away], None]) -> None:
        store = self.store
        if not store.reachable or (store.log and store.log[-1].revision > after):
            self._answer(reply, lambda: True)
            return
        asked = True

        def end(answer: bool) -> None:
            nonlocal asked
            if asked:
                asked = False
                self._answer(reply, lambda: answer)

        def look() -> None:
            if store.log and store.log[-1].revision > after:
                end(True)
            elif asked:
                store.waiting.append(look)

        look()
        store.scheduler.call_at(store.scheduler.now() + BLOCK, lambda: end(False))

    def read(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        def make() -> Stored | None:
            self.store.expire()
            entry = self.store.entries.get(agent_id)
            return None if entry is None else Stored(entry[0], entry[2] - now())

        now = self.store.scheduler.now
        self._answer(reply, make)

    def read_renewals(self, position: str, reply: Callable[[Renewals | Away], None]) -> None:
        store = self.store

        def make() -> Renewals:
            after = int(position or 0)
            now = store.scheduler.now()
            found = [
                Renewal(agent_id, seen, now - at)
                for number, at, agent_id, seen in store.renewals
                if number > after
            ]
            last = store.renewals[-1][0] if store.renewals else after
            return Renewals(str(max(after, last)), found)

        self._answer(reply, make)

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        def make() -> Roster | Fenced:
            lease = self._lease
            if lease is None or self.store.log_name != self.log:
                return Fenced()
            lease.until = self.store.scheduler.now() + HUB_LEASE
            lease.report = report
            self.store.hubs[self.hub_id] = None
            return self.store.roster()

        self._answer(reply, make)

    def acknowledge_loss(self, revision: int, reply: Callable[[bool | Away], None]) -> None:
        def make() -> bool:
            self.store.acknowledged = max(self.store.acknowledged, revision)
            return True

        self._answer(reply, make)

    def close(self) -> None:
        """A hub that stops ends its lease; one that is killed does not."""
        if self._lease is not None and self.store.reachable:
            self.store.leases.pop(self.hub_id, None)
            self.store.hubs.pop(self.hub_id, None)
