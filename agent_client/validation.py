"""Checks of what users pass in against the contract's bounds, before anything is sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import msgspec
from msgspec import UNSET

from agent_client.errors import BadRequest, from_protocol
from homeport_protocol.bounds import UUID, Kind, Kinds, Status
from homeport_protocol.codec import convert, decode_json
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentChanges, AgentSpec

T = TypeVar("T")

_spec = msgspec.json.Decoder(AgentSpec)
_changes = msgspec.json.Decoder(AgentChanges)


class FilterKeys(TypedDict, total=False):
    """A filter's keys as keyword arguments; `Filter` says what each means."""

    type: str
    name: str
    capabilities: Sequence[str]
    any_capability: Sequence[str]
    status: Status | Sequence[Status]
    host: str
    version: str
    metadata: Mapping[str, Any]


def spec_from(**values: Any) -> AgentSpec:
    """The values of a registration; None counts as absent. Raises BadRequest naming the field."""
    return _checked(AgentSpec, _spec, values)


def changes_from(**values: Any) -> AgentChanges:
    """The values of an update; None counts as absent. Raises BadRequest naming the field."""
    return _checked(AgentChanges, _changes, values)


def checked_id(agent_id: str) -> str:
    """Return `agent_id`; raises BadRequest unless it is a UUID."""
    if not re.fullmatch(UUID, str(agent_id)):
        raise BadRequest(
            f"agent_id: expected a UUID such as {uuid.uuid4()}, got {str(agent_id)[:64]!r}",
            field="agent_id",
        )
    return str(agent_id)


def as_filter(filter: Filter | Mapping[str, Any] | None, keys: Mapping[str, Any]) -> Filter:
    """The filter to send: `keys` on top of `filter`, which may be a `Filter` or a mapping.

    Raises BadRequest naming the key that is unknown or out of bounds.
    """
    values: dict[str, Any] = {}
    if isinstance(filter, Filter):
        given = msgspec.structs.asdict(filter)
        values = {key: value for key, value in given.items() if value is not UNSET}
    elif filter is not None:
        values = dict(filter)
    values.update(keys)
    try:
        return convert(values, Filter, "filter.")
    except ProtocolError as error:
        raise from_protocol(error) from None


def checked_kinds(kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """The kinds of events; raises BadRequest for none, or one that does not exist."""
    try:
        return tuple(convert({"kinds": kinds}, _KindsGiven).kinds)
    except ProtocolError as error:
        raise from_protocol(error) from None


class _KindsGiven(msgspec.Struct):
    kinds: Kinds


def _checked(type_: type[T], decoder: msgspec.json.Decoder[T], values: dict[str, Any]) -> T:
    given = {
        field: dict(value) if isinstance(value, Mapping) else value
        for field, value in values.items()
        if value is not None
    }
    try:
        # Encoded and decoded, so that the checks are the hub's, and so that a later change of
        # the caller's lists and dicts does not change ours.
        data = msgspec.json.encode(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(f"a value cannot be sent as JSON: {error}") from None
    try:
        return decode_json(data, type_, decoder)
    except ProtocolError as error:
        raise from_protocol(error) from None
