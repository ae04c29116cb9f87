"""The items that a watch yields."""

from __future__ import annotations

from msgspec import Struct

from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord


class Snapshot(Struct, frozen=True, kw_only=True):
    """All agents that match, as of `revision` of `log`; the first item of a watch.

    A later watch may go on from `position`; None from a hub that gives none.
    """

    agents: list[AgentRecord]
    log: str
    revision: int
    position: str | None = None


class Resync(Struct, frozen=True, kw_only=True):
    """All agents that match, again: discard what earlier items said and begin from this one.

    It comes when the changes in between are not available, because the watch was disconnected for
    longer than the hub remembers, because the hub began a new log, or because Redis came back
    older than what this watch has seen.
    """

    agents: list[AgentRecord]
    log: str
    revision: int
    position: str | None = None


class Event(Struct, frozen=True, kw_only=True):
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


class Reading(Struct, frozen=True, kw_only=True):
    """The newest loads, by agent's id, of agents whose load has moved; no change, and no revision.

    Only a watch with `readings` yields it, at most about once a second.
    """

    loads: dict[str, float]


WatchItem = Snapshot | Event | Resync | Reading
