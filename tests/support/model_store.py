"""What Redis and the scripts do, in a few lines of Python, on virtual time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import msgspec
from msgspec import Struct, UnsetType

from actors.ports.store import (
    Applied,
    Change,
    Committed,
    Freshness,
    HubLease,
    HubReport,
    LogEntry,
    Opened,
    Position,
    Refusal,
    Renewal,
    Roster,
)
from actors.rules.records import complete
from actors.timing import HUB_LEASE
from homeport_protocol.record import AgentRecord
from tests.support.clock import VirtualClock
from tests.support.model_port import ModelPort

RENEWALS_KEPT = 30.0

_TAIL = re.compile(rb',"epoch":(\d+),"hub":"[^"]*","revision":(\d+)}$')
_SEEN = re.compile(rb'"last_seen":"([^"]*)"')


class Lease(Struct):
    """A hub's lease: the generation that may write, until when, and the hub's last report."""

    generation: int
    until: float
    report: HubReport
    times: str = ""


class ModelStore:
    """The state of the store, for all hubs; each hub has its port to it.

    Faults: while not `reachable`, every request is answered Away after a second;
    `swallow_answers`: how many of the next requests are carried out and their answers lost;
    `hold_next_commit`: after how many seconds the next batch arrives, when nobody waits any more;
    `fail_loads`: how many of the next loads are answered Away.

    Epochs count from 1, which is easier to follow than Redis's clock; with `epochs_by_clock` they
    are at least its milliseconds, as they are in Redis.
    """

    epochs_by_clock = False

    def __init__(self, scheduler: VirtualClock, latency: float = 0.001) -> None:
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
        self.tombstones: dict[str, int] = {}  # in the order of the removals
        self.most_tombstones = 10_000
        self.times: dict[str, str] = {}
        """What agents were told, where it is not the usual; under "" is the usual."""
        self.owners: dict[str, str] = {}
        self.log: list[LogEntry] = []
        self.renewals: list[tuple[int, float, str, str, float | UnsetType]] = []
        self.renewal_numbers = itertools.count(1)
        self.acknowledged = 0
        self.batches: list[list[Change]] = []
        self.swallow_answers = 0
        self.hold_next_commit: float | None = None
        self.fail_loads = 0
        self.names = itertools.count(1)
        self.waiting: list[Callable[[], None]] = []

    def port(self, hub_id: str, times: str = "") -> ModelPort:
        """A hub's way to the store; `times` are what the hub tells to others in its lease."""
        return ModelPort(self, hub_id, times)

    def lose_everything(self) -> None:
        self.log_name, self.revision, self.acknowledged = "", 0, 0
        for kept in (
            self.leases,
            self.hubs,
            self.entries,
            self.tombstones,
            self.times,
            self.owners,
        ):
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

    def prolong(self, lease: Lease) -> None:
        lease.until = self.scheduler.now() + HUB_LEASE

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
                    times=lease.times,
                )
            )
        return Roster(hubs, self.revision, self.acknowledged)

    def begin(
        self, hub_id: str, position: Position, times: str, *, new_log: bool
    ) -> tuple[int, Opened]:
        """The generation of the hub's new lease, and the log from now on."""
        generation, report = next(self.generations), HubReport(0, 0, position.revision)
        self.leases[hub_id] = Lease(generation, self.scheduler.now() + HUB_LEASE, report, times)
        self.hubs[hub_id] = None
        # Also when another call began the log: new to the hub that asks.
        fresh = position.log not in ("", self.log_name)
        diverged = not fresh and bool(position.log) and not self.follows(position)
        why: Freshness = "elsewhere" if fresh else ""
        if new_log or not self.log_name or self.revision < position.revision or diverged:
            why = "asked" if new_log else "diverged" if diverged else "older"
            why = "empty" if not self.log_name else why
            self.log_name = f"log-{next(self.names)}"
            self.revision = max(self.revision, position.revision)
            self.log.clear()
            fresh = True
        key = next((each.key for each in self.log if each.revision == self.revision), "")
        return generation, Opened(self.log_name, self.revision, fresh, b"secret", key, why)

    def follows(self, position: Position) -> bool:
        """Whether the log is the one at that position, with the same history."""
        if position.log != self.log_name:
            return False
        entry = next((e for e in self.log if e.revision == position.revision), None)
        return entry is None or not position.key or entry.key == position.key

    def commit(self, changes: list[Change | Renewal], *, announce: bool) -> Committed:
        self.expire()
        self.batches.append(changes)
        before = self.revision
        results = [self.apply(each) for each in changes]
        for change, result in zip(changes, results, strict=True):
            unlogged = isinstance(change, Renewal) or (
                change.kind == "" and change.operation != "remove"
            )
            if announce and unlogged and isinstance(result, Applied):
                self.announce(change.agent_id, change.load)
        if self.revision > before:
            self.changed()
        return Committed(self.log_name, before, results)

    def apply(self, change: Change | Renewal) -> Applied | Refusal:
        renewal = isinstance(change, Renewal)
        operation = "renew" if renewal else change.operation
        stored = self.entries.get(change.agent_id)
        epoch = change.epoch
        found = None if stored is None else _TAIL.search(stored[0])
        revision_stored = int(found[2]) if found else None
        owner = None if renewal else change.owner
        only_own = not renewal and change.only_own and stored is not None
        if only_own and self.owners.get(change.agent_id, owner) != owner:
            return "owned"
        if operation == "claim" and stored is not None and stored[1]:
            if stored[1] > epoch or (revision_stored or 0) > change.revision:
                return "stale"
        elif stored is not None and operation != "register":
            refusal = _refuse(change, stored, revision_stored)
            if refusal is not None:
                return refusal
        last = self.tombstones.get(change.agent_id, 0)
        match operation:
            case "remove" | "restore" if stored is None and 0 < epoch <= last:
                return "fenced"  # it has been removed since
            case "adopt":
                if stored is None or stored[1] != 0:
                    return "stale"
                epoch = self.raised(last)
            case "restore" if stored is not None and stored[1] == 0 and change.revision == 0:
                epoch = self.raised(max(last, epoch - 1))
            case "register" | "claim":
                epoch = self.raised(max(epoch, stored[1] if stored else 0, last))
            case "resume":
                if stored is None:
                    return "missing"
                epoch = self.raised(max(epoch, stored[1]))
            case "write" | "renew":
                if stored is None:
                    ended = operation == "write" and change.agent_id not in self.active
                    return "deleted" if ended and change.hub == "" else "missing"
        revision = change.revision
        logged = not renewal and change.kind != ""
        if logged:
            self.revision += 1
            revision = self.revision
        data = complete(change.head, epoch, change.hub, revision)
        if operation == "remove":
            self.entries.pop(change.agent_id, None)
            self.active.discard(change.agent_id)
            self.tombstones.pop(change.agent_id, None)
            self.tombstones[change.agent_id] = max(epoch, last)
            while len(self.tombstones) > self.most_tombstones:
                del self.tombstones[next(iter(self.tombstones))]
            self.times.pop(change.agent_id, None)
            owner = ""
        else:
            expires = self.scheduler.now() + change.ttl
            if operation == "adopt" and stored is not None:
                expires = stored[2]
            self.entries[change.agent_id] = (data, epoch, expires)
            self.active.add(change.agent_id)
        times = "" if renewal or operation == "remove" else change.times
        if times:
            self.times.pop(change.agent_id, None)
            if times != self.times.setdefault("", times):
                self.times[change.agent_id] = times
        if owner is not None:
            self.owners.pop(change.agent_id, None)
            if owner:
                self.owners[change.agent_id] = owner
        if logged:
            entry = LogEntry(revision, change.kind, data, change.key, times, owner or "")
            self.log.append(entry)
        return Applied(revision, epoch)

    def raised(self, known: int) -> int:
        """The next epoch: above what is known, and at least the clock's milliseconds."""
        return max(known + 1, int(self.scheduler.wall() * 1000) if self.epochs_by_clock else 0)

    def announce(self, agent_id: str, load: float | UnsetType) -> None:
        seen = _SEEN.search(self.entries[agent_id][0])
        assert seen is not None
        now = self.scheduler.now()
        number = next(self.renewal_numbers)
        self.renewals.append((number, now, agent_id, seen[1].decode(), load))
        while self.renewals and self.renewals[0][1] < now - RENEWALS_KEPT:
            self.renewals.pop(0)

    def changed(self) -> None:
        waiting, self.waiting = self.waiting, []
        for look in waiting:
            look()


def _refuse(
    change: Change | Renewal, stored: tuple[bytes, int, float], revision: int | None
) -> Refusal | None:
    legacy = stored[1] == 0
    operation = "renew" if isinstance(change, Renewal) else change.operation
    if operation != "resume" and stored[1] > change.epoch:
        return "fenced"
    if revision is not None and revision > change.revision:
        return "stale"
    same = revision == change.revision
    if isinstance(change, Change) and change.seen and same and not legacy:
        seen = _SEEN.search(stored[0])
        if seen is None or seen[1].decode() != change.seen:
            return "stale"
    expected = change.seen if isinstance(change, Change) else ""
    known = operation in ("write", "renew") or (
        operation == "restore" and expected and change.revision > 0
    )
    if legacy and (operation == "adopt" or (change.hub == "" and known)):
        seen = _SEEN.search(stored[0])
        if seen is None or seen[1].decode() != expected:
            return "stale"  # what another program wrote has not been taken in
    older = not same
    if operation != "resume":
        older = older or stored[1] != change.epoch
    if operation in ("write", "renew", "resume") and older and not legacy:
        return "missing"  # what is older than the writer's own is not its entry
    return None
