"""Removes an agent whose actor was isolated."""

from __future__ import annotations

from collections.abc import Callable

from actors.cluster.replica import Replica
from actors.log.proposal import Proposal, Result
from actors.ports.store import Change
from actors.rules.records import head_of


class OrphanRemoval:
    """Takes an agent that has no actor off the directory, while this hub owns it.

    Once another hub owns the agent, the bug of an actor here is no reason to remove it. `adopted`
    tells whether the agent has an actor again.
    """

    def __init__(
        self,
        agent_id: str,
        replica: Replica,
        now: Callable[[], float],
        adopted: Callable[[], bool],
    ) -> None:
        self._agent_id = agent_id
        self._replica = replica
        self._now = now
        self._adopted = adopted

    def propose(self) -> None:
        """Propose to remove the agent as the directory has it."""
        entry = self._replica.directory.get(self._agent_id)
        if entry is None or not self._replica.membership.owns(entry.record):
            return
        record, committer = entry.record, self._replica.committer
        change = Change(
            operation="remove",
            kind="expired",
            agent_id=record.id,
            epoch=record.epoch,
            head=head_of(record),
            hub=record.hub,
            ttl=0.0,
            key=committer.new_key(),
            revision=record.revision,
        )
        committer.propose(Proposal(change, record, self, self._now()))

    def settled(self, proposal: Proposal, result: Result) -> None:
        """The change ended; what came between has been folded."""
        entry = self._replica.directory.get(self._agent_id)
        if result not in ("stale", "fenced") or entry is None or self._adopted():
            return
        record, change = entry.record, proposal.change
        if (record.epoch, record.revision) != (change.epoch, change.revision):
            self.propose()
        else:  # no log has what is stored: removing it would be refused for ever
            self._replica.drop(self._agent_id)

    def sweep(self) -> None:
        """The change has waited long; no ask waits for it."""
