"""Every request of the table is answered as it says, and docs/http.md lists what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.legacy.observing import Row, observe
from tests.e2e.legacy.table import DIFFERENCES, ROWS, SHOWN_ELSEWHERE
from tests.support.hub_process import Hub

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_a_request_is_answered_as_by_the_legacy_service_or_as_the_table_says(
    stored_hub: Hub, row: Row
) -> None:
    assert observe(f"127.0.0.1:{stored_hub.port}", row) == (row.hub or row.legacy)


def test_a_row_differs_where_it_says_why() -> None:
    for row in ROWS:
        assert (row.hub not in ("", row.legacy)) == bool(row.why), row.what
    assert len({row.what for row in ROWS}) == len(ROWS) >= 60


def test_each_difference_is_shown_by_a_row_or_by_a_test() -> None:
    shown = {row.why for row in ROWS} - {""}
    assert shown | SHOWN_ELSEWHERE.keys() == DIFFERENCES.keys()
    assert not shown & SHOWN_ELSEWHERE.keys()
    for test in SHOWN_ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test


def test_the_list_of_differences_is_the_tables_word_for_word() -> None:
    page = (ROOT / "docs/http.md").read_text()
    section = page.partition("## How it differs from the legacy service\n")[2].partition("\n## ")[0]
    items = [" ".join(item.split()) for item in ("\n" + section).split("\n- ")[1:]]
    assert items == list(DIFFERENCES.values())
