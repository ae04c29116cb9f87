"""Notices programs that are no hubs and write to the same store, such as the legacy registry.

Every LOOK_INTERVAL this hub looks at the entries of some of the agents. The leader also looks at
some of the active ids, for agents that no hub knows. Both are bounded, and go on where the last
look ended. What is found goes to the agents' actors (`actors.agent.foreign`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice

from actors.agent.ref import AgentRef
from actors.cluster.replica import Replica
from actors.ports.clock import Scheduler, Timer
from actors.ports.observer import ForeignWrite, Observer
from actors.ports.store import Away, Fenced, Looked, Store, Stored
from actors.rules.foreign_records import is_foreign
from homeport_protocol.bounds import UUID

_ID = re.compile(UUID)

LOOK_INTERVAL = 5.0
"""Seconds between two looks."""

LOOKED_AT = 1_000
"""Entries that one look reads; and about as many active ids."""

DELETED_FOR = 2
"""Looks in turn that must find an agent deleted: a starting hub drops ids without an entry, too,
and begins a new log then."""

UNKNOWN_FOR = 4
"""The same, of another hub's agent: if that hub has started since, it knows no such agent."""

REMEMBERED = 600.0
"""Seconds for which `/ready` tells of a write."""

MOST = 10_000
"""Agents that are counted within REMEMBERED seconds; beyond them, the oldest are left out."""


class ForeignWrites:
    """What programs that are no hubs write to one namespace. `counts` are totals of their writes.

    `agents` are the actors of this hub, `knows` tells whether any hub has the agent, and `create`
    makes an actor for one that none has.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        store: Store,
        observer: Observer,
        replica: Replica,
        agents: Mapping[str, AgentRef],
        knows: Callable[[str], bool],
        create: Callable[[str], AgentRef],
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._observer = observer
        self._replica = replica
        self._agents = agents
        self._knows = knows
        self._create = create
        self._left: Iterator[str] = iter(())
        """Agents that are still to be looked at in this round."""
        self._cursor = ""
        self._deleted: dict[str, tuple[str, int]] = {}
        """Agents that were found deleted, their `last_seen` then, and by how many looks in turn."""
        self._looking = False
        self._timer: Timer | None = None
        self._written: dict[str, float] = {}
        """When agents were written last, the oldest first."""
        self.counts: dict[ForeignWrite, int] = dict.fromkeys(
            ("registered", "changed", "deleted", "overwritten"), 0
        )

    def start(self) -> None:
        """Look from now on, until `close`."""
        self.close()
        self._timer = self._scheduler.call_at(self._scheduler.now() + LOOK_INTERVAL, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def find(self, agent_id: str, looked: Callable[[], None]) -> None:
        """Take in this agent before the next look, if it is stored; then call `looked`."""
        if self._timer is None or not _ID.fullmatch(agent_id):
            looked()
            return

        def read(stored: Stored | Away | None) -> None:
            self._found(agent_id, stored)
            looked()

        self._store.read(agent_id, read)

    def noticed(self, agent_id: str, what: ForeignWrite) -> None:
        """A program that is no hub wrote this agent."""
        self.counts[what] += 1
        self._written.pop(agent_id, None)
        self._written[agent_id] = self._scheduler.now()
        warning = self.warning
        assert warning is not None
        self._observer.foreign_writes(warning)

    @property
    def warning(self) -> str | None:
        """One sentence while a program that is no hub writes to the store."""
        written, since = self._written, self._scheduler.now() - REMEMBERED
        while written and (len(written) > MOST or next(iter(written.values())) < since):
            del written[next(iter(written))]
        if not written:
            return None
        agents = "1 agent" if len(written) == 1 else f"{len(written):,} agents"
        return (
            f"another program writes to this Redis: {agents} within 10 minutes; "
            "have its callers use a hub"
        )

    def _look(self) -> None:
        self.start()
        if self._looking or self._replica.store_is_away:
            return
        self._looking = True
        seen: dict[str, str] = {}
        for agent_id in (*self._deleted, *self._next_agents()):
            entry = self._replica.directory.get(agent_id)
            if entry is not None:
                seen[agent_id] = entry.record.last_seen
        self._store.look([*seen], self._cursor, partial(self._looked, seen))

    def _next_agents(self) -> list[str]:
        """The next agents of this round, or the first ones of a new round."""
        found = [*islice(self._left, LOOKED_AT)]
        if not found:
            self._left = iter(self._replica.directory.ids())
            found = [*islice(self._left, LOOKED_AT)]
        return found

    def _looked(self, seen: dict[str, str], looked: Looked | Fenced | Away) -> None:
        self._looking = False
        if not isinstance(looked, Looked) or self._timer is None:
            return
        self._cursor = looked.cursor
        agents, before = self._agents, self._deleted
        for agent_id in looked.overwritten:
            if agent_id in agents:
                agents[agent_id].stored_changed()
        self._deleted = {}
        for agent_id in looked.deleted:
            last_seen, looks = before.get(agent_id, ("", 0))
            looks = looks + 1 if last_seen == seen[agent_id] else 1
            self._deleted[agent_id] = (seen[agent_id], looks)
            if looks >= (DELETED_FOR if agent_id in agents else UNKNOWN_FOR):
                self._create(agent_id).stored_deleted(seen[agent_id])
        if self._replica.membership.leads:
            for agent_id in looked.active:  # all: the next look begins behind them
                if not self._knows(agent_id):
                    self._store.read(agent_id, partial(self._found, agent_id))

    def _found(self, agent_id: str, stored: Stored | Away | None) -> None:
        known = self._knows(agent_id) or self._replica.store_is_away or self._timer is None
        if isinstance(stored, Stored) and not known and is_foreign(stored.record):
            self._create(agent_id).found_foreign(stored)
