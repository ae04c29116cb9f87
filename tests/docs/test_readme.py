"""The README's own agent, run against a hub that keeps nothing."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.docs.pages import ROOT, blocks


def test_the_agent_of_the_readme_runs() -> None:
    (program,) = [block.text for block in blocks(ROOT / "README.md") if block.info == "python"]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOMEPORT_", "REDIS_"))
    }
    environment.pop("PORT", None)
    command = [sys.executable, "-m", "hub", "serve", "--port", "0", "--redis", "memory://"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as hub:
        try:
            assert hub.stdout is not None
            url = hub.stdout.readline().rpartition(" ")[2].strip()
            assert url.startswith("http://")
            done = subprocess.run(
                [sys.executable, "-c", program],
                env={**environment, "HOMEPORT_URL": url},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            hub.terminate()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cost-1 healthy 0.4\n"


def test_the_readme_begins_with_two_commands() -> None:
    first, second = [block for block in blocks(ROOT / "README.md") if block.info == "sh"][:2]
    assert len(first.text.splitlines()) == len(second.text.splitlines()) == 1
    assert first.text.rstrip().endswith("homeport serve")
    assert second.text.rstrip().endswith("python -m pytest")
    assert "-c constraints.txt" in first.text
    assert "-c constraints.txt" in second.text
