"""Filters as predicates over records."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from msgspec import UNSET, json

from actors.directory.versions import compile_specifier
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord, same_value

Predicate = Callable[[AgentRecord], bool]

SHARED = 128
"""Filters whose predicates are kept; the least recently used one is forgotten."""

VERSIONS = 256
"""Versions for which a specifier's answer is remembered."""

_ABSENT = object()


def compile_filter(filter: Filter) -> Predicate | None:
    """One predicate for the whole filter; None when it matches every agent.

    It is the same object for equal filters, as long as it is remembered. Raises ProtocolError
    `bad_request` naming `filter.version` when that is no specifier.
    """
    return _compiled(encode(filter))[0]


def name_of(filter: Filter) -> bytes:
    """A short name of the filter, the same for equal ones: what memories of filters go by.

    Callers choose how long a filter is, so none is kept for its name.
    """
    return blake2b(encode(filter), digest_size=16).digest()


def compile_unindexed(filter: Filter) -> Predicate | None:
    """What the indexes of type, name, status and capabilities do not check; None for nothing."""
    return _compiled(encode(filter))[1]


@lru_cache(SHARED)
def _compiled(encoded: bytes) -> tuple[Predicate | None, Predicate | None]:
    filter = json.decode(encoded, type=Filter)
    indexed, others = _indexed_checks(filter), _other_checks(filter)
    return _all(indexed + others), _all(others)


def only_status(filter: Filter) -> str | None:
    """The status that the filter demands; None when it names none, or several."""
    statuses = [filter.status] if isinstance(filter.status, str) else filter.status
    return statuses[0] if statuses is not UNSET and len(statuses) == 1 else None


def metadata_value(record: AgentRecord, path: str) -> Any:
    """The value at a key, or at a dotted path inside; a sentinel equal to nothing when absent.

    A key that itself contains dots is found first.
    """
    metadata = record.metadata
    if metadata is UNSET:
        return _ABSENT
    return _reach(metadata, path)


def _reach(value: Any, path: str) -> Any:
    # The filter's bounds limit the path, and so the steps.
    while isinstance(value, dict):
        if path in value:
            return value[path]
        head, _, path = path.partition(".")
        value = value.get(head)
    return _ABSENT


def _all(checks: list[Predicate]) -> Predicate | None:
    if not checks:
        return None
    if len(checks) == 1:
        return checks[0]
    return lambda record: all(check(record) for check in checks)


def _indexed_checks(filter: Filter) -> list[Predicate]:
    checks: list[Predicate] = []
    if filter.type is not UNSET:
        type_ = filter.type
        checks.append(lambda record: record.type == type_)
    if filter.name is not UNSET:
        name = filter.name
        checks.append(lambda record: record.name == name)
    status = only_status(filter)
    if status is not None:
        checks.append(lambda record: record.status == status)
    if filter.capabilities is not UNSET:
        wanted = frozenset(filter.capabilities)
        checks.append(lambda record: wanted.issubset(record.capabilities))
    return checks


def _other_checks(filter: Filter) -> list[Predicate]:
    checks: list[Predicate] = []
    if filter.any_capability is not UNSET:
        some = frozenset(filter.any_capability)
        checks.append(lambda record: not some.isdisjoint(record.capabilities))
    if filter.status is not UNSET and only_status(filter) is None:
        statuses = filter.status
        checks.append(lambda record: record.status in statuses)
    if filter.host is not UNSET:
        host = filter.host
        checks.append(lambda record: record.host == host)
    if filter.version is not UNSET:
        checks.append(_version_check(filter.version))
    if filter.metadata is not UNSET:
        checks.append(_metadata_check(filter.metadata))
    return checks


def _metadata_check(wanted: dict[str, Any]) -> Predicate:
    def check(record: AgentRecord) -> bool:
        for path, value in wanted.items():
            if not same_value(metadata_value(record, path), value):
                return False
        return True

    return check


def _version_check(text: str) -> Predicate:
    try:
        satisfies = lru_cache(VERSIONS)(compile_specifier(text))
    except ValueError as error:
        raise ProtocolError(
            "bad_request", f"filter.version: {error}", field="filter.version"
        ) from None
    return lambda record: satisfies(record.version)
