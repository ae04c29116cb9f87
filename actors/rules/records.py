"""How the brain makes records: new ones, amended, compared, and cut for the store."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from msgspec import UNSET, UnsetType, structs

from actors.rules.states import DerivedStatus
from homeport_protocol.bounds import Kind
from homeport_protocol.codec import encode
from homeport_protocol.record import (
    AgentChanges,
    AgentRecord,
    AgentSpec,
    Health,
    merge_metadata,
    merges_to_same,
    same_value,
    unique,
)

WORDS = 4096
"""Words that agents have in common are kept once; at most so many, the newest."""

CHANGEABLE = tuple(name for name in AgentChanges.__struct_fields__ if name != "status")
"""The fields of a record that its agent may change; the status is derived from what it reports."""

_shared = lru_cache(WORDS)(str)  # not `sys.intern`: Python 3.12 never frees those


def new_record(
    agent_id: str, spec: AgentSpec, derived: DerivedStatus, now: str, field: str = "agent.metadata"
) -> AgentRecord:
    """The record of a registration made at `now`; epoch, hub and revision come later.

    `field` names the metadata in errors. Raises ProtocolError for metadata that may not be kept.
    """
    return AgentRecord(
        id=agent_id,
        name=spec.name,
        type=_shared(spec.type),
        host="" if spec.host is UNSET else _shared(spec.host),
        port=spec.port,
        capabilities=[_shared(each) for each in unique(spec.capabilities)],
        status=derived.status,
        version=_shared(spec.version),
        registered_at=now,
        last_seen=now,
        metadata=merge_metadata(UNSET, spec.metadata, field),
        load=spec.load,
        health=Health(derived.connection, spec.status, derived.reason, now),
    )


def amend(record: AgentRecord, changes: AgentChanges, field: str = "metadata") -> AgentRecord:
    """The record with the changes applied, all but `status`, which is derived, not set.

    `field` names the metadata in errors. Raises ProtocolError as `merge_metadata`.
    """
    updates: dict[str, object] = {}  # by hand for speed: tests/actors/test_fields.py has them all
    if changes.capabilities is not UNSET:
        updates["capabilities"] = unique(changes.capabilities)
    if changes.version is not UNSET:
        updates["version"] = changes.version
    if changes.host is not UNSET:
        updates["host"] = changes.host
    if changes.port is not UNSET:
        updates["port"] = changes.port
    if changes.load is not UNSET:
        updates["load"] = changes.load
    if changes.metadata is not UNSET:
        updates["metadata"] = merge_metadata(record.metadata, changes.metadata, field)
    return structs.replace(record, **updates) if updates else record


def combine(earlier: AgentChanges, later: AgentChanges) -> AgentChanges:
    """One change that does what both do, one after the other; without `status`."""
    fields = {name: getattr(later, name) for name in CHANGEABLE}
    for name, value in fields.items():
        before = getattr(earlier, name)
        if value is UNSET:
            fields[name] = before
        elif name == "metadata" and before is not UNSET:
            fields[name] = {**before, **value}
    return AgentChanges(**fields)


def difference(old: AgentRecord, new: AgentRecord) -> AgentChanges:
    """The changes that give `old` what the agent says of itself in `new`; without `status`."""
    fields = {name: getattr(new, name) for name in CHANGEABLE}
    for name, value in fields.items():
        before = getattr(old, name)
        if name != "metadata":
            fields[name] = UNSET if value == before else value
        elif same_value(before, value):
            fields[name] = UNSET
        else:
            deleted = {} if before is UNSET else dict.fromkeys(before)
            fields[name] = deleted | ({} if value is UNSET else value)
    return AgentChanges(**fields)


def with_derived_status(
    record: AgentRecord,
    committed: AgentRecord | None,
    derived: DerivedStatus,
    reported: str,
    timestamp: Callable[[], str],
) -> AgentRecord:
    """The record with its status and health; `since` moves only when the status changes."""
    if committed is not None and committed.status == derived.status:
        since = committed.health.since
    else:
        since = timestamp()
    health = Health(derived.connection, reported, derived.reason, since)  # type: ignore[arg-type]
    if record.status == derived.status and record.health == health:
        return record
    return structs.replace(record, status=derived.status, health=health)


def seen_later(record: AgentRecord, last_seen: str, load: float | UnsetType) -> AgentRecord:
    """The record as another hub renewed it; `load` is UNSET if that hub told none."""
    if load is UNSET:
        load = record.load
    return structs.replace(record, last_seen=last_seen, load=load)


def says_nothing_new(record: AgentRecord, changes: AgentChanges) -> bool:
    """Whether a heartbeat that says `changes` leaves its record as it is.

    All but `last_seen` and `load`, which is a reading and no change. The record must be that of an
    active agent: then its status follows from what the agent reports.
    """
    status, metadata = changes.status, changes.metadata
    return (status is UNSET or status == record.health.reported) and (
        metadata is UNSET or merges_to_same(record.metadata, metadata)
    )


def kind_of(old: AgentRecord, new: AgentRecord) -> Kind | None:
    """The event for the difference; None when only `last_seen` and `load` moved on."""
    if old.status != new.status:
        return "status_changed"
    if (
        old.health != new.health
        or not same_value(old.metadata, new.metadata)
        or old.capabilities != new.capabilities
        or old.version != new.version
        or old.host != new.host
        or old.port != new.port
    ):
        return "updated"
    return None


def supersedes(record: AgentRecord, other: AgentRecord) -> bool:
    """Whether `record` is a later state of the agent than `other`.

    It is when the store, holding `record`, would refuse to have `other` put back. It also is when
    it belongs to a later registration, which may have the lower epoch and revision after the store
    lost data.
    """
    return (
        record.epoch > other.epoch
        or record.revision > other.revision
        or record.registered_at > other.registered_at
    )


def head_of(record: AgentRecord) -> bytes:
    """The record's JSON up to and including `health`: the store adds the rest."""
    data = encode(record)
    # The last occurrence: the rest holds no such text, and metadata that do stand before it.
    return data[: data.rindex(b',"epoch":')]


def complete(head: bytes, epoch: int, hub: str, revision: int) -> bytes:
    """The record's whole JSON, byte for byte what the store's script makes of `head`."""
    return b'%s,"epoch":%d,"hub":"%s","revision":%d}' % (head, epoch, hub.encode(), revision)


def completed(record: AgentRecord) -> bytes:
    """The record's whole JSON."""
    return complete(head_of(record), record.epoch, record.hub, record.revision)
