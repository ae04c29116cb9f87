"""The agent record, which is the same everywhere: websocket, HTTP, Redis and Python."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from homeport_protocol.bounds import (
    MAX_INTEGER,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    AgentId,
    AgentType,
    Capabilities,
    Connection,
    Host,
    Load,
    Metadata,
    Name,
    Port,
    Status,
    Version,
)
from homeport_protocol.errors import ProtocolError
from homeport_protocol.texts import compose


class Health(Struct, frozen=True, gc=False):
    """The facts from which an agent's status is derived.

    `since` is the RFC 3339 time at which `status` last changed. `reason` is one of `Reason`; its
    type is `str`, so that older readers accept the reasons of newer hubs.
    """

    connection: Connection
    reported: Status
    reason: str
    since: str


class AgentRecord(Struct, frozen=True, gc=False, kw_only=True):
    """One agent; the fields are in the order of the contract.

    The first twelve are those of the legacy registry; a legacy reader ignores the rest. `host` is
    empty and `port` 0 for an agent that does not listen. `metadata` and `load` are absent when
    unset. Timestamps are RFC 3339 in UTC with `Z`. This type has no bounds, because a record comes
    from a hub that checked it: the types that agents send have them (`AgentSpec`, `AgentChanges`).
    """

    id: str
    name: str
    type: str
    host: str = ""
    port: int = 0
    capabilities: list[str] = []
    status: Status = "healthy"
    version: str = ""
    registered_at: str
    last_seen: str
    metadata: dict[str, Any] | UnsetType = UNSET
    load: float | UnsetType = UNSET
    health: Health
    epoch: int = 1
    hub: str = ""
    revision: int = 0


class AgentSpec(Struct, frozen=True, gc=False, kw_only=True):
    """An agent's description of itself when it registers; its texts are in NFC."""

    name: Name
    type: AgentType
    host: Host | UnsetType = UNSET
    port: Port = 0
    capabilities: Capabilities = []
    version: Version = ""
    metadata: Metadata | UnsetType = UNSET
    status: Status = "healthy"
    load: Load | UnsetType = UNSET

    def __post_init__(self) -> None:
        compose(self)


class AgentChanges(Struct, frozen=True, gc=False, kw_only=True):
    """Fields that an agent may change while it is registered; absent fields are unchanged.

    `metadata` is merged key by key, and `null` deletes a key. `name` and `type` cannot change.
    """

    capabilities: Capabilities | UnsetType = UNSET
    version: Version | UnsetType = UNSET
    host: Host | UnsetType = UNSET
    port: Port | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    load: Load | UnsetType = UNSET


NO_CHANGES = AgentChanges()

_encode = msgspec.json.Encoder().encode


def unique(capabilities: list[str]) -> list[str]:
    """The capabilities without duplicates, in their order."""
    return list(dict.fromkeys(capabilities))


def merge_metadata(
    old: Metadata | UnsetType, changes: Metadata | UnsetType, field: str = "metadata"
) -> Metadata | UnsetType:
    """Merge `changes` into `old` key by key; a value of None deletes its key.

    Returns a new dict, or UNSET when nothing is left. Raises ProtocolError, which names `field`:
    `too_large` beyond 16 KiB encoded, `bad_request` for values that JSON parsers may not accept.
    """
    if changes is UNSET:
        return old
    merged = {} if old is UNSET else dict(old)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    if not merged:
        return UNSET
    _check_values(changes, field, MAX_METADATA_DEPTH)
    size = len(_encode(merged))
    if size > MAX_METADATA_BYTES:
        raise ProtocolError(
            "too_large",
            f"{field} would be {size} bytes encoded; at most {MAX_METADATA_BYTES} are kept, "
            "delete keys by setting them to null",
            field=field,
        )
    return merged


def merges_to_same(old: Metadata | UnsetType, changes: Metadata) -> bool:
    """Whether merging `changes` into `old` would leave it exactly as it is, also in its JSON."""
    known = {} if old is UNSET else old
    for key, value in changes.items():
        if key not in known:
            if value is None:
                continue
            return False
        before = known[key]
        if value is None or type(before) is not type(value):
            return False
        # Texts are most of all; of the rest, `==` takes 1 for true and 1.0 somewhere inside.
        if before != value if type(value) is str else _encode(before) != _encode(value):
            return False
    return True


def same_value(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: as Python's `==`, but `true` is not 1."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            same_value(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _check_values(value: Any, field: str, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            raise ProtocolError(
                "bad_request",
                f"{field} is nested more than {MAX_METADATA_DEPTH} levels deep",
                field=field,
            )
        for child in value.values() if isinstance(value, dict) else value:
            _check_values(child, field, depth - 1)
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ProtocolError(
            "bad_request",
            f"{field} holds an integer beyond what a float can be; send it as a string",
            field=field,
        )


__all__ = [
    "NO_CHANGES",
    "AgentChanges",
    "AgentId",
    "AgentRecord",
    "AgentSpec",
    "Health",
    "merge_metadata",
    "merges_to_same",
    "same_value",
    "unique",
]
