"""Proposals: changes and renewals on their way to the store, and their results."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from actors.ports.store import Away, Change, Refusal, Renewal
from homeport_protocol.record import AgentRecord

Result = AgentRecord | Refusal | Away
"""How a proposal ends: the committed record, or why nothing was committed.

Away when the proposal was withdrawn or the hub stops; `sent` tells whether it may be durable.
"""


class Proposer(Protocol):
    """Proposes changes and gets their results."""

    def settled(self, proposal: Proposal, result: Result) -> None:
        """The change ended."""
        ...

    def sweep(self) -> None:
        """A proposal has waited long: answer the asks that have waited too long."""
        ...


class RenewalProposer(Proposer, Protocol):
    """Proposes renewals as well."""

    def renewed(self, proposal: RenewalProposal, result: Result) -> None:
        """The renewal ended."""
        ...


class Proposal(Struct, eq=False):
    """A change on its way to the store.

    `record` is what the change makes of the agent; the store gives epoch and revision. `born` is
    when it was proposed. `sent` counts how often it was sent without its being known that it was
    not applied: while it is 0, the change has not happened. A proposal that is `withdrawn` is not
    sent any more.
    """

    change: Change
    record: AgentRecord
    proposer: Proposer
    born: float
    sent: int = 0
    withdrawn: bool = False


class RenewalProposal(Struct, eq=False):
    """A renewal on its way to the store; `record` is the committed one with its new `last_seen`.

    `sent` and `withdrawn` are those of `Proposal`.
    """

    change: Renewal
    record: AgentRecord
    proposer: RenewalProposer
    born: float
    sent: int = 0
    withdrawn: bool = False


AnyProposal = Proposal | RenewalProposal
