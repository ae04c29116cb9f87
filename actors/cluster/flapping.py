"""Which agents flap: how often each has been lost, has come back, or has changed its status lately.

Every hub counts for itself, from the log, since it started. It remembers the KEPT newest changes of
an agent, for REMEMBERED seconds, and only of agents that changed: some 500 bytes for each of these.
"""

from __future__ import annotations

from array import array
from typing import assert_never

from msgspec import Struct

from actors.directory.directory import Directory
from actors.directory.predicates import compile_filter
from actors.ports.clock import Scheduler
from actors.runtime.turns import Steps
from homeport_protocol.answers import FlappingAgent
from homeport_protocol.bounds import MAX_CHANGES, MAX_WITHIN, Kind
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import format_timestamp

KEPT = MAX_CHANGES
REMEMBERED = MAX_WITHIN

_STEP = 32
"""Agents that are looked at in one step of a query."""


class _Changes(Struct, gc=False):
    """When an agent changed, oldest first; the last change, and the last reason but `ok`."""

    times: array[float]
    kind: Kind
    reason: str


class FlappingAgents:
    """Counts the changes of the agents in one directory, and finds those that change often."""

    def __init__(self, scheduler: Scheduler, directory: Directory) -> None:
        self._scheduler = scheduler
        self._directory = directory
        self._changes: dict[str, _Changes] = {}
        self._since = scheduler.now()

    def __len__(self) -> int:
        return len(self._changes)

    def folded(self, kind: Kind, record: AgentRecord, *, known: bool) -> None:
        """A change was folded; `known`: the agent was in the directory before it."""
        match kind:
            case "lost" | "resumed" | "status_changed":
                pass
            case "registered":
                if not known:
                    return
            case "updated":
                return
            case "unregistered" | "expired":
                self._changes.pop(record.id, None)
                return
            case _:
                assert_never(kind)
        changes = self._changes.get(record.id)
        if changes is None:
            changes = self._changes[record.id] = _Changes(array("d"), kind, "")
        now = self._scheduler.now()
        changes.times.append(now)
        while len(changes.times) > KEPT or changes.times[0] <= now - REMEMBERED:
            changes.times.pop(0)
        changes.kind = kind
        if record.health.reason != "ok":
            changes.reason = record.health.reason
        elif record.health.connection == "lost":  # the status does not say so yet
            changes.reason = "connection_lost"

    def find(
        self, filter: Filter, changes: int, within: float, limit: int
    ) -> Steps[list[FlappingAgent]]:
        """The agents that match and changed so often within the last seconds, the worst first.

        Raises ProtocolError `bad_request` for a filter that cannot be understood.
        """
        matches = compile_filter(filter)
        now = self._scheduler.now()
        wall = self._scheduler.wall()
        found: list[tuple[int, float, FlappingAgent]] = []
        for number, agent_id in enumerate(list(self._changes)):
            if number % _STEP == _STEP - 1:
                yield
            entry, seen = self._directory.get(agent_id), self._changes.get(agent_id)
            if seen is None:
                continue
            if entry is None or seen.times[-1] <= now - REMEMBERED:
                del self._changes[agent_id]
                continue
            count = sum(time > now - within for time in seen.times)
            record = entry.record
            if count < changes or (matches is not None and not matches(record)):
                continue
            latest = seen.times[-1]
            agent = FlappingAgent(
                agent_id=record.id,
                name=record.name,
                type=record.type,
                status=record.status,
                changes=count,
                last_kind=seen.kind,
                last_reason=seen.reason,
                last_change=format_timestamp(wall - (now - latest)),
            )
            found.append((-count, -latest, agent))
        found.sort(key=lambda each: (each[0], each[1], each[2].agent_id))
        return [agent for _, _, agent in found[:limit]]

    def counted_since(self, within: float) -> str:
        """From when on changes were counted for a query: RFC 3339."""
        ago = min(within, self._scheduler.now() - self._since)
        return format_timestamp(self._scheduler.wall() - ago)
