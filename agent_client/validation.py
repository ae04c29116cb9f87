"""Checks of what users pass in against the contract's bounds, before anything is sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import msgspec
from msgspec import UNSET

from agent_client.errors import BadRequest, from_protocol
from agent_client.json_values import json_value
from homeport_protocol.bounds import UUID, Status
from homeport_protocol.codec import convert
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentChanges, AgentSpec
from homeport_protocol.requests import Request

R = TypeVar("R", bound=Request)
T = TypeVar("T")


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
    return _checked(AgentSpec, _given(values))


def changes_from(**values: Any) -> AgentChanges:
    """The values of an update; None counts as absent. Raises BadRequest naming the field."""
    return _checked(AgentChanges, _given(values))


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
    return _checked(Filter, values, "filter.")


def checked_request(request: R) -> R:
    """`request`, whose filter was checked; raises BadRequest naming the field out of bounds."""
    values = {
        field: value if isinstance(value, Filter) else json_value(_in_order(value), field)
        for field in request.__struct_fields__
        if (value := getattr(request, field)) is not UNSET
    }
    tag = request.__struct_config__.tag
    return _converted({"op": tag, **values}, type(request))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in values.items() if value is not None}


def _checked(type_: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """The values as a `type_`, copied, so that a later change of them does not change ours."""
    given = {
        field: json_value(_in_order(value), f"{prefix}{field}") for field, value in values.items()
    }
    return _converted(given, type_, prefix)


def _converted(values: Mapping[str, Any], type_: type[T], prefix: str = "") -> T:
    try:
        return convert(values, type_, prefix)
    except ProtocolError as error:
        raise from_protocol(error) from None


def _in_order(value: Any) -> Any:
    """A list where a field of several texts was given as a set or another collection."""
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping):
        return value
    return list(value) if isinstance(value, Collection) else value
