"""The record's own rules: capabilities as a set, metadata merged within its bounds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from homeport_protocol.bounds import MAX_METADATA_BYTES, MAX_METADATA_DEPTH
from homeport_protocol.codec import decode_record, encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentRecord, Health, merge_metadata, unique

NOW = "2026-11-20T12:00:00.000000Z"
HEALTH = Health(connection="http", reported="healthy", reason="ok", since=NOW)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("old", "changes", "merged"),
    [
        (UNSET, UNSET, UNSET),
        (UNSET, {}, UNSET),
        (UNSET, {"a": None}, UNSET),
        (UNSET, {"a": 1}, {"a": 1}),
        ({"a": 1}, UNSET, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"a": None}, UNSET),
        ({"a": 1}, {"b": None}, {"a": 1}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 3}}, {"a": {"x": 3}}),
        ({"a": 1}, {"b": {"c": None}}, {"a": 1, "b": {"c": None}}),
        ({"a": 1}, {"a": False, "b": 0, "c": ""}, {"a": False, "b": 0, "c": ""}),
    ],
)
def test_metadata_is_merged_key_by_key_and_null_deletes(
    old: dict[str, Any] | UnsetType,
    changes: dict[str, Any] | UnsetType,
    merged: dict[str, Any] | UnsetType,
) -> None:
    assert merge_metadata(old, changes) == merged


def test_merging_leaves_both_sides_as_they_were() -> None:
    old, changes = {"a": 1, "b": 2}, {"a": None, "c": 3}
    merge_metadata(old, changes)
    assert (old, changes) == ({"a": 1, "b": 2}, {"a": None, "c": 3})


def test_metadata_may_reach_its_bound_and_not_a_byte_more() -> None:
    fitting = "x" * (MAX_METADATA_BYTES - len(b'{"a":""}'))
    merged = merge_metadata(UNSET, {"a": fitting})
    assert len(encode(merged)) == MAX_METADATA_BYTES
    with pytest.raises(ProtocolError) as caught:
        merge_metadata(UNSET, {"a": fitting + "x"}, "agent.metadata")
    assert (caught.value.code, caught.value.field) == ("too_large", "agent.metadata")
    assert str(MAX_METADATA_BYTES) in caught.value.message


def test_the_bound_is_of_bytes_not_of_characters() -> None:
    with pytest.raises(ProtocolError) as caught:
        merge_metadata(UNSET, {"a": "é" * (MAX_METADATA_BYTES // 2)})
    assert caught.value.code == "too_large"


def test_metadata_that_grows_past_its_bound_by_merging_is_refused() -> None:
    half = "x" * (MAX_METADATA_BYTES // 2)
    old = merge_metadata(UNSET, {"a": half})
    with pytest.raises(ProtocolError) as caught:
        merge_metadata(old, {"b": half})
    assert caught.value.code == "too_large"
    # What replaces or deletes makes room in the same step.
    assert merge_metadata(old, {"a": None, "b": half}) == {"b": half}


def test_nesting_is_bounded() -> None:
    deepest = nested(MAX_METADATA_DEPTH - 1)
    assert merge_metadata(UNSET, {"a": deepest}) == {"a": deepest}
    for value in ([deepest], {"x": deepest}):
        with pytest.raises(ProtocolError) as caught:
            merge_metadata(UNSET, {"a": value}, "metadata")
        assert (caught.value.code, caught.value.field) == ("bad_request", "metadata")


@pytest.mark.parametrize("value", [2**64, -(2**64) + 1, 10**308, -(10**308), 0, True])
def test_an_integer_that_a_float_can_be_is_kept_as_it_is(value: int) -> None:
    merged = merge_metadata(UNSET, {"a": [value]})
    assert merged is not UNSET
    assert merged == {"a": [value]}
    assert msgspec.json.decode(msgspec.json.encode(merged)) == merged


@pytest.mark.parametrize("value", [2**1024, -(2**1024), 10**400])
def test_an_integer_beyond_every_float_is_refused(value: int) -> None:
    for changes in ({"a": value}, {"a": {"b": [value]}}):
        with pytest.raises(ProtocolError) as caught:
            merge_metadata(UNSET, changes)
        assert caught.value.code == "bad_request"
        assert "string" in caught.value.message


def test_capabilities_are_a_set_in_the_order_they_came() -> None:
    assert unique(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
    assert unique([]) == []


def test_a_record_is_written_in_the_contracts_order_without_what_is_unset() -> None:
    record = AgentRecord(
        id="x", name="n", type="t", registered_at=NOW, last_seen=NOW, health=HEALTH
    )
    assert list(msgspec.json.decode(encode(record))) == [
        "id",
        "name",
        "type",
        "host",
        "port",
        "capabilities",
        "status",
        "version",
        "registered_at",
        "last_seen",
        "health",
        "epoch",
        "hub",
        "revision",
    ]


def test_a_record_comes_back_from_its_bytes_as_it_was() -> None:
    record = AgentRecord(
        id="x",
        name="n",
        type="t",
        host="h",
        port=1,
        capabilities=["a"],
        status="degraded",
        version="1",
        registered_at=NOW,
        last_seen=NOW,
        metadata={"a": {"b": [1, 2.5, None, "é"]}},
        load=0.25,
        health=HEALTH,
        epoch=3,
        hub="hub-1",
        revision=2**53,
    )
    assert decode_record(encode(record)) == record


def test_a_reader_ignores_fields_it_does_not_know() -> None:
    record = AgentRecord(
        id="x", name="n", type="t", registered_at=NOW, last_seen=NOW, health=HEALTH
    )
    newer = {**msgspec.json.decode(encode(record)), "later": [1]}
    assert decode_record(encode(newer)) == record
