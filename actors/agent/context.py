"""What an agent's actor needs of its namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.log.proposal import AnyProposal
from actors.ports.observer import ForeignWrite
from actors.ports.store import Away, Stored
from actors.rules.takeovers import TakeoverRefusal, Takeovers
from actors.runtime.deadlines import Deadlines
from actors.timing import Timing
from homeport_protocol.record import AgentRecord


class AgentContext(Protocol):
    """What an agent's actor needs of its namespace."""

    @property
    def timing(self) -> Timing:
        """The times of this hub, which it tells to agents that register or resume here."""
        ...

    def timing_of(self, agent_id: str) -> Timing:
        """The times that the agent was told, and by which it is judged."""
        ...

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

    @property
    def why_unanswered(self) -> str:
        """Why the store has not confirmed a change in time, as one phrase."""
        ...

    def unwritten(self, agent_id: str) -> None:
        """Something of the agent waits to be written until the store is back."""
        ...

    @property
    def change_timeout(self) -> float:
        """Seconds that an ask may wait for the store."""
        ...

    @property
    def alone(self) -> bool:
        """Whether there is no other hub, as far as this one knows."""
        ...

    def now(self) -> float: ...

    def wall(self) -> float:
        """Unix time, to which the timestamps of records refer."""
        ...

    def timestamp(self) -> str: ...

    def propose(self, proposal: AnyProposal) -> None: ...

    def new_key(self) -> str:
        """A key for a change that will have an entry in the log."""
        ...

    @property
    def present_since(self) -> float:
        """When the hub's last absence, or the store's, ended."""
        ...

    def was_absent(self) -> bool:
        """Whether the hub was stalled until now; if so, every actor is granted a fresh timeout."""
        ...

    def set_recently_lost(self, agent_id: str, *, lost: bool) -> None:
        """The agent's connection is lost, or is no longer; it may not have been committed yet."""
        ...

    def count_fenced(self) -> None: ...

    @property
    def takeovers(self) -> Takeovers:
        """The takeovers at this hub."""
        ...

    def takeover_refused(self, agent_id: str, refusal: TakeoverRefusal) -> None:
        """A registration was refused, because programs take the id from each other."""
        ...

    def owner_of(self, agent_id: str) -> str:
        """The principal that the agent belongs to; "" for nobody."""
        ...

    def revoked(self, principal_id: str) -> bool:
        """Whether the principal was revoked."""
        ...

    def owns(self, record: AgentRecord) -> bool:
        """Whether this hub owns the agent: watches its silence."""
        ...

    def read_stored(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """Ask the store what it holds of the agent now; None for nothing."""
        ...

    def foreign_write(self, agent_id: str, what: ForeignWrite) -> None:
        """A program that is no hub wrote to the store, and what it wrote was dealt with."""
        ...

    @property
    def holds_removal(self) -> bool:
        """Whether the removal of some agents is held, because many were lost at once."""
        ...

    def held_until(self, agent_id: str) -> float:
        """When the agent may be removed that was lost with many; in the past when it may now."""
        ...

    def admit(self, record: AgentRecord, size: int, before: AgentRecord | None) -> None:
        """Admit a registration, or raise ProtocolError; `before` is the agent's record now."""
        ...

    def check_growth(self, before: AgentRecord, after: AgentRecord) -> None:
        """Raise ProtocolError if the record grows and there is no room for it."""
        ...

    def gone(self, agent_id: str) -> None:
        """The actor has ended: its agent is no more, or another hub owns it."""
        ...

    def registration_lost(self, agent_id: str, epoch: int) -> None:
        """Somebody holds a later registration of the agent than this one, of that epoch."""
        ...

    def superseded(self, agent_id: str, epoch: int) -> None:
        """The store knows of a newer session of the agent than that epoch, or of its end."""
        ...

    def failed(self, agent_id: str) -> None:
        """The actor has been isolated: remove its agent from the directory."""
        ...
