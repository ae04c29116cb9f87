"""Timestamps have one form, and keep their instant through every reading and writing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport_protocol.timestamps import format_timestamp, normalize_timestamp, parse_timestamp

FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
YEAR_2200 = 7_258_118_400


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (0.5, "1970-01-01T00:00:00.500000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (1_700_000_000.000001, "2023-11-14T22:13:20.000001Z"),
        (1_700_000_000.999999, "2023-11-14T22:13:20.999999Z"),
        (1_700_000_000.9999999, "2023-11-14T22:13:21.000000Z"),
        (-62_135_596_800, "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_an_instant_is_written_in_utc_to_the_microsecond(unix: float, text: str) -> None:
    assert format_timestamp(unix) == text


@given(st.integers(0, YEAR_2200 * 1_000_000))
def test_what_is_written_is_read_and_written_again_the_same(microseconds: int) -> None:
    text = format_timestamp(microseconds / 1_000_000)
    assert FORM.fullmatch(text)
    assert normalize_timestamp(text) == text


@given(st.floats(0, YEAR_2200), st.floats(0, YEAR_2200))
def test_later_instants_never_sort_before_earlier_ones(one: float, other: float) -> None:
    earlier, later = sorted([one, other])
    assert format_timestamp(earlier) <= format_timestamp(later)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2025-10-20T10:30:00Z", "2025-10-20T10:30:00.000000Z"),
        ("2025-10-20T10:30:00.1Z", "2025-10-20T10:30:00.100000Z"),
        ("2025-10-20T10:30:00.123456789Z", "2025-10-20T10:30:00.123456Z"),
        ("2025-10-20T10:30:00.123456789+02:00", "2025-10-20T08:30:00.123456Z"),
        ("2025-10-20T10:30:00-05:30", "2025-10-20T16:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_what_the_legacy_service_wrote_is_normalized(text: str, normal: str) -> None:
    assert normalize_timestamp(text) == normal


@pytest.mark.parametrize(
    "text",
    ["", "now", "2025-10-20", "2025-10-20T10:30:00", "2025-13-01T00:00:00Z", "1700000000"],
)
def test_what_is_no_timestamp_or_has_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_timestamp(text)
