"""What an agent's actor needs of the supervisor it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.log.proposal import AnyProposal
from actors.ports.store import Away, Stored
from actors.runtime.deadlines import Deadlines
from actors.timing import Timing
from homeport_protocol.record import AgentRecord


class AgentContext(Protocol):
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

    def wall(self) -> float:
        """Unix time, to which records refer."""
        ...

    def timestamp(self) -> str: ...

    def propose(self, proposal: AnyProposal) -> None: ...

    def withdraw(self, proposal: AnyProposal) -> None:
        """Do not send it, if it has not been sent."""
        ...

    def new_key(self) -> str:
        """The key of a change that the log will have an entry for."""
        ...

    @property
    def present_since(self) -> float:
        """When the hub's last absence, or the store's, ended."""
        ...

    def was_absent(self) -> bool:
        """Whether the hub was stalled until now; if so, every actor is being absolved."""
        ...

    def set_recently_lost(self, agent_id: str, *, lost: bool) -> None:
        """The agent's connection is lost (or not any more), committed or not."""
        ...

    def count_fenced(self) -> None: ...

    def owns(self, record: AgentRecord) -> bool:
        """Whether this hub judges the agent."""
        ...

    def read_stored(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """Ask the store what it holds of the agent now."""
        ...

    @property
    def holds_removal(self) -> bool:
        """Whether nobody may be removed, because many were lost at once."""
        ...

    def gone(self, agent_id: str) -> None:
        """The actor has ended: its agent is no more, or another hub's."""
        ...

    def superseded(self, agent_id: str, epoch: int) -> None:
        """The store knows a newer session of the agent than that epoch, or its end."""
        ...

    def failed(self, agent_id: str) -> None:
        """The actor has been isolated: take its agent off the directory."""
        ...
