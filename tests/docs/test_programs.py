"""The programs that the pages show, run against a hub that keeps nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import HOW_TO, ROOT, blocks
from tests.support.hub_process import Hub, running_hub
from tests.support.programs import environment

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("pages"), "--redis", "memory://") as hub:
        yield hub


def program(page: Path, word: str) -> str:
    """The one Python program on the page that has this word."""
    (text,) = [
        block.text for block in blocks(page) if block.info == "python" and word in block.text
    ]
    return text


def start(hub: Hub, text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", text.replace("http://127.0.0.1:8080", hub.url)],
        env=environment(hub.directory, HOMEPORT_URL=hub.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(hub: Hub, text: str) -> str:
    """What the program prints; it must succeed, without a word on stderr."""
    with start(hub, text) as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    return out


def test_the_agent_of_the_readme_runs(hub: Hub) -> None:
    assert output(hub, program(README, "AgentClient")) == "cost-1 healthy 0.4\n"


def test_the_agent_of_the_quickstart_is_seen_by_its_watcher(hub: Hub) -> None:
    with start(hub, program(QUICKSTART, "hub.watch")) as watcher:
        assert watcher.stdout is not None
        try:
            assert watcher.stdout.readline().startswith("0 agents at revision ")
            assert output(hub, program(QUICKSTART, "AgentClient")) == "True healthy 0.4 ok\n"
            seen = [watcher.stdout.readline().split()[1:] for _ in range(3)]
        finally:
            watcher.send_signal(signal.SIGINT)
        assert watcher.communicate(timeout=60) == ("", "")
    assert seen == [
        [kind, "cost-1", "healthy"] for kind in ("registered", "updated", "unregistered")
    ]
    assert watcher.returncode == 0


def test_the_program_with_the_old_helpers_calls_runs(hub: Hub) -> None:
    assert output(hub, program(HOW_TO, "AgentRegistration(")) == ""


def test_the_readme_begins_with_two_commands() -> None:
    first, second = [block for block in blocks(README) if block.info == "sh"][:2]
    assert len(first.text.splitlines()) == len(second.text.splitlines()) == 1
    assert first.text.rstrip().endswith("homeport serve")
    assert second.text.rstrip().endswith("python -m pytest")
    assert "-c constraints.txt" in first.text
    assert "-c constraints.txt" in second.text
