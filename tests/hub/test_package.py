"""The package as a whole: what it imports."""

from __future__ import annotations

import subprocess
import sys


def test_a_hub_imports_nothing_that_only_memory_needs() -> None:
    code = "import sys, hub.process.hub; print({'fakeredis', 'lupa', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
