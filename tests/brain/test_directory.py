"""The directory: order, pages, indexes that follow every change."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET, structs

from actors.directory import MAX_METADATA_INDEXES, Directory
from protocol.codec import decode_record, encode
from protocol.errors import ProtocolError
from protocol.filters import MATCH_ALL, Filter
from protocol.record import AgentRecord
from tests.brain.records import agent_id, record


def directory_of(*records: AgentRecord) -> Directory:
    directory = Directory()
    for each in records:
        directory.put(each, encode(each))
    return directory


def names(directory: Directory, **filter: Any) -> list[str]:
    page = directory.find(Filter(**filter), None, None)
    assert page.next_cursor is None
    return [decode_record(data).name for data in page.agents]


def test_agents_come_in_the_order_of_their_ids() -> None:
    directory = directory_of(record(3), record(1), record(2))
    assert names(directory) == ["a1", "a2", "a3"]
    assert directory.ids() == [agent_id(1), agent_id(2), agent_id(3)]
    assert len(directory) == 3
    assert agent_id(2) in directory
    assert agent_id(4) not in directory


def test_the_bytes_that_were_put_are_the_bytes_that_are_found() -> None:
    directory = Directory()
    directory.put(record(1), b"exactly these")
    assert directory.find(MATCH_ALL, None, None).agents == [b"exactly these"]
    entry = directory.get(agent_id(1))
    assert entry is not None
    assert entry.data == b"exactly these"
    assert directory.get(agent_id(2)) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7, 100])
@pytest.mark.parametrize("filter", [MATCH_ALL, Filter(type="cost"), Filter(host="h")])
def test_pages_hold_everyone_once(limit: int, filter: Filter) -> None:
    directory = directory_of(*(record(number, host="h") for number in range(6)))
    found: list[bytes] = []
    cursor = None
    for _ in range(10):
        page = directory.find(filter, limit, cursor)
        assert 1 <= len(page.agents) <= limit
        found += page.agents
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [decode_record(data).name for data in found] == [f"a{number}" for number in range(6)]


def test_a_page_goes_on_where_the_last_one_ended_whoever_left_or_came() -> None:
    directory = directory_of(*(record(number) for number in range(6)))
    page = directory.find(MATCH_ALL, 3, None)
    assert page.next_cursor == agent_id(2)
    directory.remove(agent_id(2))  # the one that the cursor names
    directory.remove(agent_id(0))
    directory.put(record(9), b"{}")
    rest = directory.find(MATCH_ALL, 10, page.next_cursor)
    assert len(rest.agents) == 4
    assert rest.next_cursor is None


def test_a_cursor_behind_the_last_one_finds_an_empty_page() -> None:
    directory = directory_of(record(1))
    page = directory.find(MATCH_ALL, 10, agent_id(5))
    assert (page.agents, page.next_cursor) == ([], None)


@pytest.mark.parametrize("cursor", ["", "anything at all", "00000001-0000"])
def test_a_cursor_that_nobody_gave_is_refused(cursor: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        directory_of(record(1)).find(MATCH_ALL, 10, cursor)
    assert (caught.value.code, caught.value.field) == ("bad_request", "cursor")


def test_the_indexes_follow_every_change_of_a_record() -> None:
    before = record(1, type="cost", capabilities=["x", "y"], metadata={"region": "eu"})
    after = record(
        1, type="cost", status="degraded", capabilities=["y", "z"], metadata={"region": "us"}
    )
    directory = directory_of(before, record(2))
    assert names(directory, metadata={"region": "eu"}) == ["a1"]
    directory.put(after, encode(after))
    assert names(directory, metadata={"region": "eu"}) == []
    assert names(directory, metadata={"region": "us"}) == ["a1"]
    assert names(directory, capabilities=["x"]) == []
    assert names(directory, capabilities=["y", "z"]) == ["a1"]
    assert names(directory, status="healthy") == ["a2"]
    assert names(directory, status=["degraded", "unhealthy"]) == ["a1"]
    assert names(directory, status=["healthy", "degraded", "healthy"]) == ["a1", "a2"]
    assert directory.status_counts() == {"healthy": 1, "degraded": 1}


def test_a_new_registration_may_change_name_and_type() -> None:
    directory = directory_of(record(1, name="old", type="cost"))
    new = record(1, name="new", type="resource")
    directory.put(new, encode(new))
    assert names(directory, name="old") == []
    assert names(directory, type="cost") == []
    assert names(directory, name="new", type="resource") == ["new"]


def test_whoever_is_removed_is_found_by_nothing() -> None:
    directory = directory_of(record(1, capabilities=["x"], metadata={"region": "eu"}), record(2))
    assert names(directory, metadata={"region": "eu"}) == ["a1"]
    directory.remove(agent_id(1))
    for filter in (
        {},
        {"type": "cost"},
        {"name": "a1"},
        {"capabilities": ["x"]},
        {"status": "healthy"},
        {"metadata": {"region": "eu"}},
    ):
        assert "a1" not in names(directory, **filter)
    assert directory.status_counts() == {"healthy": 1}
    directory.remove(agent_id(1))
    directory.remove(agent_id(77))
    assert len(directory) == 1


def test_refresh_replaces_bytes_and_brings_nobody_back() -> None:
    directory = directory_of(record(1))
    generation = directory.generation
    later = structs.replace(record(1), last_seen="2026-01-02T00:00:00.000000Z")
    directory.refresh(later, b"later")
    assert directory.find(MATCH_ALL, None, None).agents == [b"later"]
    assert directory.generation == generation, "nothing that was computed has become wrong"
    directory.remove(agent_id(1))
    directory.refresh(later, b"later")
    assert len(directory) == 0


def test_every_put_and_remove_is_a_new_generation() -> None:
    directory = directory_of(record(1))
    seen = {directory.generation}
    directory.put(record(1), b"{}")
    seen.add(directory.generation)
    directory.remove(agent_id(1))
    seen.add(directory.generation)
    assert len(seen) == 3


def test_only_so_many_metadata_paths_are_indexed_and_all_are_answered() -> None:
    count = 3 * MAX_METADATA_INDEXES
    directory = directory_of(
        *(record(number, metadata={f"k{number}": "v"}) for number in range(count))
    )
    for number in range(count):
        assert names(directory, metadata={f"k{number}": "v"}) == [f"a{number}"]
        assert len(directory._metadata) <= MAX_METADATA_INDEXES
    directory.put(record(500, metadata={"k0": "v"}), encode(record(500, metadata={"k0": "v"})))
    assert names(directory, metadata={"k0": "v"}) == ["a0", "a500"]


def test_metadata_that_is_no_text_is_found_too_and_exactly() -> None:
    directory = directory_of(
        record(1, metadata={"n": 1}),
        record(2, metadata={"n": True}),
        record(3, metadata={"n": "1"}),
        record(4, metadata={"n": {"m": "1"}}),
        record(5, metadata={"n": [1]}),
        record(6, metadata=UNSET),
    )
    assert names(directory, metadata={"n": 1}) == ["a1"]
    assert names(directory, metadata={"n": True}) == ["a2"]
    assert names(directory, metadata={"n": "1"}) == ["a3"]
    assert names(directory, metadata={"n.m": "1"}) == ["a4"]
    assert names(directory, metadata={"n": {"m": "1"}}) == ["a4"]
    assert names(directory, metadata={"n": [1]}) == ["a5"]


def test_a_filter_that_cannot_be_understood_is_refused_also_by_an_empty_directory() -> None:
    for directory in (Directory(), directory_of(record(1, name="x"))):
        with pytest.raises(ProtocolError):
            directory.find(Filter(name="nobody", version="nonsense"), None, None)


def test_nothing_is_left_of_keys_without_agents() -> None:
    directory = Directory()
    for number in range(100):
        one = record(number, capabilities=[f"c{number}"], metadata={"k": f"v{number}"})
        directory.put(one, encode(one))
        names(directory, metadata={"k": "v"})
        directory.remove(one.id)
    for index in (
        directory._types,
        directory._names,
        directory._statuses,
        directory._capabilities,
        *directory._metadata.values(),
    ):
        assert index.counts() == {}
