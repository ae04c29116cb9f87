"""The record of one agent: as it is committed, as it should be, and the change under way."""

from __future__ import annotations

from msgspec import UNSET, structs

from actors.agent.context import AgentContext, SelfRef
from actors.log.proposal import Proposal
from actors.ports.clock import INFINITE
from actors.ports.store import Change, Operation
from actors.rules.liveness import Liveness
from actors.rules.records import amend, head_of, judged, kind_of
from actors.rules.states import State
from homeport_protocol.bounds import Kind
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentChanges, AgentRecord


class RecordWriter:
    """Makes changes from the current record and proposes them, one at a time.

    What could not be written because the store was away is owed: kept as changes and not as a
    record, so that it holds whatever becomes of the change under way. `logged_in` is the log that
    tells of the record, "" when none does.
    """

    __slots__ = (
        "_agent_id",
        "_carried",
        "_epoch_floor",
        "_home",
        "_me",
        "_owed",
        "_seen_at",
        "_stale",
        "committed",
        "logged_in",
        "proposal",
        "renewed_at",
    )

    def __init__(self, home: AgentContext, me: SelfRef, agent_id: str) -> None:
        self._home = home
        self._me = me
        self._agent_id = agent_id
        self._owed: AgentChanges | None = None
        self._carried: AgentChanges | None = None  # what the change under way has of it
        self._seen_at = ""  # when the owed sign of life came
        self._stale = False
        self._epoch_floor = 0  # the last epoch of an earlier life of this identity
        self.committed: AgentRecord | None = None
        self.logged_in = ""
        self.proposal: Proposal | None = None
        self.renewed_at = home.now()

    @property
    def current(self) -> AgentRecord | None:
        """The committed record with what is owed to it."""
        record = self.committed
        if record is None or self._owed is None:
            return record
        try:
            record = amend(record, self._owed)
        except ProtocolError:  # with an update that came between, the metadata are too large
            record = amend(record, AgentChanges(load=self._owed.load))
        return structs.replace(record, last_seen=max(record.last_seen, self._seen_at))

    @property
    def revision(self) -> int:
        """The change that last touched the committed record."""
        return 0 if self.committed is None else self.committed.revision

    @property
    def owes(self) -> bool:
        """Whether the store or the log may be behind what the record should be."""
        return self._stale or self._owed is not None or self.logged_in != self._home.log

    def adopt(self, record: AgentRecord, log: str) -> None:
        """Take over a stored record that `log` tells of."""
        self.committed = record
        self.logged_in = log

    def overtaken(self, record: AgentRecord) -> None:
        """Another hub made this of the record; the log tells of it."""
        self.adopt(record, self._home.log)

    def seen_elsewhere(self, last_seen: str) -> None:
        """Another hub renewed the entry: what is written next must not turn that back."""
        record = self.committed
        if record is not None and last_seen > record.last_seen:
            self.committed = structs.replace(record, last_seen=last_seen)

    def owe(self, changes: AgentChanges) -> None:
        """A sign of life came that cannot be written now."""
        owed = self._owed or NO_CHANGES
        metadata = changes.metadata
        if metadata is UNSET:
            metadata = owed.metadata
        elif owed.metadata is not UNSET:
            metadata = {**owed.metadata, **metadata}
        load = owed.load if changes.load is UNSET else changes.load
        self._owed = AgentChanges(metadata=metadata, load=load)
        self._seen_at = self._home.timestamp()

    def stale(self) -> None:
        """The store may not have what it should; put it back when there is time."""
        self._stale = True

    def told(self, record: AgentRecord, life: Liveness) -> AgentRecord:
        """The record with what the agent's life makes of its status and health."""
        return judged(record, self.committed, life.verdict(), life.reported, self._home.timestamp)

    def seen(self, record: AgentRecord, life: Liveness) -> AgentRecord:
        """The record of an agent that has just given a sign of life."""
        return structs.replace(self.told(record, life), last_seen=self._home.timestamp())

    def only_seen(self, life: Liveness, *, over_http: bool) -> bool:
        """Whether a sign of life moves nothing but `last_seen`, and nothing else is owed."""
        record = self.committed
        return record is not None and not self.owes and life.agrees(record, over_http=over_http)

    def renew(self, life: Liveness, born: float) -> None:
        """Commit that the agent gave a sign of life; `only_seen` holds."""
        home, record = self._home, self.committed
        assert record is not None
        record = structs.replace(record, last_seen=home.timestamp())
        self._carried = None
        self._send(
            Change(
                operation="renew",
                kind="",
                agent_id=self._agent_id,
                epoch=record.epoch,
                head=head_of(record),
                hub="" if life.over_http else record.hub or home.hub_id,
                ttl=home.timing.lease_ttl,
                revision=record.revision,
            ),
            record,
            born,
        )

    def write(self, record: AgentRecord, life: Liveness, born: float | None = None) -> None:
        """Commit a record made from the current one, with the event that tells of it, if any."""
        kind = self._kind(record)
        self.commit("write" if kind else "renew", kind, record, life, born=born)

    def put_back(self, life: Liveness) -> None:
        """Write the record whatever has become of the stored one, and log it if need be."""
        record = self.current
        assert record is not None
        record = self.told(record, life)
        self.commit("restore", self._kind(record), record, life)

    def judge(self, record: AgentRecord, life: Liveness, seen: str) -> None:
        """Write a verdict, which holds only if the agent was last seen then ("": in any case)."""
        record = self.told(record, life)
        kind = self._kind(record)
        self.commit("write" if kind else "renew", kind, record, life, seen=seen)

    def write_again(self, refused: Proposal, life: Liveness) -> None:
        """The entry had run out or was deleted; its owner is here and puts it back."""
        change = refused.change
        operation: Operation = "register" if change.operation == "resume" else "restore"
        kind = change.kind or self._kind(refused.record)
        self._propose(operation, kind, refused.record, life, change.hub, refused.born, "")

    def commit(
        self,
        operation: Operation,
        kind: Kind | None,
        record: AgentRecord,
        life: Liveness,
        *,
        hub: str | None = None,
        born: float | None = None,
        seen: str = "",
    ) -> None:
        """Propose a change made from the current record.

        `hub` is who holds the agent's session; if None, who held it before, or nobody for an
        agent that comes over HTTP. `born` is when the oldest ask came that it answers.
        """
        self._carried, self._owed = self._owed, None
        if hub is None:
            held_by = "" if self.committed is None else self.committed.hub
            hub = "" if life.over_http else held_by or self._home.hub_id
        if born is None:
            born = self._home.now()
        self._propose(operation, kind, record, life, hub, born, seen)

    def applied(self, proposal: Proposal) -> None:
        """The change is durable."""
        self.committed = proposal.record
        self._carried = None
        self.renewed_at = self._home.now()
        if proposal.change.kind:
            self.logged_in = self._home.log

    def take_back(self, before: AgentRecord, life: Liveness) -> None:
        """A change is durable that its asker had been told was not made: make it undone."""
        made = self.current
        assert made is not None
        record = structs.replace(
            made,
            capabilities=before.capabilities,
            version=before.version,
            host=before.host,
            port=before.port,
            metadata=before.metadata,
            load=before.load,
        )
        if self._owed is not None:
            record = amend(record, self._owed)
        self.write(self.told(record, life), life)

    def withdrawn(self) -> None:
        """The change will not be made; what it carried is owed still, and written later."""
        self.refused()
        self._stale = True

    def refused(self) -> None:
        """The change will not be made; what it carried is owed still."""
        carried, later = self._carried, self._owed
        self._carried = None
        if carried is not None:
            self._owed = carried
            if later is not None:
                self.owe(later)

    def revert(self) -> None:
        """Owe nothing: trying again would end the same way."""
        self._owed = self._carried = None
        self._stale = False
        self.logged_in = self._home.log

    def release(self) -> None:
        """The agent is no more, or not this hub's."""
        if self.committed is not None:
            self._epoch_floor = self.committed.epoch
        self.committed = self._owed = self._carried = None
        self._stale = False

    def _propose(  # noqa: PLR0917 - all of it is what the change is
        self,
        operation: Operation,
        kind: Kind | None,
        record: AgentRecord,
        life: Liveness,
        hub: str,
        born: float,
        seen: str,
    ) -> None:
        home, committed = self._home, self.committed
        ttl = home.timing.lease_ttl
        if life.state in (State.LOST, State.UNREACHABLE):
            # While it is listed, it is stored.
            until = life.deadline(home.timing)
            if until < INFINITE:
                ttl = max(ttl, until - home.now())
            if life.state is State.UNREACHABLE and home.holds_removal:
                ttl += home.timing.lease_ttl
        change = Change(
            operation=operation,
            kind=kind or "",
            agent_id=self._agent_id,
            epoch=self._epoch_floor if committed is None else committed.epoch,
            head=head_of(record),
            hub=hub,
            ttl=ttl,
            revision=self.revision,
            seen=seen,
        )
        self._send(change, record, born)

    def _send(self, change: Change, record: AgentRecord, born: float) -> None:
        self._stale = False
        self.proposal = Proposal(change, record, self._me, born)
        self._home.propose(self.proposal)

    def _kind(self, record: AgentRecord) -> Kind | None:
        committed = self.committed
        if committed is None or self.logged_in != self._home.log:
            return "registered"
        if (committed.health.connection, record.health.connection) == ("websocket", "lost") and (
            committed.status == record.status
        ):
            return "lost"
        return kind_of(committed, record)
