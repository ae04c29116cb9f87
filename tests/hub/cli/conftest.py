"""A scripted hub, and `homeport` as a process beside it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.cli.running import Homeport
from tests.support.fake_hub import ThreadedHub, running_hub

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hub() -> Iterator[ThreadedHub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def homeport() -> Iterator[Homeport]:
    """`homeport` as a user runs it, without any setting from this machine's environment."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HOMEPORT_", "REDIS_", "PYTHON", "NO_COLOR", "FORCE_COLOR"))
    }
    environment |= {"PYTHONPATH": str(ROOT)}
    runner = Homeport([sys.executable, "-m", "hub"], environment)
    try:
        yield runner
    finally:
        runner.end()


@pytest.fixture
def nobody() -> str:
    """The URL of a port on which nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{holder.getsockname()[1]}"
