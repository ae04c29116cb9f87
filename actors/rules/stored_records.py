"""Reading stored records, ours and the legacy registry's."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType

from actors.ports.observer import Observer
from homeport_protocol.bounds import STATUSES, Status
from homeport_protocol.codec import decode_record, read_float
from homeport_protocol.record import AgentRecord, Health, unique
from homeport_protocol.texts import composed
from homeport_protocol.timestamps import normalize_timestamp, parse_timestamp


class _Legacy(Struct, frozen=True):
    """The twelve documented fields as the legacy registry wrote them; it checked few of them."""

    id: str
    name: str
    type: str
    registered_at: str
    last_seen: str
    host: str = ""
    port: int = 0
    capabilities: list[str] | None = None
    status: str = "healthy"
    version: str = ""
    metadata: dict[str, Any] | None = None


_legacy = msgspec.json.Decoder(_Legacy, float_hook=read_float)


def read_record(data: bytes) -> AgentRecord:
    """A stored record, ours or the legacy registry's (which has no health, epoch or revision).

    Raises ValueError (msgspec's errors and UnicodeDecodeError among them) or RecursionError when
    the data are no record.
    """
    try:
        record = decode_record(data)
    except msgspec.ValidationError:
        return read_legacy(data)
    for instant in (record.registered_at, record.last_seen, record.health.since):
        parse_timestamp(instant)
    return record


def read_legacy(data: bytes) -> AgentRecord:
    """A record by its documented fields only; raises as `read_record`."""
    return _from_legacy(_legacy.decode(data))


def read_records(stored: list[bytes], observer: Observer) -> list[AgentRecord]:
    """The readable ones; each of the others is reported to `observer`, and left alone."""
    records = []
    for data in stored:
        try:
            records.append(read_record(data))
        except (ValueError, RecursionError):
            observer.unreadable(data)
    return records


def _from_legacy(old: _Legacy) -> AgentRecord:
    status: Status = next((each for each in STATUSES if each == old.status), "healthy")
    last_seen = normalize_timestamp(old.last_seen)
    given = {key: value for key, value in (old.metadata or {}).items() if value is not None}
    metadata: dict[str, Any] | UnsetType = given or UNSET
    reported: Status = "healthy" if status == "unreachable" else status
    match status:
        case "healthy":
            health = Health("http", reported, "ok", last_seen)
        case "unreachable":
            health = Health("http", reported, "heartbeat_timeout", last_seen)
        case "degraded" | "unhealthy":
            health = Health("http", reported, "self_reported", last_seen)
        case _:
            assert_never(status)
    return AgentRecord(
        id=old.id,
        name=composed(old.name),
        type=composed(old.type),
        host=composed(old.host),
        port=old.port,
        capabilities=unique([composed(each) for each in old.capabilities or () if each]),
        status=status,
        version=composed(old.version),
        registered_at=normalize_timestamp(old.registered_at),
        last_seen=last_seen,
        metadata=metadata,
        health=health,
    )
