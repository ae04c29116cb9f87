"""The plain reading that judges streams of frames says what the table of RFC 6455 says."""

from __future__ import annotations

import pytest

from tests.fuzz.reference import read
from tests.hub.websocket.rfc6455 import CASES, LIMIT


@pytest.mark.parametrize("name", CASES)
def test_the_plain_reading_is_that_of_the_table(name: str):
    case = CASES[name]
    reading = read(case.sent, LIMIT)
    assert [("text", text) for text in reading.texts] == [
        each for each in case.back if each[0] == "text"
    ]
    assert [("pong", ping) for ping in reading.pings] == [
        each for each in case.back if each[0] == "pong"
    ]
    if isinstance(case.close, int):
        assert reading.violation == case.close
    else:
        assert reading.violation is None
        assert reading.closed == case.close
