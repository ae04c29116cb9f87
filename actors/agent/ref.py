"""The reference to an agent's actor: typed calls that become messages in its mailbox."""

from __future__ import annotations

from msgspec import UnsetType

from actors.agent.messages import (
    ActivitySeen,
    Ask,
    DeadlineReached,
    Drain,
    FoundForeign,
    GrantFreshTimeout,
    Heartbeat,
    HttpCaller,
    HubsChanged,
    Message,
    Overtaken,
    Register,
    RemovalHeld,
    Renewed,
    RenewedElsewhere,
    Resume,
    SessionHandle,
    Settled,
    SocketLost,
    StoredChanged,
    StoredDeleted,
    StoredRead,
    StoreReturned,
    Sweep,
    Unregister,
    Update,
)
from actors.agent.outcomes import Reply
from actors.log.proposal import Proposal, RenewalProposal, Result
from actors.ports.store import Away, Stored
from actors.rules.permissions import Principal
from actors.runtime.dispatch import Ref
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentChanges, AgentRecord, AgentSpec

_GRANT_FRESH_TIMEOUT, _DRAIN, _STORE_RETURNED, _SWEEP = (
    GrantFreshTimeout(),
    Drain(),
    StoreReturned(),
    Sweep(),
)
_DEADLINE_REACHED, _HUBS_CHANGED, _HELD = DeadlineReached(), HubsChanged(), RemovalHeld()
_STORED_CHANGED = StoredChanged()


class AgentRef:
    """Refers to the actor of one agent. Every ask is answered, also after the actor has ended."""

    __slots__ = ("_ref", "agent_id")

    def __init__(self, ref: Ref[Message], agent_id: str) -> None:
        self._ref = ref
        self.agent_id = agent_id

    # Asks; `at` is the scheduler's now.

    def register(
        self,
        session: SessionHandle | None,
        spec: AgentSpec,
        reply: Reply,
        at: float,
        principal: Principal,
        *,
        exclusive: bool = False,
    ) -> None:
        """Answered with a Lease, or a ProtocolError."""
        self._ask(Register(session, spec, reply, at, principal, exclusive))

    def resume(  # noqa: PLR0917 - as the message
        self,
        session: SessionHandle,
        token: str,
        changes: AgentChanges,
        reply: Reply,
        at: float,
        principal: Principal,
    ) -> None:
        """Answered with a Lease, or a ProtocolError."""
        self._ask(Resume(session, token, changes, reply, at, principal))

    def heartbeat(
        self,
        session: SessionHandle | None,
        changes: AgentChanges,
        reply: Reply,
        at: float,
        caller: HttpCaller | None = None,
    ) -> None:
        """Answered with Acknowledged, or a ProtocolError."""
        heartbeat = Heartbeat(session, changes, reply, at, caller)
        if not self._ref.deliver(heartbeat):
            self._refuse(heartbeat)

    def update(
        self, session: SessionHandle, changes: AgentChanges, reply: Reply, at: float
    ) -> None:
        """Answered with Acknowledged, or a ProtocolError."""
        self._ask(Update(session, changes, reply, at))

    def unregister(
        self,
        session: SessionHandle | None,
        reply: Reply,
        at: float,
        caller: HttpCaller | None = None,
    ) -> None:
        """Answered with Acknowledged, or a ProtocolError."""
        self._ask(Unregister(session, reply, at, caller))

    def remove(self, reply: Reply, at: float) -> None:
        """An operator ends the lease. Answered with Acknowledged, or a ProtocolError."""
        self._ask(Unregister(None, reply, at, by_operator=True))

    # News.

    def active(self, session: SessionHandle, *, message: bool) -> None:
        """The session's peer answered a ping, or sent a message that is no ask (`message`)."""
        self._ref.tell(ActivitySeen(session, message))

    def socket_lost(self, session: SessionHandle, at: float) -> None:
        """The connection of the session is gone, since `at`."""
        self._ref.tell(SocketLost(session, at))

    def settled(self, proposal: Proposal, result: Result) -> None:
        """A change that the actor proposed has ended in this result."""
        self._ref.tell(Settled(proposal, result))

    def renewed(self, proposal: RenewalProposal, result: Result) -> None:
        """A renewal that the actor proposed has ended in this result."""
        self._ref.deliver(Renewed(proposal, result))

    def deadline_reached(self) -> None:
        """The actor's deadline has passed."""
        self._ref.tell(_DEADLINE_REACHED)

    def overtaken(self, record: AgentRecord, *, removed: bool) -> None:
        """Another hub's change of the agent has been folded."""
        self._ref.tell(Overtaken(record, removed))

    def renewed_elsewhere(self, last_seen: str, load: float | UnsetType, at: float) -> None:
        """Another hub renewed the entry."""
        self._ref.tell(RenewedElsewhere(last_seen, load, at))

    def stored_read(self, stored: Stored | Away | None) -> None:
        """The store has answered the actor: this is what it holds of the agent."""
        self._ref.tell(StoredRead(stored))

    def stored_changed(self) -> None:
        """A program that is no hub wrote the agent's entry."""
        self._ref.tell(_STORED_CHANGED)

    def stored_deleted(self, last_seen: str) -> None:
        """A program that is no hub deleted the entry, which a hub wrote at `last_seen`."""
        self._ref.tell(StoredDeleted(last_seen))

    def found_foreign(self, stored: Stored) -> None:
        """A program that is no hub registered the agent."""
        self._ref.tell(FoundForeign(stored))

    def hubs_changed(self) -> None:
        """Another hub may own the agent now."""
        self._ref.tell(_HUBS_CHANGED)

    def removal_held(self) -> None:
        """Removal is held: unreachable agents stay listed for longer."""
        self._ref.tell(_HELD)

    def sweep(self) -> None:
        """Something has been waiting for long."""
        self._ref.tell(_SWEEP)

    def store_returned(self) -> None:
        """The store answers again."""
        self._ref.tell(_STORE_RETURNED)

    def grant_fresh_timeout(self) -> None:
        """The hub was absent until now."""
        self._ref.tell(_GRANT_FRESH_TIMEOUT)

    def drain(self) -> None:
        """The hub is stopping."""
        self._ref.tell(_DRAIN)

    def stop(self) -> None:
        """End the actor."""
        self._ref.stop()

    @property
    def waiting(self) -> int:
        """Messages in its mailbox."""
        return self._ref.waiting

    def _ask(self, ask: Ask) -> None:
        if not self._ref.tell(ask):
            self._refuse(ask)

    def _refuse(self, ask: Ask) -> None:
        ask.reply(ProtocolError("not_found", "the agent has just been removed"))
