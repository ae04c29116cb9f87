"""Records as the brain makes them, and as the store completes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs

from actors.rules.records import (
    WORDS,
    amend,
    complete,
    difference,
    head_of,
    kind_of,
    new_record,
    supersedes,
    with_derived_status,
)
from actors.rules.states import DerivedStatus
from homeport_protocol.codec import decode_record, encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentChanges, AgentRecord, AgentSpec, Health
from tests.support.records import NOW, agent_id, record

LATER = "2026-01-01T00:01:00.000000Z"
HEALTHY = DerivedStatus("websocket", "healthy", "ok")


def rebuilt(each: AgentRecord) -> bytes:
    return complete(head_of(each), each.epoch, each.hub, each.revision)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"metadata": {"k": 'x,"epoch":1'}},
        {"metadata": {"k": '","epoch":7,"hub":"","revision":9}'}},
        {"metadata": {',"epoch":': {',"epoch":': ',"epoch":'}}},
        {"metadata": {"epoch": 7, "hub": "h", "revision": 3}},
        {"name": ',"epoch":', "capabilities": [',"epoch":', '"epoch"']},
        {"version": ',"epoch":', "host": ',"epoch":'},
        {"metadata": {"ü": "\\", "q": '"', "s": "\u2028 😀"}},
        {"load": 0.1, "port": 65535},
    ],
)
def test_the_completed_head_is_byte_for_byte_the_record(fields: dict[str, Any]) -> None:
    each = record(1, epoch=2**40, hub="hub-1", revision=2**53, **fields)
    assert rebuilt(each) == encode(each)
    assert decode_record(rebuilt(each)) == each


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.just(',"epoch":'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.text() | st.just(',"epoch":'), json_values, min_size=1, max_size=4),
    st.text(max_size=20),
    st.integers(1, 2**53),
    st.integers(0, 2**53),
    st.sampled_from(["", "hub-1", "a.b_c"]),
)
def test_whatever_the_metadata(
    metadata: dict[str, Any], name: str, epoch: int, revision: int, hub: str
) -> None:
    each = record(1, metadata=metadata, name=name, epoch=epoch, revision=revision, hub=hub)
    assert rebuilt(each) == encode(each)


def test_the_head_ends_with_health() -> None:
    head = head_of(record(1))
    assert head.endswith(b'"health":' + encode(record(1).health))


def test_a_new_record_is_what_the_agent_says_and_the_hub_judges() -> None:
    spec = AgentSpec(
        name="a",
        type="cost",
        host="h",
        port=8,
        capabilities=["x", "y", "x"],
        version="1",
        metadata={"k": 1, "gone": None},
        status="degraded",
        load=0.5,
    )
    made = new_record(agent_id(1), spec, DerivedStatus("http", "degraded", "self_reported"), NOW)
    assert made.capabilities == ["x", "y"]
    assert made.metadata == {"k": 1}
    assert made.health == Health("http", "degraded", "self_reported", NOW)
    assert (made.status, made.load, made.host, made.port) == ("degraded", 0.5, "h", 8)
    assert made.registered_at == made.last_seen == NOW


def test_a_new_record_of_one_that_says_little() -> None:
    made = new_record(agent_id(1), AgentSpec(name="a", type="cost"), HEALTHY, NOW)
    assert (made.host, made.port, made.version, made.capabilities) == ("", 0, "", [])
    assert made.metadata is UNSET
    assert b"metadata" not in encode(made)
    assert b"load" not in encode(made)


def test_metadata_too_large_is_refused_by_the_name_of_its_field() -> None:
    spec = AgentSpec(name="a", type="cost", metadata={"k": "x" * 17_000})
    with pytest.raises(ProtocolError) as caught:
        new_record(agent_id(1), spec, HEALTHY, NOW)
    assert (caught.value.code, caught.value.field) == ("too_large", "agent.metadata")


def test_amending_changes_what_is_named_and_nothing_else() -> None:
    old = record(1, metadata={"keep": 1, "drop": 2}, load=1.0, capabilities=["x"])
    new = amend(
        old,
        AgentChanges(
            capabilities=["y", "y"],
            version="2",
            host="h",
            port=7,
            load=2.0,
            metadata={"drop": None, "add": 3},
            status="degraded",
        ),
    )
    assert new == structs.replace(
        old,
        capabilities=["y"],
        version="2",
        host="h",
        port=7,
        load=2.0,
        metadata={"keep": 1, "add": 3},
    ), "and status is with_derived_status, not set"
    assert old.metadata == {"keep": 1, "drop": 2}, "the old record is untouched"


def test_amending_nothing_is_the_same_record() -> None:
    old = record(1)
    assert amend(old, AgentChanges()) is old
    assert amend(old, AgentChanges(status="degraded")) is old


FULL: dict[str, Any] = {
    "capabilities": ["a", "b"],
    "version": "2",
    "host": "new",
    "port": 2,
    "metadata": {"goes": None, "moves": 2, "comes": {"x": 1}},
    "load": 2.0,
}


@pytest.mark.parametrize("field", [*FULL, "all", "none"])
def test_a_difference_amends_the_old_record_to_what_the_new_one_says(field: str) -> None:
    old = amend(record(1), AgentChanges(metadata={"goes": 1, "moves": 1, "stays": 1}, load=1.0))
    changes = {name: value for name, value in FULL.items() if field in {name, "all"}}
    new = amend(old, AgentChanges(**changes))
    assert amend(old, difference(old, new)) == new
    assert amend(new, difference(new, old)) == old
    told = {name for name in FULL if getattr(difference(old, new), name) is not UNSET}
    assert told == changes.keys()


def test_metadata_that_is_empty_again_is_absent_again() -> None:
    assert amend(record(1, metadata={"k": 1}), AgentChanges(metadata={"k": None})).metadata is UNSET


def test_merged_metadata_is_bounded_too() -> None:
    old = record(1, metadata={"a": "x" * 10_000})
    with pytest.raises(ProtocolError) as caught:
        amend(old, AgentChanges(metadata={"b": "x" * 10_000}))
    assert (caught.value.code, caught.value.field) == ("too_large", "metadata")


def test_since_moves_only_with_the_status() -> None:
    old = record(1)
    degraded = with_derived_status(
        old, old, DerivedStatus("websocket", "degraded", "self_reported"), "degraded", lambda: LATER
    )
    assert (degraded.status, degraded.health.since) == ("degraded", LATER)
    lost_now = DerivedStatus("lost", "healthy", "ok")
    lost = with_derived_status(old, old, lost_now, "healthy", lambda: LATER)
    assert (lost.health.connection, lost.health.since) == ("lost", NOW)
    assert with_derived_status(old, old, HEALTHY, "healthy", lambda: LATER) is old


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"last_seen": LATER}, None),
        ({"epoch": 9, "revision": 9, "hub": "h"}, None),
        ({"status": "degraded"}, "status_changed"),
        ({"status": "degraded", "version": "2"}, "status_changed"),
        ({"metadata": {"k": 1}}, "updated"),
        ({"load": 0.5}, None),
        ({"last_seen": LATER, "load": 0.5, "version": "2"}, "updated"),
        ({"capabilities": ["x"]}, "updated"),
        ({"version": "2"}, "updated"),
        ({"host": "h"}, "updated"),
        ({"port": 1}, "updated"),
        ({"health": Health("http", "healthy", "ok", NOW)}, "updated"),
    ],
)
def test_the_kind_of_event_that_tells_of_a_difference(
    changes: dict[str, Any], kind: str | None
) -> None:
    old = record(1)
    assert kind_of(old, structs.replace(old, **changes)) == kind


@pytest.mark.parametrize(("before", "after"), [(1, True), (False, 0), ([1], [True])])
def test_1_that_becomes_true_is_a_change(before: object, after: object) -> None:
    old = record(1, metadata={"k": before})
    assert kind_of(old, structs.replace(old, metadata={"k": after})) == "updated"


@pytest.mark.parametrize(
    "later",
    [
        {"epoch": 4, "revision": 7},
        {"epoch": 3, "revision": 8},
        {"epoch": 4, "revision": 2},
        {"epoch": 1, "revision": 2, "registered_at": LATER},
    ],
)
def test_a_higher_epoch_or_revision_or_a_later_registration_supersedes(
    later: dict[str, Any],
) -> None:
    assert supersedes(record(**later), record(epoch=3, revision=7))


def test_a_record_does_not_supersede_itself_whatever_else_it_says() -> None:
    held = record(epoch=3, revision=7)
    assert not supersedes(structs.replace(held, last_seen=LATER, version="2"), held)
    assert not supersedes(structs.replace(held, epoch=2, revision=6), held)


def test_words_that_agents_have_in_common_are_kept_once_and_not_for_ever() -> None:
    def made(host: str) -> AgentRecord:
        data = b'{"name":"a","type":"cost","host":"%s","capabilities":["find"]}' % host.encode()
        spec = msgspec.json.decode(data, type=AgentSpec)
        return new_record(agent_id(1), spec, HEALTHY, NOW)

    one, other = made("host-1"), made("host-1")
    assert one.type is other.type
    assert one.host is other.host
    assert one.capabilities[0] is other.capabilities[0]
    for number in range(WORDS):
        made(f"passer-by-{number}")
    assert made("host-1").host is not one.host
