"""What an agent's actor is told: commands are verbs, news is in the past tense.

The `at` of an ask is when it came, on the scheduler's scale; its `reply` is called exactly once.
`session` is None for a caller over HTTP.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from actors.agent.outcomes import Reply
from actors.log.proposal import Proposal, RenewalProposal, Result
from actors.ports.store import Away, Stored
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentChanges, AgentRecord, AgentSpec


class SessionHandle(Protocol):
    """A session as the agent it holds sees it."""

    def end(self, code: CloseCode, reason: str) -> None:
        """The session is over: close its connection."""
        ...


class Register(Struct, frozen=True, gc=False):
    """Begin a lease under this identity, and fence off whoever held it."""

    session: SessionHandle | None
    spec: AgentSpec
    reply: Reply
    at: float


class Resume(Struct, frozen=True, gc=False):
    """Hold the registration from a new connection."""

    session: SessionHandle
    token: str
    changes: AgentChanges
    reply: Reply
    at: float


class Heartbeat(Struct, frozen=True, gc=False):
    """A sign of life, with what the agent says of itself."""

    session: SessionHandle | None
    changes: AgentChanges
    reply: Reply
    at: float


class Update(Struct, frozen=True, gc=False):
    """Change the record."""

    session: SessionHandle
    changes: AgentChanges
    reply: Reply
    at: float


class Unregister(Struct, frozen=True, gc=False):
    """End the lease now."""

    session: SessionHandle | None
    reply: Reply
    at: float


Ask = Register | Resume | Heartbeat | Update | Unregister


class SocketLost(Struct, frozen=True, gc=False):
    """The session's connection is gone, since `at`."""

    session: SessionHandle
    at: float


class ActivitySeen(Struct, frozen=True, gc=False):
    """The session's peer is active: a pong came, or (`message`) a request to somebody else."""

    session: SessionHandle
    message: bool


class DeadlineReached(Struct, frozen=True, gc=False):
    """The actor's deadline has passed."""


class Settled(Struct, frozen=True, gc=False):
    """A proposed change has ended."""

    proposal: Proposal
    result: Result


class Renewed(Struct, frozen=True, gc=False):
    """A proposed renewal has ended."""

    proposal: RenewalProposal
    result: Result


class Overtaken(Struct, frozen=True, gc=False):
    """Another hub changed the record, or (`removed`) ended the lease: this is what the log says."""

    record: AgentRecord
    removed: bool


class RenewedElsewhere(Struct, frozen=True, gc=False):
    """The agent gave another hub a sign of life: then, on the scheduler's scale."""

    last_seen: str
    at: float


class StoredRead(Struct, frozen=True, gc=False):
    """What the store holds of the agent, after it was asked for."""

    stored: Stored | Away | None


class HubsChanged(Struct, frozen=True, gc=False):
    """Another hub may be in charge now."""


class RemovalHeld(Struct, frozen=True, gc=False):
    """Many agents were lost at once: an unreachable one stays listed for longer."""


class Sweep(Struct, frozen=True, gc=False):
    """Answer the asks that have waited too long."""


class StoreReturned(Struct, frozen=True, gc=False):
    """The store answers again: write what is owed."""


class GrantFreshTimeout(Struct, frozen=True, gc=False):
    """The hub was absent: judge nobody for that time."""


class Drain(Struct, frozen=True, gc=False):
    """The hub is stopping: let go of the websocket."""


News = (
    SocketLost
    | ActivitySeen
    | DeadlineReached
    | Settled
    | Renewed
    | Overtaken
    | RenewedElsewhere
    | StoredRead
    | HubsChanged
    | RemovalHeld
    | Sweep
    | StoreReturned
    | GrantFreshTimeout
    | Drain
)
Message = Ask | News

Queued = Ask | SocketLost | DeadlineReached | Drain
"""What waits its turn while a change is under way."""
