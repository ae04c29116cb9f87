"""What a program that is no hub, such as the legacy registry, wrote as an agent's record.

Such a program knows the documented fields only, so its records have no epoch. It reads JSON numbers
as floats, and writes them back so.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from actors.rules.stored_records import read_legacy
from homeport_protocol.bounds import STATUSES, Metadata, Status
from homeport_protocol.codec import read_float
from homeport_protocol.record import AgentRecord, same_value

INTERVAL, TIMEOUT, TTL = 30.0, 45.0, 60.0
"""Seconds: what the legacy registry tells its agents, and how long it keeps an entry."""

TIMES = f"{INTERVAL!r} {TIMEOUT!r} {TTL!r}"
"""The same, as told times are stored."""


class ForeignRecord(Struct, frozen=True):
    """The record as a hub would have it, without `load` and what hubs add.

    `seen` is its `last_seen` as it is stored, by which the store knows it again. `status` is None
    where it says none that a hub knows.
    """

    record: AgentRecord
    seen: str
    status: Status | None


class _Told(Struct, frozen=True):
    epoch: Any = 0
    last_seen: str = ""
    status: Any = None


_told = msgspec.json.Decoder(_Told, float_hook=read_float)


def is_foreign(data: bytes) -> bool:
    """Whether no hub wrote this record."""
    epoch = _decode(data).epoch
    return isinstance(epoch, bool) or not isinstance(epoch, int | float) or epoch < 1


def foreign_seen(data: bytes) -> str:
    """The `last_seen` as it is stored; "" when that cannot be read."""
    return _decode(data).last_seen


def read_foreign(data: bytes) -> ForeignRecord:
    """A record that `is_foreign`. Raises ValueError or RecursionError when it cannot be read."""
    told = _decode(data)
    status = next((each for each in STATUSES if each == told.status), None)
    return ForeignRecord(read_legacy(data), told.last_seen, status)


def metadata_changes(known: Metadata | UnsetType, foreign: Metadata | UnsetType) -> Metadata:
    """The changes that give `known` what `foreign` says, where floats can tell them apart."""
    before = {} if known is UNSET else known
    after = {} if foreign is UNSET else foreign
    changes: Metadata = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            changes |= {} if value is None else {key: value}  # a null is no key, for a hub
        elif value is None or not same_value(_as_floats(before[key]), value):
            changes[key] = value
    return changes


def _as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _decode(data: bytes) -> _Told:
    try:
        return _told.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Told()
