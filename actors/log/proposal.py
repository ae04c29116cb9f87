"""A change on its way to the store, and who hears how it ended."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from actors.ports.store import Applied, Away, Change, Refusal
from homeport_protocol.record import AgentRecord


class Proposer(Protocol):
    """Who proposed a change and hears of its outcome."""

    def settled(self, proposal: Proposal, result: Applied | Refusal | Away) -> None:
        """The change ended; Away when it was withdrawn or could not be sent."""
        ...

    def sweep(self) -> None:
        """Something has been waiting long: answer what has waited too long."""
        ...


class Proposal(Struct, eq=False):
    """A change on its way to the store.

    `record` is what it makes of the agent; once it is applied, the fold has put the epoch and
    revision that the store gave into it. `born` is when it was proposed. One that is `withdrawn`
    before it was sent is not sent.
    """

    change: Change
    record: AgentRecord
    proposer: Proposer
    born: float
    withdrawn: bool = False
