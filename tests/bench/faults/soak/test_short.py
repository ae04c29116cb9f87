"""The soak in two minutes: nothing is left over of those who came and went.

Most of the time is waiting: namespaces that nobody uses are let go of after a minute.
"""

from __future__ import annotations

import json

import pytest

from bench.faults.soak.leftovers import GAUGES
from tests.bench.conftest import Soak


@pytest.mark.timeout(240)
def test_nothing_is_left_over_of_those_who_came_and_went(soak: Soak) -> None:
    status, out, err = soak.wait(200.0)

    assert out, err
    (report,) = json.loads(out)["reports"]
    assert [check for check in report["checks"] if not check["holds"]] == []
    assert {f"no {words} left over" for words in GAUGES.values()} <= {
        check["what"] for check in report["checks"]
    }
    assert report["goals"] == []  # too short for memory to be judged
    assert status == 0
