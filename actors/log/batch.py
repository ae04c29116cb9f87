"""Batches of changes: how much goes into one, and what waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from actors.log.proposal import AnyProposal, RenewalProposal, Result
from actors.ports.store import Away, Committed, Fenced

MAX_BATCH = 512
MAX_BATCH_BYTES = 1024 * 1024

FEW = 16
"""Changes that are not worth two batches."""

Barrier = Callable[[bool], None]
"""Called with True once the fold holds everything that was durable when the barrier was set, or
with False when the store could not be asked."""


class Batch(Struct, eq=False):
    """Changes that were sent together, with the barriers that wait until they are folded.

    `answer` is None until the store has answered.
    """

    proposals: list[AnyProposal]
    barriers: list[Barrier]
    sent_at: float
    answer: Committed | Fenced | Away | None = None


def gather(queue: deque[AnyProposal]) -> list[AnyProposal]:
    """Take the next batch from the queue: half of it, and no proposal that was withdrawn."""
    batch: list[AnyProposal] = []
    size = 0
    limit = min(MAX_BATCH, max(FEW, (len(queue) + 1) // 2))
    while queue and len(batch) < limit and size < MAX_BATCH_BYTES:
        proposal = queue.popleft()
        if proposal.withdrawn:
            settle(proposal, Away("withdrawn"))
            continue
        proposal.sent += 1
        batch.append(proposal)
        size += len(proposal.change.head)
    return batch


def settle(proposal: AnyProposal, result: Result) -> None:
    """Report how a proposal has ended to its proposer."""
    if isinstance(proposal, RenewalProposal):
        proposal.proposer.renewed(proposal, result)
    else:
        proposal.proposer.settled(proposal, result)
