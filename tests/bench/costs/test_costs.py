"""`python -m bench costs` in a small form, so that it cannot rot."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

ROOT = Path(__file__).parents[3]


async def test_the_costs_can_be_measured() -> None:
    small = ["--agents", "20", "--changes", "256", "--seconds", "0.5", "--interval", "0.5"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "costs", *small, "--json"),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()

    assert out, err
    (report,) = json.loads(out)["reports"]
    assert [each for each in report["checks"] if not each["holds"]] == []
    assert process.returncode == 0
    figures = {each["what"]: each["value"] for each in report["figures"]}
    assert figures["Redis memory per agent"] > 300
    assert figures["renewal, batches of 256: CPU of Redis"] > 0
