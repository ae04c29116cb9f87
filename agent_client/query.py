"""Filters as callers write them: a `Filter`, a mapping, keywords, or keywords on top of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import msgspec
from msgspec import UNSET

from agent_client.errors import from_protocol
from homeport_protocol.bounds import Status
from homeport_protocol.codec import convert
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter


class FilterKeys(TypedDict, total=False):
    """The filter's keys as keyword arguments; see `Filter` for what each means."""

    type: str
    name: str
    capabilities: Sequence[str]
    any_capability: Sequence[str]
    status: Status | Sequence[Status]
    host: str
    version: str
    metadata: Mapping[str, Any]


def as_filter(filter: Filter | Mapping[str, Any] | None, keys: Mapping[str, Any]) -> Filter:
    """The filter to send; raises BadRequest naming the key that is unknown or out of bounds."""
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
