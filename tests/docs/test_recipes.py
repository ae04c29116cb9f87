"""The programs of the recipes do what the recipes say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.pages import RECIPES, programs_by_heading
from tests.support.hub_process import Hub, running_hub
from tests.support.programs import environment
from tests.support.waiting import wait_until

PROGRAMS = programs_by_heading(RECIPES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    options = ["--redis", "memory://", "--heartbeat-interval", "0.5", "--heartbeat-timeout", "2.5"]
    with running_hub(tmp_path_factory.mktemp("recipes"), *options) as hub:
        yield hub


def start(hub: Hub, heading: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[heading]],
        env=environment(hub.directory, HOMEPORT_URL=hub.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def agents(hub: Hub, name: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{hub.url}/agents?name={name}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["agents"]
        return found


def test_a_program_that_blocks_is_overdue_and_comes_back(hub: Hub) -> None:
    def health() -> list[tuple[str, str]]:
        return [(agent["status"], agent["health"]["reason"]) for agent in agents(hub, "thinker-1")]

    with start(hub, "A program that blocks its event loop") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "thinking\n"
        wait_until(lambda: health() == [("unhealthy", "heartbeat_overdue")])
        assert process.stdout.readline() == "thinking\n"
        wait_until(lambda: health() == [("healthy", "ok")])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert health() == []


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_a_program_leaves_on_sigterm_and_ctrl_c(
    hub: Hub, signum: signal.Signals, status: int
) -> None:
    with start(hub, "Leaving on SIGTERM") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "registered\n"
        assert [agent["status"] for agent in agents(hub, "cost-1")] == ["healthy"]
        process.send_signal(signum)
        assert process.communicate(timeout=60) == ("finishing work\n", "")
    assert process.returncode == status
    assert agents(hub, "cost-1") == []
