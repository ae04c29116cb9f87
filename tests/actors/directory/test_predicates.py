"""Filters as predicates: every key, by itself and together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.directory.predicates import compile_filter
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from tests.support.records import record

AGENT = record(
    type="cost",
    name="billing",
    host="10.0.0.1",
    capabilities=["read", "write"],
    status="degraded",
    version="1.4.2",
    metadata={
        "region": "eu",
        "count": 1,
        "flag": True,
        "off": False,
        "zero": 0,
        "half": 0.5,
        "a.b": "dotted",
        "a": {"b": "inside", "c": {"d": [1, 2]}, "null": None},
        "list": ["x", "y"],
        "flags": [True],
    },
)


def matches(agent: AgentRecord, **filter: Any) -> bool:
    # Decoded as from the wire, so that a filter holds what JSON can hold.
    decoded = msgspec.json.decode(msgspec.json.encode(filter), type=Filter)
    predicate = compile_filter(decoded)
    return predicate is None or predicate(agent)


def test_an_empty_filter_needs_no_predicate() -> None:
    assert compile_filter(Filter()) is None


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"type": "cost"}, True),
        ({"type": "Cost"}, False),
        ({"type": ""}, False),
        ({"name": "billing"}, True),
        ({"name": "bill"}, False),
        ({"host": "10.0.0.1"}, True),
        ({"host": "10.0.0.2"}, False),
        ({"host": ""}, False),
        ({"capabilities": []}, True),
        ({"capabilities": ["read"]}, True),
        ({"capabilities": ["write", "read"]}, True),
        ({"capabilities": ["read", "delete"]}, False),
        ({"any_capability": ["delete", "write"]}, True),
        ({"any_capability": ["delete"]}, False),
        ({"any_capability": []}, False),
        ({"status": "degraded"}, True),
        ({"status": "healthy"}, False),
        ({"status": ["healthy", "degraded"]}, True),
        ({"status": ["healthy"]}, False),
        ({"status": []}, False),
    ],
)
def test_every_key_by_itself(filter: dict[str, Any], expected: bool) -> None:
    assert matches(AGENT, **filter) is expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, True),
        ({"region": "eu"}, True),
        ({"region": "us"}, False),
        ({"Region": "eu"}, False),
        ({"count": 1}, True),
        ({"count": 1.0}, True),
        ({"count": "1"}, False),
        ({"count": True}, False),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"off": 0}, False),
        ({"zero": False}, False),
        ({"zero": 0}, True),
        ({"half": 0.5}, True),
        ({"absent": None}, False),
        ({"absent.too": "x"}, False),
        ({"a.b": "dotted"}, True),
        ({"a.b": "inside"}, False),
        ({"a.c.d": [1, 2]}, True),
        ({"a.c.d": [2, 1]}, False),
        ({"a.c": {"d": [1, 2]}}, True),
        ({"a.c": {}}, False),
        ({"a.null": None}, True),
        ({"list": ["x", "y"]}, True),
        ({"list.0": "x"}, False),
        ({"region.x": "eu"}, False),
        ({"": "eu"}, False),
        ({".": "eu"}, False),
        ({"a.": "eu"}, False),
        ({"region": "eu", "count": 1}, True),
        ({"region": "eu", "count": 2}, False),
    ],
)
def test_metadata_by_equal_values_and_dotted_keys(metadata: dict[str, Any], expected: bool) -> None:
    assert matches(AGENT, metadata=metadata) is expected


@pytest.mark.parametrize("wanted", [{"flags": [1]}, {"a.c": {"d": [True, 2]}}])
def test_true_is_not_1_inside_a_value_either(wanted: dict[str, Any]) -> None:
    assert matches(AGENT, metadata=wanted) is False


def test_an_agent_without_metadata_matches_no_metadata() -> None:
    assert matches(record(), metadata={"region": "eu"}) is False
    assert matches(record(), metadata={}) is True


@pytest.mark.parametrize(
    ("version", "specifier", "expected"),
    [
        ("1.4.2", ">=1.2,<2", True),
        ("1.4.2", ">=1.2, <1.4", False),
        ("1.4.2", "==1.4.*", True),
        ("1.4.2", "~=1.4.0", True),
        ("1.4.2", "!=1.4.2", False),
        ("v1.4.2", "==1.4.2", True),
        ("1.10", ">1.9", True),
        ("2.0", "==2", True),
        ("", ">=0", False),
        ("latest", ">=0", False),
        ("1.4.2-rev-abc-x", ">=0", False),
    ],
)
def test_versions_by_pep_440(version: str, specifier: str, expected: bool) -> None:
    assert matches(record(version=version), version=specifier) is expected


@pytest.mark.parametrize("specifier", ["1.2", ">=", "latest", ">=1.2;<2", "=>1", "~=1"])
def test_what_is_no_specifier_is_refused_and_named(specifier: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        compile_filter(Filter(version=specifier))
    assert caught.value.code == "bad_request"
    assert caught.value.field == "filter.version"
    assert repr(specifier) in caught.value.message


def test_equal_filters_share_one_predicate() -> None:
    wanted: dict[str, Any] = {"any_capability": ["a", "b"], "metadata": {"x.y": 1}}
    assert compile_filter(Filter(**wanted)) is compile_filter(Filter(**wanted))


def test_the_longest_path_reaches_inside_as_deep_as_it_goes() -> None:
    value: Any = "found"
    for _ in range(128):
        value = {"": value}
    assert matches(record(metadata=value), metadata={"." * 127: "found"})
    assert not matches(record(metadata=value), metadata={"." * 256: "found"})


def test_every_key_must_hold() -> None:
    everything: dict[str, Any] = {
        "type": "cost",
        "name": "billing",
        "host": "10.0.0.1",
        "capabilities": ["read"],
        "any_capability": ["write", "x"],
        "status": ["degraded"],
        "version": ">=1",
        "metadata": {"region": "eu"},
    }
    assert matches(AGENT, **everything)
    assert everything.keys() == set(Filter.__struct_fields__), "no key is forgotten"
    wrong: dict[str, Any] = {
        "type": "x",
        "name": "x",
        "host": "x",
        "capabilities": ["x"],
        "any_capability": ["x"],
        "status": ["healthy"],
        "version": ">=2",
        "metadata": {"region": "us"},
    }
    assert wrong.keys() == everything.keys()
    for key, value in wrong.items():
        assert not matches(AGENT, **(everything | {key: value})), key
