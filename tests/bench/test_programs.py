"""`python -m bench` as it is run: a scenario with its document and charts, and an early end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = [*("--rounds", "3", "--seconds", "0.1", "--warm-up", "0.05"), "--connections", "40"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_run_is_compared_with_itself_and_drawn(tmp_path: Path) -> None:
    done = bench("heartbeats", *TINY, "--json", "--plot", str(tmp_path / "charts"))
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["holds"] else 1)
    assert found["failures"] == []
    (report,) = found["reports"]
    assert [check for check in report["checks"] if not check["holds"]] == []
    assert {len(goal["values"]) for goal in report["goals"]} == {3}
    charts = sorted(path.name for path in (tmp_path / "charts").iterdir())
    assert charts == ["goals.png", "heartbeats-latency.png"]
    assert "drawn: " in done.stderr

    result = tmp_path / "result.json"
    result.write_text(done.stdout)
    done = bench("compare", str(result), str(result))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("noise") >= 2 * len(report["goals"])


def test_whoever_reads_only_the_beginning_is_no_trouble() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bench"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_package_that_is_missing_is_named() -> None:
    program = (
        "import runpy, sys; sys.modules['rich'] = None; "
        "runpy.run_module('bench', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "python -m bench: the bench needs the package rich, which is not installed; "
        "get it with: pip install 'homeport[bench]'\n"
    )
