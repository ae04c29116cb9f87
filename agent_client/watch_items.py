"""The items that a watch yields."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from agent_client.records import AgentRecord
from agent_client.values import Value
from homeport_protocol.bounds import Kind


class Snapshot(Struct, Value, frozen=True, kw_only=True):
    """All agents that match, as of `revision` of `log`; the first item of a watch.

    A later watch may go on from `position`; None from a hub that gives none.
    """

    agents: list[AgentRecord]
    log: str
    revision: int
    position: str | None = None

    _absent_when: ClassVar[dict[str, Any]] = {"position": None}


class Resync(Struct, Value, frozen=True, kw_only=True):
    """All agents that match, again: discard what earlier items said and begin from this one.

    It comes when the changes in between are not available, because the watch was disconnected for
    longer than the hub remembers, because the hub began a new log, or because Redis came back
    older than what this watch has seen.
    """

    agents: list[AgentRecord]
    log: str
    revision: int
    position: str | None = None

    _absent_when: ClassVar[dict[str, Any]] = {"position": None}


class Event(Struct, Value, frozen=True, kw_only=True):
    """One change; `agent` is the record after it, or the last one before a removal.

    When an agent stops matching the filter, one more event follows with the record that does not
    match. `coalesced` is true when this watch read slowly and older states of the agent were
    skipped.
    """

    kind: Kind
    agent: AgentRecord
    revision: int
    coalesced: bool = False
    position: str | None = None

    _absent_when: ClassVar[dict[str, Any]] = {"coalesced": False, "position": None}


class Reading(Struct, Value, frozen=True, kw_only=True):
    """The newest loads, by agent's id, of agents whose load has moved; no change, and no revision.

    Only a watch with `readings` yields it, at most about once a second.
    """

    loads: dict[str, float]


WatchItem = Snapshot | Event | Resync | Reading
