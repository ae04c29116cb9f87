"""The store of a simulation: the model of the brain's tests behind a network, with faults.

It can be stopped (what arrives is carried out late, although nobody waits any more), crash (what
was under way is lost), and come back with its data, without, or as it was some time ago.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from actors.ports.store import Away, Change, Committed, Fenced, HubReport, Renewal, Roster
from homeport_protocol.codec import decode_record
from tests.history.recorded import Entry, Loss
from tests.support.clock import ProcessClock, VirtualClock
from tests.support.model_port import ModelPort
from tests.support.model_store import ModelStore

COMMAND_TIMEOUT = 1.0
"""Seconds after which a hub takes a request for unanswered, while the store is near."""

FAR = 5.0
"""Seconds after which it does while the store may be far away."""

NEAR = 0.25
"""Seconds within which a store that is near answers."""


class SimStore(ModelStore):
    """What is stored, and what becomes of it; `history` holds all that its logs ever told."""

    epochs_by_clock = True

    def __init__(self, clock: VirtualClock, random: Random, trace: Callable[..., None]) -> None:
        super().__init__(clock)
        self.clock = clock
        self.random = random
        self.trace = trace
        self.boots = 0
        self.up = True
        self.stopped = False
        self.distance = 0.0
        """Seconds that every request takes longer, and every answer."""
        self.trim_to: int | None = None
        self.history: list[Entry] = []
        self.losses: list[Loss] = []
        self.ran_out: dict[str, list[float]] = {}
        self._backlog: list[Callable[[], None]] = []

    def connect(self, hub_id: str, scheduler: ProcessClock) -> SimPort:
        return SimPort(self, hub_id, scheduler)

    # --- requests --------------------------------------------------------------------------------

    def arrived(self, boots: int, carry_out: Callable[[], None]) -> None:
        """A request has come in; those of connections of an earlier boot are lost."""
        if self.up and boots == self.boots:
            if self.stopped:
                self._backlog.append(lambda: self.arrived(boots, carry_out))
            else:
                carry_out()

    def apply(self, change: Change) -> Any:
        known = len(self.log)
        result = super().apply(change)
        if len(self.log) > known:
            added = self.log[-1]
            self.trace("store", "logs", added.revision, added.kind, added.record)
            self.history.append(
                Entry(
                    log=self.log_name,
                    revision=added.revision,
                    kind=added.kind,
                    agent=decode_record(added.record),
                    owner=added.owner,
                )
            )
            if self.trim_to is not None and len(self.log) > self.trim_to:
                del self.log[: len(self.log) - self.trim_to]
        elif isinstance(result, str):
            operation = "renew" if isinstance(change, Renewal) else change.operation
            self.trace("store", "refuses", operation, change.agent_id, result)
        return result

    def expire(self) -> None:
        known = list(self.entries)
        super().expire()
        for agent_id in known:
            if agent_id not in self.entries:
                self.trace("store", "lets run out", agent_id)
                self.ran_out.setdefault(agent_id, []).append(self.clock.now())

    # --- faults ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False
        backlog, self._backlog = self._backlog, []
        for request in backlog:
            request()

    def crash(self) -> None:
        """All connections are gone, and what was under way on them."""
        self.up = False
        self.stopped = False
        self.boots += 1
        self._backlog.clear()
        self.waiting.clear()

    def start(self) -> None:
        self.up = True

    def forget(self) -> None:
        """It comes back with nothing."""
        self.losses.append(Loss(at=self.clock.now(), log=self.log_name, kept=None))
        self.lose_everything()

    def checkpoint(self) -> dict[str, Any]:
        """What a replica holds now."""
        names = (
            *("entries", "active", "tombstones", "times", "owners"),
            *("log", "renewals", "leases", "hubs"),
        )
        held = {name: copy.deepcopy(getattr(self, name)) for name in names}
        return held | {
            "log_name": self.log_name,
            "revision": self.revision,
            "acknowledged": self.acknowledged,
        }

    def roll_back(self, held: dict[str, Any], *, unseen: bool = False) -> None:
        """The replica takes over: what came after its state is lost; `unseen` if no hub lives."""
        now = self.clock.now()
        if self.log_name != held["log_name"]:
            self.losses.append(Loss(at=now, log=self.log_name, kept=None, unseen=unseen))
        self.losses.append(Loss(at=now, log=held["log_name"], kept=held["revision"], unseen=unseen))
        for name, value in held.items():
            setattr(self, name, value)


class Connection:
    """A connection to the store: what is sent on it arrives in order, and so do the answers."""

    def __init__(self) -> None:
        self.arrives_at = self.returns_at = 0.0
        self.broken = self.deaf = False
        self.waiting: list[Callable[[], None]] = []
        """What fails when the connection is given up."""

    def give_up(self) -> None:
        """One request on it had no answer, so none behind it has one either."""
        waiting, self.waiting = self.waiting, []
        for fail in waiting:
            fail()


class SimPort(ModelPort):
    """One hub's way to the store. Each request may be delayed, lost, or lose its answer.

    What writes goes over one connection, anything else over one of its own.
    """

    store: SimStore

    def __init__(self, store: SimStore, hub_id: str, scheduler: ProcessClock) -> None:
        super().__init__(store, hub_id)
        self.scheduler = scheduler
        self.cut_until = 0.0
        self.trouble = 0.0
        """The share of requests that something happens to."""
        self._writes = Connection()
        self._writing = False
        self._near = False
        self._opened_in = -1
        self._requests = itertools.count()

    def _answer(self, reply: Callable[[Any], None], make: Callable[[], Any]) -> None:
        store, random, clock = self.store, self.store.random, self.store.clock
        connection = self._writes if self._writing else Connection()
        pending = True

        def end(answer: Any) -> None:
            nonlocal pending
            if pending:
                pending = False
                timer.cancel()
                if fail in connection.waiting:
                    connection.waiting.remove(fail)
                reply(answer)

        def fail() -> None:
            end(Away("the connection is gone"))

        def give_up(reason: str) -> None:
            end(Away(reason))
            if connection is self._writes:
                self._writes = Connection()
            connection.give_up()

        def time_out() -> None:
            self._near = False
            give_up("no answer in time")

        scheduler, asked_at = self.scheduler, self.scheduler.now()
        limit = COMMAND_TIMEOUT if self._near else FAR
        timer = scheduler.call_at(asked_at + limit, time_out)
        connection.waiting.append(fail)
        there, back = self._delay(), self._delay()
        lost = back_lost = False
        if random.random() < self.trouble:
            fate = random.randrange(4)
            lost, back_lost = fate == 0, fate == 1
            there += random.random() * 3.0 if fate == 2 else 0.0
            back += random.random() * 3.0 if fate == 3 else 0.0
        boots = store.boots
        if not store.up:
            clock.call_later(there, lambda: scheduler.deliver(lambda: give_up("refused")))
            return
        connection.broken |= lost or clock.now() < self.cut_until
        if connection.broken:
            return

        def answered(answer: Any) -> None:
            self._near = scheduler.now() - asked_at < NEAR
            end(answer)

        def carry_out() -> None:
            answer = make()
            connection.deaf |= back_lost or clock.now() < self.cut_until
            if not connection.deaf:
                at = connection.returns_at = max(connection.returns_at, clock.now() + back)
                clock.call_at(at, lambda: scheduler.deliver(lambda: answered(answer)))

        at = connection.arrives_at = max(connection.arrives_at, clock.now() + there)
        clock.call_at(at, lambda: store.arrived(boots, carry_out))

    def _delay(self) -> float:
        random = self.store.random
        delay = self.store.distance + 0.0001 + random.random() * 0.001
        return delay + random.random() * 0.1 if random.random() < 0.01 else delay

    def open(self, position: Any, reply: Callable[[Any], None], *, new_log: bool) -> None:
        def opened(answer: Any) -> None:
            self._opened_in = boots
            reply(answer)

        boots = self.store.boots
        self._writing = True
        super().open(position, opened, new_log=new_log)
        self._writing = False

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        if self._reconnected(reply):
            self.leave(sent)
            return
        self._writing = True
        super().commit(changes, reply, announce=announce, sent=sent)
        self._writing = False

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        if self._reconnected(reply):
            return
        self._writing = True
        super().renew_lease(report, reply)
        self._writing = False

    def _reconnected(self, reply: Callable[[Any], None]) -> bool:
        """Whether the connection is another than `open` succeeded on: nothing is sent then."""
        if self._opened_in == self.store.boots or not self.store.up:
            return False
        clock = self.store.clock
        clock.call_later(self._delay(), lambda: self.scheduler.deliver(lambda: reply(Fenced())))
        return True
