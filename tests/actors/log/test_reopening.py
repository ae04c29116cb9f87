"""Whether what was read of the log is all of it, whatever the store says that there is."""

from __future__ import annotations

import tracemalloc

import pytest

from actors.log.reopening import complete
from actors.ports.store import LogEntry


def entries(*revisions: int) -> list[LogEntry]:
    return [LogEntry(revision, "updated", b"", "") for revision in revisions]


@pytest.mark.parametrize(
    ("read", "after", "upto", "all_of_it"),
    [
        ((), 3, 3, True),
        ((4, 5), 3, 5, True),
        ((4,), 3, 5, False),
        ((5,), 3, 5, False),
        ((4, 6), 3, 5, False),
        ((5, 4), 3, 5, False),
        ((4, 5, 6), 3, 5, False),
        ((4,), 3, 2, False),
    ],
)
def test_every_revision_is_there_in_its_order(
    read: tuple[int, ...], after: int, upto: int, all_of_it: bool
) -> None:
    assert complete(entries(*read), after, upto) is all_of_it


@pytest.mark.parametrize("upto", [2**27, 2**53 + 1, 2**63, 10**4000])
def test_a_revision_out_of_all_proportion_costs_nothing(upto: int) -> None:
    tracemalloc.start()
    try:
        assert not complete(entries(1, 2, upto), 0, upto)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
