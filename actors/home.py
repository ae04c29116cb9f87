"""What an agent's actor needs of the supervisor it belongs to."""

from __future__ import annotations

from typing import Protocol

from actors.committer import Proposal, Proposer
from actors.deadlines import Deadlines
from actors.timing import Timing
from protocol.record import AgentRecord


class Home(Protocol):
    """What an agent's actor needs of the supervisor it belongs to."""

    @property
    def timing(self) -> Timing: ...

    @property
    def hub_id(self) -> str: ...

    @property
    def secret(self) -> bytes: ...

    @property
    def deadlines(self) -> Deadlines: ...

    @property
    def log(self) -> str: ...

    @property
    def store_is_away(self) -> bool: ...

    def now(self) -> float: ...

    def timestamp(self) -> str: ...

    def propose(self, proposal: Proposal) -> None: ...

    @property
    def present_since(self) -> float:
        """When the hub's last absence, or the store's, ended."""
        ...

    def was_absent(self) -> bool:
        """Whether the hub was stalled until now; if so, every actor is being absolved."""
        ...

    def doubt(self, agent_id: str, *, doubtful: bool) -> None:
        """The agent's connection is lost (or not any more), committed or not."""
        ...

    def count_fenced(self) -> None: ...

    def gone(self, agent_id: str, epoch: int) -> None:
        """The actor has ended; `epoch` is the last one of its agent, 0 when it never had one."""
        ...

    def failed(self, agent_id: str, record: AgentRecord | None, under_way: Proposal | None) -> None:
        """The actor has been isolated; `record` is the last committed one."""
        ...


class Me(Proposer, Protocol):
    """The actor's own reference: what it sends itself goes through its mailbox."""

    @property
    def waiting(self) -> int: ...

    def deadline_reached(self) -> None: ...
