"""What is on its way to the store, and who hears how it ended."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from actors.ports.store import Away, Change, Refusal, Renewal
from homeport_protocol.record import AgentRecord

Result = AgentRecord | Refusal | Away
"""How a proposal ends: in the record as it is committed, or in the reason why it is not.

Away when it was withdrawn or could not be sent.
"""


class Proposer(Protocol):
    """Proposes a change, and hears its result."""

    def settled(self, proposal: Proposal, result: Result) -> None:
        """The change ended."""
        ...

    def sweep(self) -> None:
        """Something has been waiting long: answer what has waited too long."""
        ...


class RenewalProposer(Proposer, Protocol):
    """Proposes a renewal, and hears its result."""

    def renewed(self, proposal: RenewalProposal, result: Result) -> None:
        """The renewal ended."""
        ...


class Proposal(Struct, frozen=True, eq=False):
    """A change on its way to the store.

    `record` is what the change makes of the agent; the store gives epoch and revision. `born` is
    when it was proposed.
    """

    change: Change
    record: AgentRecord
    proposer: Proposer
    born: float


class RenewalProposal(Struct, frozen=True, eq=False):
    """A renewal on its way to the store; `record` is the committed one with its new `last_seen`."""

    change: Renewal
    record: AgentRecord
    proposer: RenewalProposer
    born: float
