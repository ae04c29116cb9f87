"""What the committer calls: the directory as the fold of the log."""

from __future__ import annotations

from typing import Protocol

from actors.log.proposal import Proposal, RenewalProposal
from actors.ports.store import Applied, LogEntry, Opened
from homeport_protocol.record import AgentRecord


class Fold(Protocol):
    """The directory as the fold of the log. Its methods are called in the log's order."""

    def opened(self, opened: Opened, *, gap: bool, why: str) -> None:
        """The store answers, at first or again after an outage.

        Where a new log was begun, `why` says so in one phrase.

        With a `gap`, the log no longer holds all changes since the last one that was folded.
        """
        ...

    def away(self, reason: str) -> None:
        """The store does not answer."""
        ...

    def slow(self, seconds: float | None) -> None:
        """The store is far away, and a request to it takes so long; None: not any more."""
        ...

    def applied(self, proposal: Proposal, applied: Applied) -> AgentRecord:
        """A change of this hub is durable. Returns the committed record."""
        ...

    def renewed(self, proposal: RenewalProposal) -> None:
        """A renewal of this hub is durable."""
        ...

    def foreign(self, entry: LogEntry) -> None:
        """A change of another hub is durable."""
        ...
