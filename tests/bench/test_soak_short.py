"""The soak in two minutes: nothing is left over of those who came and went.

Most of the time is waiting: namespaces that nobody uses are let go of after a minute.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from bench.soak.leftovers import GAUGES

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
async def test_nothing_is_left_over_of_those_who_came_and_went() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "soak", "--seconds", "20", "--lives", "25", "--json"),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()

    assert out, err
    (report,) = json.loads(out)["reports"]
    assert [check for check in report["checks"] if not check["holds"]] == []
    assert {f"no {words} left over" for words in GAUGES.values()} <= {
        check["what"] for check in report["checks"]
    }
    assert report["goals"] == []  # too short for memory to be judged
    assert process.returncode == 0
