"""The record of one agent: as it is committed, as it should be, and the change under way."""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET, UnsetType, structs

from actors.agent.context import AgentContext
from actors.log.proposal import AnyProposal, Proposal, RenewalProposal, RenewalProposer
from actors.ports.store import BEGIN_SESSIONS, Change, Operation, Renewal
from actors.rules.foreign_records import TIMES
from actors.rules.liveness import Liveness
from actors.rules.permissions import NOBODY, Principal
from actors.rules.records import (
    amend,
    combine,
    difference,
    head_of,
    kind_of,
    says_nothing_new,
    seen_later,
    with_derived_status,
)
from actors.rules.states import State
from actors.rules.told_times import text_of
from actors.timing import Timing
from homeport_protocol.bounds import Kind
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentChanges, AgentRecord
from homeport_protocol.timestamps import format_timestamp, parse_timestamp


class RecordWriter:
    """Makes changes from the current record and proposes them, one at a time.

    What cannot be written while the store is away stays unwritten. It is kept as changes and not
    as a record, so that it holds whatever becomes of the proposal under way. `logged_in` is the
    log that has an entry for the record, "" when none has.
    """

    __slots__ = (
        "_context",
        "_epoch_floor",
        "_in_flight",
        "_marked_dirty",
        "_overwritten",
        "_proposer",
        "_seen_stored",
        "_status_said",
        "_unwritten",
        "_unwritten_seen",
        "agent_id",
        "committed",
        "logged_in",
        "proposal",
        "renewed_at",
        "timing",
    )

    def __init__(self, context: AgentContext, proposer: RenewalProposer, agent_id: str) -> None:
        self._context = context
        self._proposer = proposer
        self._unwritten: AgentChanges | None = None
        self._in_flight: AgentChanges | None = None  # the part of it that the proposal writes
        self._unwritten_seen = ""  # when the last heartbeat came that is unwritten
        self._status_said = ""  # when the last one came that says a status, as long as it is
        self._marked_dirty = False
        self._seen_stored = ("", "")  # the `last_seen` known here, and the one that was stored then
        self._overwritten: str | None = None  # the `last_seen` that a program that is no hub wrote
        self._epoch_floor = 0  # the last epoch of an earlier registration of this identity
        self.agent_id = agent_id
        self.committed: AgentRecord | None = None
        self.logged_in = ""
        self.proposal: AnyProposal | None = None
        self.renewed_at = context.now()
        self.timing = context.timing_of(agent_id)
        """The times by which the agent is judged: those that it was told."""

    @property
    def current(self) -> AgentRecord | None:
        """The committed record with what is unwritten applied to it."""
        record = self.committed
        if record is None or self._unwritten is None:
            return record
        try:
            record = amend(record, self._unwritten)
        except ProtocolError:  # with an update that came between, the metadata are too large
            record = amend(record, structs.replace(self._unwritten, metadata=UNSET))
        return structs.replace(record, last_seen=max(record.last_seen, self._unwritten_seen))

    @property
    def revision(self) -> int:
        """The change that last touched the committed record."""
        return 0 if self.committed is None else self.committed.revision

    @property
    def dirty(self) -> bool:
        """Whether the store or the log may be behind what the record should be."""
        return (
            self._marked_dirty or self._unwritten is not None or self.logged_in != self._context.log
        )

    # --- the record ------------------------------------------------------------------------------

    def adopt(self, record: AgentRecord, log: str) -> None:
        """Take over a stored record; `log` is the log that has an entry for it, or ""."""
        self.committed = record
        self.logged_in = log
        self.take_times()

    def take_times(self) -> None:
        """Judge the agent by what it was told last, as far as that is known here."""
        self.timing = self._context.timing_of(self.agent_id)

    def overtaken(self, record: AgentRecord) -> None:
        """Another hub changed the record to this; the log has an entry for it."""
        self.adopt(record, self._context.log)

    def status_said_since(self, record: AgentRecord) -> bool:
        """Whether the agent said a status here that is unwritten, after this record was made."""
        return self._status_said > record.last_seen

    def turned_back(self, record: AgentRecord, known: AgentRecord) -> None:
        """Another hub put this back, and knew less than is known here: the rest is unwritten."""
        self.overtaken(record)
        self._unwritten_seen = max(self._unwritten_seen, known.last_seen)
        lost = difference(record, known)
        if self.proposal is None:
            self._unwritten = combine(lost, self._unwritten or NO_CHANGES)
        else:  # it has all that is known here: the rest is unwritten if it is refused
            self._in_flight = combine(lost, self._in_flight or NO_CHANGES)

    def renewed_elsewhere(self, last_seen: str, load: float | UnsetType) -> None:
        """Another hub renewed the entry: what is written next must not turn that back."""
        record = self.committed
        if record is not None and last_seen > record.last_seen:
            self.committed = seen_later(record, last_seen, load)

    def stored_as(self, record: AgentRecord) -> None:
        """The store holds this; it differs from what is known here in no more than a renewal does.

        It is right whatever its `last_seen` says, which is of another hub's clock.
        """
        assert self.committed is not None
        last_seen = max(self.committed.last_seen, record.last_seen)
        self.committed = structs.replace(self.committed, last_seen=last_seen, load=record.load)
        self._seen_stored = (last_seen, record.last_seen)

    def overwritten_by_others(self, last_seen: str) -> None:
        """A program that is no hub wrote the entry, with that `last_seen` ("": not readable).

        Only a change that knows of it is applied, so that nothing is lost which that program says.
        """
        self._overwritten = last_seen

    def release(self) -> None:
        """The agent is no more, or not this hub's."""
        if self.committed is not None:
            self._epoch_floor = self.committed.epoch
        self.committed = self._unwritten = self._in_flight = self._overwritten = None
        self._status_said = ""
        self._marked_dirty = False

    def registered_elsewhere(self, record: AgentRecord) -> None:
        """Another hub has registered the identity while it is being registered here."""
        self._epoch_floor = max(self._epoch_floor, record.epoch)

    def is_newborn(self, change: Change) -> bool:
        """Whether the identity was no agent's when it was registered with this change."""
        return self.committed is None and self._epoch_floor == change.epoch

    def mark_dirty(self) -> None:
        """The store may not hold what it should: put it back when there is time."""
        self._marked_dirty = True
        self._context.unwritten(self.agent_id)

    def keep_unwritten(self, changes: AgentChanges) -> None:
        """A heartbeat came that cannot be written now: write later what it says.

        The agent lives: if its removal is under way and has not been sent yet, it is withdrawn.
        """
        self._unwritten = combine(self._unwritten or NO_CHANGES, changes)
        self._unwritten_seen = self._context.timestamp()
        if changes.status is not UNSET:
            self._status_said = self._unwritten_seen
        self._context.unwritten(self.agent_id)
        if isinstance(self.proposal, Proposal) and self.proposal.change.kind == "expired":
            self.withdraw()

    def with_status(self, record: AgentRecord, liveness: Liveness) -> AgentRecord:
        """The record with the status and health that follow from the agent's liveness."""
        derived, timestamp = liveness.derived_status(), self._context.timestamp
        return with_derived_status(record, self.committed, derived, liveness.reported, timestamp)

    def refreshed(self, record: AgentRecord, liveness: Liveness) -> AgentRecord:
        """The record of an agent that is active now, with its status."""
        record = self.with_status(record, liveness)
        return structs.replace(record, last_seen=self._context.timestamp())

    # --- proposing -------------------------------------------------------------------------------

    def only_renews(self, changes: AgentChanges, liveness: Liveness, *, over_http: bool) -> bool:
        """Whether a heartbeat only moves on `last_seen` and `load`, and nothing else is unwritten.

        It must come from the agent's session or (`over_http`) from no session.
        """
        record = self.committed
        if record is None or self.dirty:
            return False
        return liveness.agrees(record, over_http=over_http) and (
            changes is NO_CHANGES or says_nothing_new(record, changes)
        )

    def renew(self, load: float | UnsetType, liveness: Liveness, born: float) -> None:
        """Propose to renew the entry for heartbeats of which `only_renews` holds.

        `load` is the newest that they say, if any.
        """
        context, record = self._context, self.committed
        assert record is not None
        self._in_flight = None
        if load is UNSET:
            record = structs.replace(record, last_seen=context.timestamp())
        else:
            record = structs.replace(record, last_seen=context.timestamp(), load=load)
        self._renew(record, liveness, self.timing.lease_ttl, born)

    def write(self, record: AgentRecord, liveness: Liveness, born: float | None = None) -> None:
        """Propose a record made from the current one; a renewal if `kind_of` finds no change."""
        kind = self._kind(record)
        if kind is None:
            self._in_flight, self._unwritten = self._unwritten, None
            born = self._context.now() if born is None else born
            self._renew(record, liveness, self._ttl(liveness, self.timing), born)
        else:
            self.commit("write", kind, record, liveness, born=born)

    def put_back(self, liveness: Liveness) -> None:
        """Propose the record whatever has become of the stored one, with an entry if need be."""
        record = self.current
        assert record is not None
        record = self.with_status(record, liveness)
        self.commit("restore", self._kind(record), record, liveness)

    def write_unreachable(self, record: AgentRecord, liveness: Liveness, last_seen: str) -> None:
        """Propose that the agent is unreachable, for its silence.

        The change is refused as stale when the stored `last_seen` is another ("": it may be any).
        """
        record = self.with_status(record, liveness)
        kind = self._kind(record)
        if kind is None:
            self.write(record, liveness)
        else:
            self.commit("write", kind, record, liveness, seen=last_seen)

    def write_again(self, refused: AnyProposal, liveness: Liveness) -> None:
        """The entry had run out or was deleted; its owner is here and puts it back."""
        change = refused.change
        operation: Operation = "restore"
        kind = self._kind(refused.record)
        if isinstance(change, Change):
            kind = change.kind or kind
            if change.operation == "resume":
                operation = "register"
        self._propose(operation, kind, refused.record, liveness, change.hub, refused.born, "")
        assert self.proposal is not None
        self.proposal.sent = refused.sent

    def commit(
        self,
        operation: Operation,
        kind: Kind | None,
        record: AgentRecord,
        liveness: Liveness,
        *,
        hub: str | None = None,
        born: float | None = None,
        seen: str = "",
        head: bytes | None = None,
        principal: Principal | None = None,
    ) -> None:
        """Propose a change made from the current record, whose `head` may be known.

        With `principal`, the agent belongs to it from then on. `hub` is the hub that holds the
        agent's session; if None, the one that held it before, or
        "" for an agent that comes over HTTP. `born` is when the oldest ask came that it answers.
        """
        self._in_flight, self._unwritten = self._unwritten, None
        if hub is None:
            held_by = "" if self.committed is None else self.committed.hub
            hub = "" if liveness.over_http else held_by or self._context.hub_id
        if born is None:
            born = self._context.now()
        self._propose(operation, kind, record, liveness, hub, born, seen, head, principal)

    def withdraw(self) -> None:
        """Do not make the change under way, if it can still be stopped."""
        if self.proposal is not None:
            self.proposal.withdrawn = True

    # --- results ---------------------------------------------------------------------------------

    def applied(self, record: AgentRecord, *, logged: bool) -> None:
        """The proposal is durable as this record; `logged` if the log has an entry for it."""
        self.committed = record
        self._in_flight = self._overwritten = None
        if self._unwritten is None:
            self._status_said = ""
        self.renewed_at = self._context.now()
        if logged:
            self.logged_in = self._context.log

    def not_made(self) -> None:
        """The proposal was not made: what it carried is unwritten again, and written later."""
        self.refused()
        self._marked_dirty = True

    def refused(self) -> None:
        """The proposal was refused: what it carried is unwritten again."""
        carried, later = self._in_flight, self._unwritten
        self._in_flight = None
        if carried is not None:
            self._unwritten = carried
            if later is not None:
                self.keep_unwritten(later)

    def give_up(self) -> None:
        """Drop what is unwritten: trying again would end the same way."""
        self._unwritten = self._in_flight = None
        self._status_said = ""
        self._marked_dirty = False
        self.logged_in = self._context.log

    # --- within ----------------------------------------------------------------------------------

    def _propose(  # noqa: PLR0917 - all of it is what the change is
        self,
        operation: Operation,
        kind: Kind | None,
        record: AgentRecord,
        liveness: Liveness,
        hub: str,
        born: float,
        seen: str,
        head: bytes | None = None,
        principal: Principal | None = None,
    ) -> None:
        context, committed = self._context, self.committed
        if self._overwritten is None or operation not in ("write", "restore"):
            seen = seen or self._seen_by_others(operation)
        else:
            seen = self._overwritten
            operation = operation if seen else "restore"  # which is applied to whatever is stored
        told = operation in BEGIN_SESSIONS
        timing = context.timing if told else self.timing
        change = Change(
            operation=operation,
            kind=kind or "",
            agent_id=self.agent_id,
            epoch=self._epoch_floor if committed is None else committed.epoch,
            head=head or head_of(record),
            hub=hub,
            ttl=self._ttl(liveness, timing),
            key=context.new_key() if kind else "",
            revision=0 if committed is None else committed.revision,
            seen=seen,
            times=self._times(operation, timing),
            owner=self._owner(operation, kind) if principal is None else principal.id,
            only_own=principal is not None
            and not principal.governs_all
            and not context.revoked(context.owner_of(self.agent_id)),
            load=record.load,
        )
        self._marked_dirty = False
        self.proposal = proposal = Proposal(change, record, self._proposer, born)
        context.propose(proposal)

    @staticmethod
    def _times(operation: Operation, timing: Timing) -> str:
        """What the agent is told by the change, or was told before; "" when that stays."""
        match operation:
            case "register" | "claim" | "resume" | "restore":
                return text_of(timing)
            case "adopt":
                return TIMES
            case "write" | "remove":
                return ""
            case _:
                assert_never(operation)

    def _owner(self, operation: Operation, kind: Kind | None) -> str | None:
        """The principal that the agent belongs to as before; None where that stays as stored.

        An entry of the log that says `registered` says whose the agent is, whatever made it.
        """
        match operation:
            case "resume" | "write" if kind == "registered":
                return self._context.owner_of(self.agent_id)
            case "register" | "claim" | "restore":
                return self._context.owner_of(self.agent_id)
            case "adopt":
                return NOBODY
            case "resume" | "write" | "remove":
                return None
            case _:
                assert_never(operation)

    def _seen_by_others(self, operation: Operation) -> str:
        """The `last_seen` that the store must still have: another hub may have renewed the entry.

        Its readings are not in the log, and must not be turned back. "" when any may be stored.
        """
        committed = self.committed
        if committed is None or operation in ("register", "claim", "remove"):
            return ""
        if committed.hub == self._context.hub_id:
            return ""  # whatever renewed it came through here
        known, stored = self._seen_stored
        return stored if known == committed.last_seen else committed.last_seen

    def _seen_last(self, record: AgentRecord) -> AgentRecord:
        """The record, seen after the committed one even if that is of a hub whose clock is ahead.

        Other hubs would take it for older than what they know.
        """
        known = "" if self.committed is None else self.committed.last_seen
        if record.last_seen > known:
            return record
        later = format_timestamp(parse_timestamp(known) + 1e-6)
        return structs.replace(record, last_seen=later)

    def _renew(self, record: AgentRecord, liveness: Liveness, ttl: float, born: float) -> None:
        context = self._context
        hub = "" if liveness.over_http else record.hub or context.hub_id
        if self._overwritten is not None or (record.hub != context.hub_id and not context.alone):
            record = self._seen_last(record)
            self._propose("write", None, record, liveness, hub, born, "")
            return
        renewal = Renewal(
            agent_id=self.agent_id,
            epoch=record.epoch,
            head=head_of(record),
            hub=hub,
            ttl=ttl,
            revision=record.revision,
            load=record.load,
        )
        self._marked_dirty = False
        self.proposal = proposal = RenewalProposal(renewal, record, self._proposer, born)
        context.propose(proposal)

    def _ttl(self, liveness: Liveness, timing: Timing) -> float:
        held = liveness.state is State.UNREACHABLE and self._context.holds_removal
        return liveness.storage_ttl(self._context.now(), timing, removal_held=held)

    def _kind(self, record: AgentRecord) -> Kind | None:
        """The log entry that the record needs; None when only `last_seen` moved on."""
        committed = self.committed
        if committed is None or self.logged_in != self._context.log:
            return "registered"
        if record.health.connection == "lost" and committed.status == record.status:
            before, now = committed.health, record.health
            if before.connection == "websocket" or (
                before.reason == "draining" and now.reason != "draining"
            ):
                return "lost"
        return kind_of(committed, record)
