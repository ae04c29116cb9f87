"""The bench starts our modules, not files of the working directory with their names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("homeport")
OURS = ("hub", "actors", "bench", "agent_client", "homeport_protocol", "protocol")
HEARTBEATS = ["heartbeats", "--seconds", "0.05", "--warm-up", "0", "--connections", "3"]
STORM = ["storm", "--agents", "3"]


@pytest.fixture
def anywhere(tmp_path: Path) -> Path:
    """A directory with files that have the names of our packages."""
    for name in OURS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not the one that is meant')\n")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [[SCRIPT, "bench", *HEARTBEATS], [sys.executable, "-P", "-m", "bench", *STORM]],
    ids=["homeport", "python"],
)
def test_files_of_the_working_directory_do_not_take_the_place_of_our_packages(
    command: list[str | Path], anywhere: Path
) -> None:
    command = [*command, "--rounds", "1", "--json"]
    done = subprocess.run(
        command, cwd=anywhere, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["failures"] == []
    (report,) = document["reports"]
    assert [check for check in report["checks"] if not check["holds"]] == []
