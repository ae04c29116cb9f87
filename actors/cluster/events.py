"""What becomes of the shared directory, as a replica reports it to the actors of its hub."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from actors.ports.store import ForeignRenewal
from homeport_protocol.record import AgentRecord


class Ready(Struct, frozen=True, gc=False):
    """All that is stored has been loaded: agents that this hub owns need an actor from now on."""


class StoreReopened(Struct, frozen=True, gc=False):
    """The store answers again; what other hubs wrote to it is not known yet."""


class StoreReturned(Struct, frozen=True, gc=False):
    """The store answers again and the directory is up to date: write what is dirty."""


class ChangedHere(Struct, frozen=True, gc=False):
    """A change of this hub has been folded, and was no removal."""

    record: AgentRecord


class ChangedElsewhere(Struct, frozen=True, gc=False):
    """Another hub changed the agent, or removed it: this is what the log says."""

    record: AgentRecord
    removed: bool


class FoundChanged(Struct, frozen=True, gc=False):
    """The store holds a newer record than this hub knew, and the log did not say so."""

    record: AgentRecord


class FoundRemoved(Struct, frozen=True, gc=False):
    """The agent was removed, and the log did not say so; `record` is as it was known last."""

    record: AgentRecord


class RenewedElsewhere(Struct, frozen=True, gc=False):
    """Other hubs renewed these entries, as was heard at `now` on the scheduler's scale."""

    renewals: list[ForeignRenewal]
    now: float


class HubsChanged(Struct, frozen=True, gc=False):
    """A hub came or went: this hub may own other agents than before."""


class RemovalHeld(Struct, frozen=True, gc=False):
    """Many agents were lost at once: these are not removed for now."""


ClusterEvent = (
    Ready
    | StoreReopened
    | StoreReturned
    | ChangedHere
    | ChangedElsewhere
    | FoundChanged
    | FoundRemoved
    | RenewedElsewhere
    | HubsChanged
    | RemovalHeld
)


class ClusterEvents(Protocol):
    """Receives all events of one replica, in their order."""

    def handle(self, event: ClusterEvent) -> None:
        """Act on an event; the directory holds already what it says."""
        ...
