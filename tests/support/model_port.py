"""One hub's requests to the model of the store, and their answers, which come later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.ports.clock import Scheduler
from actors.ports.store import (
    Away,
    Change,
    Committed,
    Fenced,
    ForeignRenewal,
    ForeignRenewals,
    HubReport,
    Loaded,
    LogEntry,
    Looked,
    Opened,
    Position,
    Renewal,
    Roster,
    Stored,
)

if TYPE_CHECKING:
    from tests.support.model_store import Lease, ModelStore

BLOCK = 1.0


class ModelPort:
    """The store as one hub sees it: `actors.ports.store.Store`. Answers come late."""

    name = "Redis"

    def __init__(self, store: ModelStore, hub_id: str, times: str = "") -> None:
        self.store = store
        self.scheduler: Scheduler = store.scheduler
        self.hub_id = hub_id
        self.generation = 0
        self.times = times
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

    def leave(self, sent: Callable[[], None] | None) -> None:
        """In the next turn a batch is written, and at its end it leaves."""
        scheduler = self.scheduler
        if sent is not None:
            scheduler.call_soon(lambda: scheduler.call_soon(sent))

    @property
    def _lease(self) -> Lease | None:
        """This hub's lease, while it is the one that this port began."""
        lease = self.store.living(self.hub_id)
        return lease if lease is not None and lease.generation == self.generation else None

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        def make() -> Opened:
            self.generation, opened = self.store.begin(
                self.hub_id, position, self.times, new_log=new_log
            )
            self.log = opened.log
            return opened

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
            for ghost in ghosts:
                store.times.pop(ghost, None)
                store.owners.pop(ghost, None)
            records = [store.entries[agent_id][0] for agent_id in sorted(store.active)]
            times = dict(store.times)
            usual = times.pop("", "")
            owners = dict(store.owners)
            return Loaded(records, list(store.log), ghosts, store.roster(), times, usual, owners)

        self._answer(reply, make)

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        self.leave(sent)
        store, generation, log = self.store, self.generation, self.log

        def make() -> Committed | Fenced:
            lease = self._lease
            if lease is None or self.generation != generation or store.log_name != log:
                return Fenced()
            store.prolong(lease)
            return store.commit(changes, announce=announce)

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

    def read_renewals(self, position: str, reply: Callable[[ForeignRenewals | Away], None]) -> None:
        store = self.store

        def make() -> ForeignRenewals:
            after = int(position or 0)
            now = store.scheduler.now()
            found = [
                ForeignRenewal(agent_id, seen, now - at, load)
                for number, at, agent_id, seen, load in store.renewals
                if number > after
            ]
            last = store.renewals[-1][0] if store.renewals else after
            return ForeignRenewals(str(max(after, last)), found)

        self._answer(reply, make)

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        def make() -> Roster | Fenced:
            lease = self._lease
            if lease is None or self.store.log_name != self.log:
                return Fenced()
            self.store.prolong(lease)
            lease.report = report
            self.store.hubs[self.hub_id] = None
            return self.store.roster()

        self._answer(reply, make)

    def look(
        self, agent_ids: list[str], cursor: str, reply: Callable[[Looked | Fenced | Away], None]
    ) -> None:
        def make() -> Looked | Fenced:
            store = self.store
            store.expire()
            if store.log_name != self.log:
                return Fenced()
            held = [each for each in agent_ids if each in store.entries]
            overwritten = [each for each in held if store.entries[each][1] == 0]
            absent = [each for each in agent_ids if each not in store.entries]
            deleted = [each for each in absent if each not in store.active]
            return Looked(overwritten, deleted, sorted(store.active), "")

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
