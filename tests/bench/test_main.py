"""`python -m bench` as a program of a shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_reader_that_reads_only_the_beginning_is_no_trouble() -> None:
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
        "in a checkout of Homeport, run: pip install '.[bench]'\n"
    )
