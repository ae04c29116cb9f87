"""What a hub imports and starts is Homeport's own, whatever lies in the working directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import hub_process
from tests.support.hub_process import Place, running_hub
from tests.support.programs import END_LIMIT, environment, homeport

OURS = ["hub", "actors", "bench", "agent_client", "homeport_protocol", "protocol"]
AS_MODULE = [sys.executable, "-m", "hub"]


def fill(directory: Path, names: list[str]) -> None:
    """Put files there that fail when they are imported."""
    for name in names:
        (directory / f"{name}.py").write_text("raise SystemExit('a file of the user')\n")


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=END_LIMIT,
        check=False,
    )


# `python -m hub` finds a file hub.py before anything of ours has run.
@pytest.mark.parametrize(
    ("command", "names"), [(homeport(), OURS), (AS_MODULE, OURS[1:])], ids=["homeport", "-m"]
)
def test_files_with_the_names_of_our_packages_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], names: list[str]
) -> None:
    fill(tmp_path, names)
    monkeypatch.setattr(hub_process, "homeport", lambda: command)
    workers: tuple[Any, ...] = ("--workers", "2") if sys.platform.startswith("linux") else ()
    with running_hub(tmp_path, *workers) as hub:
        Place(hub).agent("of-the-embedded-store")
        listed = run(tmp_path, *command, "agents", "--url", hub.url)
        assert "of-the-embedded-store" in listed.stdout, listed.stderr
    scenarios = run(tmp_path, *command, "bench")
    assert "heartbeats" in scenarios.stdout + scenarios.stderr
    assert "a file of the user" not in scenarios.stderr


def test_the_bench_run_as_a_module_imports_none_of_them_either(tmp_path: Path) -> None:
    fill(tmp_path, [name for name in OURS if name != "bench"])
    options = ("--rounds", "1", "--connections", "1", "--pipelined", "1", "--seconds", "0.2")
    ran = run(tmp_path, sys.executable, "-m", "bench", "heartbeats", *options, "--json")
    assert "a file of the user" not in ran.stderr
    assert '"heartbeats"' in ran.stdout, ran.stderr
