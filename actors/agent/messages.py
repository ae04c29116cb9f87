"""The messages of an agent's actor: asks are verbs, news is in the past tense.

The `at` of an ask is when it came, on the scheduler's scale; its `reply` is called exactly once.
`session` is None for a caller over HTTP.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, UnsetType

from actors.agent.outcomes import Reply
from actors.log.proposal import Proposal, RenewalProposal, Result
from actors.ports.store import Away, Stored
from actors.rules.permissions import Principal
from homeport_protocol.errors import CloseCode
from homeport_protocol.record import AgentChanges, AgentRecord, AgentSpec


class SessionHandle(Protocol):
    """A session, as its namespace and the agent that it holds see it."""

    @property
    def principal(self) -> Principal:
        """Whom the connection acts for."""
        ...

    @property
    def agent_id(self) -> str | None:
        """The agent that it holds, or is about to."""
        ...

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the session's connection with this code and reason."""
        ...


class HttpCaller(Struct, frozen=True, gc=False):
    """A caller over HTTP: whom it acts for, and the session token that it shows, None if none."""

    principal: Principal
    token: str | None = None


class Register(Struct, frozen=True, gc=False):
    """Begin a lease under this identity, and fence off the session that held it.

    The agent belongs to `principal` from then on. `exclusive`: only if no other session of the
    agent lives.
    """

    session: SessionHandle | None
    spec: AgentSpec
    reply: Reply
    at: float
    principal: Principal
    exclusive: bool = False


class Resume(Struct, frozen=True, gc=False):
    """Hold the registration from a new connection."""

    session: SessionHandle
    token: str
    changes: AgentChanges
    reply: Reply
    at: float
    principal: Principal


class Heartbeat(Struct, frozen=True, gc=False):
    """Renew the lease, and take what the agent reports of itself.

    It comes from a session, or from a `caller` over HTTP.
    """

    session: SessionHandle | None
    changes: AgentChanges
    reply: Reply
    at: float
    caller: HttpCaller | None = None


class Update(Struct, frozen=True, gc=False):
    """Change the record."""

    session: SessionHandle
    changes: AgentChanges
    reply: Reply
    at: float


class Unregister(Struct, frozen=True, gc=False):
    """End the lease now; `caller` as for a heartbeat.

    `by_operator`: whoever holds the agent; an agent that does not exist is an error then.
    """

    session: SessionHandle | None
    reply: Reply
    at: float
    caller: HttpCaller | None = None
    by_operator: bool = False


Ask = Register | Resume | Heartbeat | Update | Unregister


class SocketLost(Struct, frozen=True, gc=False):
    """The session's connection is gone, since `at`."""

    session: SessionHandle
    at: float


class ActivitySeen(Struct, frozen=True, gc=False):
    """The session's peer is active: a pong came, or (`message`) a request that is not an ask."""

    session: SessionHandle
    message: bool


class DeadlineReached(Struct, frozen=True, gc=False):
    """The actor's deadline has passed."""


class Settled(Struct, frozen=True, gc=False):
    """A proposed change has ended, in this result."""

    proposal: Proposal
    result: Result


class Renewed(Struct, frozen=True, gc=False):
    """A proposed renewal has ended, in this result."""

    proposal: RenewalProposal
    result: Result


class Overtaken(Struct, frozen=True, gc=False):
    """Another hub changed the record to this, or (`removed`) ended the lease."""

    record: AgentRecord
    removed: bool


class RenewedElsewhere(Struct, frozen=True, gc=False):
    """Another hub renewed the entry, for a heartbeat that came at `at` on the scheduler's scale.

    `load` is UNSET if that hub told none.
    """

    last_seen: str
    load: float | UnsetType
    at: float


class StoredRead(Struct, frozen=True, gc=False):
    """The store has answered what it holds of the agent."""

    stored: Stored | Away | None


class StoredChanged(Struct, frozen=True, gc=False):
    """A program that is no hub wrote the agent's entry: see what it says."""


class StoredDeleted(Struct, frozen=True, gc=False):
    """A program that is no hub deleted the entry, which a hub wrote at `last_seen`."""

    last_seen: str


class FoundForeign(Struct, frozen=True, gc=False):
    """An active agent that no hub knows, as a program that is none registered it."""

    stored: Stored


class HubsChanged(Struct, frozen=True, gc=False):
    """Another hub may own the agent now."""


class RemovalHeld(Struct, frozen=True, gc=False):
    """Many agents were lost at once: an unreachable one stays listed for longer than its lease."""


class Sweep(Struct, frozen=True, gc=False):
    """Answer the asks that have waited too long."""


class StoreReturned(Struct, frozen=True, gc=False):
    """The store answers again: write what is unwritten."""


class GrantFreshTimeout(Struct, frozen=True, gc=False):
    """The hub was absent: charge that time to no agent."""


class Drain(Struct, frozen=True, gc=False):
    """The hub is stopping: let go of the session."""


News = (
    SocketLost
    | ActivitySeen
    | DeadlineReached
    | Settled
    | Renewed
    | Overtaken
    | RenewedElsewhere
    | StoredRead
    | StoredChanged
    | StoredDeleted
    | FoundForeign
    | HubsChanged
    | RemovalHeld
    | Sweep
    | StoreReturned
    | GrantFreshTimeout
    | Drain
)
Message = Ask | News

Queued = Ask | SocketLost | DeadlineReached | Drain
"""What waits for its turn while a change is under way."""
