"""The directory: order, pages, indexes that follow every change."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from msgspec import UNSET, structs

from actors.directory.changes import FEW_CHANGES
from actors.directory.directory import LONG, MAX_PAGES, Directory
from actors.directory.indexes import MAX_METADATA_INDEXES
from actors.directory.matches import REMEMBERED
from actors.directory.predicates import name_of
from actors.runtime.turns import complete
from homeport_protocol.codec import decode_record, encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import AgentRecord
from tests.support.records import agent_id, record


def directory_of(*records: AgentRecord) -> Directory:
    directory = Directory()
    for each in records:
        directory.put(each, encode(each))
    return directory


def names(directory: Directory, **filter: Any) -> list[str]:
    page = complete(directory.find(Filter(**filter), None, None))
    assert page.next_cursor is None
    return [decode_record(data).name for data in page.agents]


def test_agents_come_in_the_order_of_their_ids() -> None:
    directory = directory_of(record(3), record(1), record(2))
    assert names(directory) == ["a1", "a2", "a3"]
    assert directory.ids() == [agent_id(1), agent_id(2), agent_id(3)]
    assert len(directory) == 3
    assert agent_id(2) in directory
    assert agent_id(4) not in directory


def test_put_and_remove_return_the_record_before() -> None:
    directory = Directory()
    first, second = record(1), record(1, version="2")
    assert directory.put(first, encode(first)) is None
    assert directory.put(second, encode(second)) is first
    assert directory.remove(agent_id(1)) is second
    assert directory.remove(agent_id(1)) is None


def test_the_bytes_that_were_put_are_the_bytes_that_are_found() -> None:
    directory = Directory()
    directory.put(record(1), b"exactly these")
    assert complete(directory.find(MATCH_ALL, None, None)).agents == [b"exactly these"]
    entry = directory.get(agent_id(1))
    assert entry is not None
    assert entry.data == b"exactly these"
    assert directory.get(agent_id(2)) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7, 100])
@pytest.mark.parametrize("filter", [MATCH_ALL, Filter(type="cost"), Filter(host="h")])
def test_pages_hold_every_agent_once(limit: int, filter: Filter) -> None:
    directory = directory_of(*(record(number, host="h") for number in range(6)))
    found: list[bytes] = []
    cursor = None
    for _ in range(10):
        page = complete(directory.find(filter, limit, cursor))
        assert 1 <= len(page.agents) <= limit
        found += page.agents
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [decode_record(data).name for data in found] == [f"a{number}" for number in range(6)]


def test_a_page_goes_on_where_the_last_one_ended_whatever_agents_left_or_came() -> None:
    directory = directory_of(*(record(number) for number in range(6)))
    page = complete(directory.find(MATCH_ALL, 3, None))
    assert page.next_cursor == agent_id(2)
    directory.remove(agent_id(2))  # the one that the cursor names
    directory.remove(agent_id(0))
    directory.put(record(9), b"{}")
    rest = complete(directory.find(MATCH_ALL, 10, page.next_cursor))
    assert len(rest.agents) == 4
    assert rest.next_cursor is None


def test_a_cursor_behind_the_last_one_finds_an_empty_page() -> None:
    directory = directory_of(record(1))
    page = complete(directory.find(MATCH_ALL, 10, agent_id(5)))
    assert (page.agents, page.next_cursor) == ([], None)


@pytest.mark.parametrize("cursor", ["", "anything at all", "00000001-0000"])
def test_a_cursor_that_was_never_given_is_refused(cursor: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        complete(directory_of(record(1)).find(MATCH_ALL, 10, cursor))
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


def test_a_removed_agent_is_found_by_no_filter() -> None:
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


def test_refresh_replaces_bytes_and_brings_no_agent_back() -> None:
    directory = directory_of(record(1))
    later = structs.replace(record(1), last_seen="2026-01-02T00:00:00.000000Z")
    directory.refresh(later, b"later")
    assert complete(directory.find(MATCH_ALL, None, None)).agents == [b"later"]
    directory.remove(agent_id(1))
    directory.refresh(later, b"later")
    assert len(directory) == 0


def test_only_so_many_metadata_paths_are_indexed_and_all_are_answered() -> None:
    count = 3 * MAX_METADATA_INDEXES
    directory = directory_of(
        *(record(number, metadata={f"k{number}": "v"}) for number in range(count))
    )
    for number in range(count):
        assert names(directory, metadata={f"k{number}": "v"}) == [f"a{number}"]
        assert len(directory._indexes._metadata) <= MAX_METADATA_INDEXES
    directory.put(record(500, metadata={"k0": "v"}), encode(record(500, metadata={"k0": "v"})))
    assert names(directory, metadata={"k0": "v"}) == ["a0", "a500"]


@pytest.mark.parametrize("keys", list(permutations(["region", "zone", "rack"])))
@pytest.mark.parametrize("indexed", [(), ("zone",), ("rack", "region"), ("region", "zone", "rack")])
def test_a_filter_of_several_metadata_keys_finds_its_agent_and_spoils_no_later_one(
    keys: tuple[str, ...], indexed: tuple[str, ...]
) -> None:
    metadata = {"region": "eu", "zone": "z1", "rack": "r9"}
    directory = directory_of(
        record(1, metadata=metadata), record(2, metadata=metadata | {"zone": "z2"}), record(3)
    )
    for key in indexed:
        names(directory, metadata={key: "asked before"})
    assert names(directory, metadata={key: metadata[key] for key in keys}) == ["a1"]
    assert names(directory, metadata={"zone": "z1"}) == ["a1"]
    assert names(directory, metadata={"zone": "z2"}) == ["a2"]
    assert names(directory, metadata={"region": "eu"}) == ["a1", "a2"]
    assert names(directory, metadata={"rack": "r9"}) == ["a1", "a2"]


def test_one_filter_may_have_more_metadata_keys_than_are_indexed() -> None:
    metadata = {f"k{number}": "v" for number in range(MAX_METADATA_INDEXES + 5)}
    directory = directory_of(record(1, metadata=metadata), record(2, metadata={"k0": "v"}))
    assert names(directory, metadata=metadata) == ["a1"]
    for key in metadata:
        assert names(directory, metadata={key: "v"}) == (["a1", "a2"] if key == "k0" else ["a1"])


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
            complete(directory.find(Filter(name="nobody", version="nonsense"), None, None))


def test_keys_without_agents_leave_nothing_behind() -> None:
    directory = Directory()
    for number in range(100):
        one = record(number, capabilities=[f"c{number}"], metadata={"k": f"v{number}"})
        directory.put(one, encode(one))
        names(directory, metadata={"k": "v"})
        directory.remove(one.id)
    indexes = directory._indexes
    for index in (
        indexes._types,
        indexes._names,
        indexes._statuses,
        indexes._capabilities,
        *indexes._metadata.values(),
    ):
        assert index.counts() == {}


def test_a_long_list_is_put_together_once_and_anew_after_any_change() -> None:
    directory = directory_of(*(record(number) for number in range(LONG)))

    def listed() -> bytes:
        page = complete(directory.find(MATCH_ALL, None, None))
        assert page.joined == b",".join(page.agents)
        return page.joined

    first = listed()
    assert listed() is first

    later = structs.replace(record(7), last_seen="2026-01-02T00:00:00.000000Z")
    directory.refresh(later, encode(later))
    assert encode(later) in listed()

    changed = structs.replace(later, version="9")
    directory.put(changed, encode(changed))
    assert encode(changed) in listed()

    directory.put(record(LONG), encode(record(LONG)))
    assert listed().endswith(encode(record(LONG)))

    directory.remove(agent_id(7))
    assert agent_id(7).encode() not in listed()


def test_only_so_many_long_lists_are_kept() -> None:
    names_ = [f"x{number}" for number in range(2 * MAX_PAGES)]
    directory = directory_of(*(record(number, capabilities=names_) for number in range(LONG)))
    for name in names_:
        assert len(names(directory, capabilities=[name])) == LONG
        assert len(directory._pages) <= MAX_PAGES


@pytest.mark.parametrize("changes", [1, 10, FEW_CHANGES - 1, FEW_CHANGES, FEW_CHANGES + 1, 2000])
def test_what_matched_before_is_brought_up_to_date_after_few_changes_and_many(
    changes: int,
) -> None:
    directory = directory_of(*(record(number, type="cost") for number in range(2000)))
    assert len(names(directory, type="cost", status="healthy")) == 2000
    for number in range(0, 3 * changes, 3):
        now = number % 1800
        one = record(now, type="cost", status="degraded" if number % 2 else "healthy")
        if number % 5 == 0:
            directory.remove(one.id)
        else:
            directory.put(one, encode(one))
        if number % 7 == 0:
            newcomer = record(5000 + number, type="cost")
            directory.put(newcomer, encode(newcomer))

    found = complete(directory.matching(Filter(type="cost", status="healthy")))
    assert found == [
        each
        for each in directory.ids()
        if (entry := directory.get(each)) is not None and entry.record.status == "healthy"
    ]


def test_only_so_many_filters_are_remembered() -> None:
    directory = directory_of(record(1))
    for number in range(2 * REMEMBERED):
        assert names(directory, name=f"nobody-{number}") == []
        assert len(directory._matches._remembered) <= REMEMBERED
    assert names(directory, name="a1") == ["a1"]


def test_the_work_of_finding_a_few_does_not_grow_with_the_fleet() -> None:
    looked_at = []
    for size in (100, 1000, 5000):
        directory = directory_of(
            *(
                record(
                    number, capabilities=["all", *(["rare"] if number % (size // 10) == 0 else [])]
                )
                for number in range(size)
            )
        )
        filter = Filter(type="cost", capabilities=["all", "rare"], status="healthy")
        assert len(complete(directory.matching(filter))) == 10
        looked_at.append(directory._matches._remembered[name_of(filter)].looked_at)
    assert looked_at == [10, 10, 10]


def test_a_page_ends_before_it_is_larger_than_it_may_be() -> None:
    records = [record(number) for number in range(LONG + 50)]
    directory = directory_of(*records)
    size = len(encode(records[100])) + 1
    found: list[bytes] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = complete(directory.find(MATCH_ALL, None, cursor, 10 * size))
        assert len(page.joined) <= 10 * size
        found += page.agents
        cursor, pages = page.next_cursor, pages + 1
    assert found == [encode(each) for each in records]
    assert 14 <= pages <= 16


def test_a_page_has_at_least_one_record_and_no_more_than_its_limit() -> None:
    directory = directory_of(*(record(number) for number in range(LONG)))
    page = complete(directory.find(MATCH_ALL, None, None, 1))
    assert (len(page.agents), page.next_cursor) == (1, agent_id(0))
    page = complete(directory.find(MATCH_ALL, 3, agent_id(0), 10_000))
    assert (len(page.agents), page.next_cursor) == (3, agent_id(3))
    page = complete(directory.find(MATCH_ALL, 10, agent_id(LONG - 2), 1))
    assert (len(page.agents), page.next_cursor) == (1, None)


def test_pages_of_different_sizes_are_not_mistaken_for_each_other() -> None:
    directory = directory_of(*(record(number) for number in range(LONG)))
    whole = complete(directory.find(MATCH_ALL, None, None))
    assert len(complete(directory.find(MATCH_ALL, None, None, 1)).agents) == 1
    assert len(complete(directory.find(MATCH_ALL, None, None, 10**9)).agents) == LONG
    assert complete(directory.find(MATCH_ALL, None, None)) is whole


def test_slices_of_a_page_are_the_page() -> None:
    directory = directory_of(*(record(number) for number in range(LONG)))
    page = complete(directory.find(MATCH_ALL, None, None))
    slices = list(page.slices(2_000))
    assert len(slices) > 10
    assert all(len(each) < 2_000 + 600 for each in slices)
    assert b",".join(slices) == page.joined
    assert list(page.slices(10**9)) == [page.joined]
