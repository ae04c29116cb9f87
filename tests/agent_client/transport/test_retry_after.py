"""The header Retry-After in its two forms."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from agent_client.transport.retry_after import retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("3600", 30.0),
        ("9" * 400, 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Fri, 31 Dec 2199 23:59:59 GMT", 30.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u0663", None),
        ("Wed, 99 Foo 99999999999 99:99:99 GMT", None),
    ],
)
def test_what_it_asks_for_is_bounded(header: str, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_a_date_is_so_many_seconds_from_now() -> None:
    seconds = retry_after(formatdate(time() + 15, usegmt=True))
    assert seconds is not None
    assert 5.0 < seconds <= 15.0
