"""Every field of every request: what it takes, and how it is named when it is wrong."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from homeport_protocol.bounds import STATUSES, STRATEGIES
from homeport_protocol.codec import decode_request, encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.requests import Find, Heartbeat

AGENT_ID = "550e8400-e29b-41d4-a716-446655440000"
ABSENT = object()

SMALLEST: dict[str, dict[str, Any]] = {
    "register": {"agent": {"name": "a", "type": "cost"}},
    "resume": {"agent_id": AGENT_ID, "session_token": "t"},
    "heartbeat": {},
    "update": {},
    "unregister": {},
    "find": {},
    "get": {"agent_id": AGENT_ID},
    "pick": {},
    "watch": {},
    "unwatch": {"watch": 1},
    "ping": {},
}

# For each kind of field: values at its bounds, and values just outside or of another type.
TEXT_OTHERS = [None, 1, 1.5, True, [], {}]
FIELDS: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (
        ["a", "x" * 128, "Zürich 東京", "😀" * 128],
        ["", "x" * 129, "a\u0000", "a\n", "\u007f", "\u0085", *TEXT_OTHERS],
    ),
    "type": (
        ["cost", "x" * 64, "A.b_c-1", "a b", "-a", "übermäßig/1", "😀" * 64],
        ["", " ", "x" * 65, "a\n", "\u0000", "\u007f", "\u0085", *TEXT_OTHERS],
    ),
    "host": (["h", "x" * 255, "::1"], ["", "x" * 256, "a\n", "a\u001f", *TEXT_OTHERS]),
    "port": ([0, 65535], [-1, 65536, 1.5, "80", None, True, [], 2**64, int("9" * 400)]),
    "capabilities": (
        [[], ["x" * 128], ["a", "a"], [str(number) for number in range(256)]],
        [[""], ["x" * 129], [1], [None], "a", {}, None, [str(number) for number in range(257)]],
    ),
    "version": (["", "x" * 64, "1.0"], ["x" * 65, *TEXT_OTHERS]),
    "metadata": ([{}, {"a": None}, {"a": {"b": [1, 2.5, True, "x"]}}], [None, [], "x", 1, True]),
    "status": (list(STATUSES), ["", "dead", "Healthy", *TEXT_OTHERS]),
    "load": ([0, 0.0, 1e308, 7], [-0.1, -1, "1", None, True, [], {}]),
    "agent_id": (
        [AGENT_ID, AGENT_ID.upper()],
        [
            "",
            "x",
            AGENT_ID + "0",
            AGENT_ID + "\n",
            AGENT_ID.replace("-", ""),
            f"{{{AGENT_ID}}}",
            *TEXT_OTHERS,
        ],
    ),
    "text256": (["", "x" * 256], ["x" * 257, *TEXT_OTHERS]),
    "text255": (["", "x" * 255], ["x" * 256, *TEXT_OTHERS]),
    "specifier": (["", "x" * 255, ",".join([">1"] * 8)], ["x" * 256, ",".join([">1"] * 9)]),
    "texts255": ([[], ["x" * 255], ["a"] * 32], [["x" * 256], [1], "x", None, {}, ["a"] * 33]),
    "statuses": (
        [*STATUSES, [], list(STATUSES), ["healthy"] * 32],
        ["", "dead", ["dead"], [1], 1, None, {}, ["healthy"] * 33],
    ),
    "terms": (
        [
            {},
            {"a.b": {"c": [1]}},
            {str(number): number for number in range(32)},
            {"é" * 128: 1, "." * 256: 2},
        ],
        [
            *(None, [], "x", 1),
            {str(number): number for number in range(33)},
            {"é" * 129: 1},
            {"." * 257: 1},
        ],
    ),
    "limit": ([1, 10_000], [0, 10_001, -1, 1.5, "1", None, True, []]),
    "strategy": (list(STRATEGIES), ["", "best", *TEXT_OTHERS]),
    "revision": ([0, 2**63 - 1], [-1, 2**63, 1.5, "1", None, True, [], int("9" * 400)]),
    "agent": ([{"name": "a", "type": "b", "unknown": 1}], [None, [], "x", 1, True]),
    "changes": ([{}, {"unknown": 1}], [None, [], "x", 1, True]),
    "filter": ([{}], [None, [], "x", 1, True]),
}
CHANGES = {
    "capabilities": "capabilities",
    "version": "version",
    "host": "host",
    "port": "port",
    "status": "status",
    "metadata": "metadata",
    "load": "load",
}
FILTER = {
    "filter": "filter",
    "filter.type": "text255",
    "filter.name": "text255",
    "filter.capabilities": "texts255",
    "filter.any_capability": "texts255",
    "filter.status": "statuses",
    "filter.host": "text255",
    "filter.version": "specifier",
    "filter.metadata": "terms",
}
PATHS: dict[str, dict[str, str]] = {
    "register": {
        "agent": "agent",
        "agent_id": "agent_id",
        "agent.name": "name",
        "agent.type": "type",
        **{f"agent.{name}": kind for name, kind in CHANGES.items()},
    },
    "resume": {
        "agent_id": "agent_id",
        "session_token": "text256",
        "agent": "changes",
        **{f"agent.{name}": kind for name, kind in CHANGES.items()},
    },
    "heartbeat": {"status": "status", "metadata": "metadata", "load": "load"},
    "update": CHANGES,
    "unregister": {},
    "find": {**FILTER, "limit": "limit", "cursor": "text256"},
    "get": {"agent_id": "agent_id"},
    "pick": {**FILTER, "strategy": "strategy", "key": "text256"},
    "watch": {**FILTER, "since": "revision", "log": "text256"},
    "unwatch": {"watch": "revision"},
    "ping": {},
}
REQUIRED = [
    ("register", "agent"),
    ("register", "agent.name"),
    ("register", "agent.type"),
    ("resume", "agent_id"),
    ("resume", "session_token"),
    ("get", "agent_id"),
    ("unwatch", "watch"),
]


def request(op: str, path: str = "", value: Any = ABSENT) -> bytes:
    """The smallest request of `op`, with the field at `path` set to `value` or taken away."""
    message: dict[str, Any] = {"op": op, "id": 7, **msgspec.json.decode(_encode(SMALLEST[op]))}
    if path:
        *outer, last = path.split(".")
        inner = message
        for name in outer:
            inner = inner.setdefault(name, {})
        if value is ABSENT:
            del inner[last]
        else:
            inner[last] = value
    return _encode(message)


def _encode(value: Any) -> bytes:
    # The standard library's encoder: unlike msgspec's, it writes integers of any size.
    return json.dumps(value).encode()


def refused(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode_request(data)
    return caught.value


def cases(index: int) -> list[Any]:
    return [
        pytest.param(op, path, value, id=f"{op}-{path}-{str(value)[:20]}-{number}")
        for op, paths in PATHS.items()
        for path, kind in paths.items()
        for number, value in enumerate(FIELDS[kind][index])
        if value is not None or (op, path) in REQUIRED
    ]


OPTIONAL = [
    (op, path) for op, paths in PATHS.items() for path in paths if (op, path) not in REQUIRED
]


@pytest.mark.parametrize("op", sorted(SMALLEST))
def test_the_smallest_form_of_every_request_is_understood(op: str) -> None:
    decoded = decode_request(request(op))
    assert decoded.__struct_config__.tag == op
    assert decoded.id == 7


@pytest.mark.parametrize(("op", "path", "value"), cases(0))
def test_a_field_takes_what_is_within_its_bounds(op: str, path: str, value: Any) -> None:
    decode_request(request(op, path, value))


@pytest.mark.parametrize(("op", "path", "value"), cases(1))
def test_a_wrong_field_is_named_and_the_answer_carries_the_id(
    op: str, path: str, value: Any
) -> None:
    error = refused(request(op, path, value))
    assert (error.code, error.field, error.request_id) == ("bad_request", path, 7)
    assert error.message.startswith(f"{path}: ")


@pytest.mark.parametrize(("op", "path"), REQUIRED)
def test_a_missing_field_is_named(op: str, path: str) -> None:
    error = refused(request(op, path))
    assert (error.code, error.field, error.request_id) == ("bad_request", path, 7)


@pytest.mark.parametrize(("op", "path"), OPTIONAL)
def test_a_field_that_is_null_is_absent(op: str, path: str) -> None:
    assert decode_request(request(op, path, None)) == decode_request(request(op))


def test_a_wrong_field_is_named_beside_one_that_is_null() -> None:
    error = refused(_encode({"op": "heartbeat", "id": 7, "load": None, "status": "fine"}))
    assert (error.code, error.field, error.request_id) == ("bad_request", "status", 7)


def test_a_null_in_metadata_stays_for_it_deletes_a_key_or_is_a_value() -> None:
    nulls = {"load": None, "metadata": {"queue": None}}
    heartbeat = decode_request(_encode({"op": "heartbeat", "id": 7, **nulls}))
    assert heartbeat == Heartbeat(id=7, metadata={"queue": None})
    filter = {"type": None, "metadata": {"queue": None}}
    find = decode_request(_encode({"op": "find", "id": 7, "filter": filter}))
    assert find == Find(id=7, filter=Filter(metadata={"queue": None}))


@pytest.mark.parametrize("value", ["cost", None])
@pytest.mark.parametrize("op", ["find", "pick", "watch"])
def test_an_unknown_key_of_a_filter_is_named(op: str, value: str | None) -> None:
    error = refused(request(op, "filter.typ", value))
    assert (error.code, error.field, error.request_id) == ("bad_request", "filter.typ", 7)


@pytest.mark.parametrize("op", sorted(SMALLEST))
def test_an_unknown_field_of_a_request_is_ignored(op: str) -> None:
    decode_request(request(op, "unknown", {"deep": [1]}))


@pytest.mark.parametrize("value", [0, -(2**63), 2**63 - 1, "", "x", "x" * 64])
def test_an_id_is_an_integer_or_a_short_string_and_comes_back_unchanged(value: Any) -> None:
    assert decode_request(_encode({"op": "ping", "id": value})).id == value


@pytest.mark.parametrize(
    "value", [None, True, 1.5, [], {}, "x" * 65, 2**63, -(2**63) - 1, int("9" * 400)]
)
def test_an_id_of_another_form_is_named_and_cannot_be_carried_back(value: Any) -> None:
    error = refused(_encode({"op": "ping", "id": value}))
    assert (error.code, error.field, error.request_id) == ("bad_request", "id", None)


@pytest.mark.parametrize("op", sorted(SMALLEST))
def test_a_request_without_an_id_is_refused(op: str) -> None:
    error = refused(request(op, "id"))
    assert (error.code, error.field, error.request_id) == ("bad_request", "id", None)


@pytest.mark.parametrize("strategy", ["best"])
def test_a_wrong_choice_is_answered_with_the_right_ones(strategy: str) -> None:
    error = refused(request("pick", "strategy", strategy))
    assert ", ".join(STRATEGIES) in error.message


def test_a_pattern_is_told_in_words() -> None:
    assert "must be a UUID" in refused(request("get", "agent_id", "x")).message
    assert "control characters" in refused(request("register", "agent.type", "a\nb")).message
    assert "control characters" in refused(request("register", "agent.name", "\t")).message


def test_a_long_value_is_not_repeated_in_full() -> None:
    error = refused(request("heartbeat", "status", "x" * 60_000))
    assert error.field == "status"
    assert len(error.message) < 1000
    error = refused(request("find", f"filter.{'k' * 60_000}", 1))
    assert error.field is not None
    assert len(error.field) < 1000
    assert len(error.message) < 1000


def test_each_key_of_a_filter_is_a_term_and_each_path_of_its_metadata() -> None:
    paths = {str(number): number for number in range(31)}
    assert Filter(type="cost", metadata=paths)
    with pytest.raises(ValueError, match="`metadata`: more than 32 terms"):
        Filter(type="cost", host="h", metadata=paths)
    body = encode({"op": "find", "id": 1, "filter": {"type": "a", "host": "h", "metadata": paths}})
    with pytest.raises(ProtocolError, match="more than 32 terms") as caught:
        decode_request(body)
    assert (caught.value.code, caught.value.field) == ("bad_request", "filter.metadata")
