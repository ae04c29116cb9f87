"""What a watch yields."""

from __future__ import annotations

from msgspec import Struct

from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord


class Snapshot(Struct, frozen=True, kw_only=True):
    """All agents that match, as of `revision` of `log`: the first item of a watch."""

    agents: list[AgentRecord]
    log: str
    revision: int


class Resync(Struct, frozen=True, kw_only=True):
    """All agents that match, anew: forget what you knew and begin from this.

    It comes when the changes in between cannot be told any more, because the watch was away for
    longer than the hub remembers, or because the hub's log began anew.
    """

    agents: list[AgentRecord]
    log: str
    revision: int


class Event(Struct, frozen=True, kw_only=True):
    """One change. `agent` is the record after it (for a removal, the last one).

    An agent that no longer matches the filter comes once more, with the record that does not
    match. `coalesced`: this watch read slowly, and older states of the agent were skipped.
    """

    kind: Kind
    agent: AgentRecord
    revision: int
    coalesced: bool = False


WatchItem = Snapshot | Event | Resync
