"""A scripted hub, and `homeport` as a process beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import ThreadedHub, running_hub
from tests.support.ports import free_port
from tests.support.programs import Homeport


@pytest.fixture
def hub() -> Iterator[ThreadedHub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def homeport(tmp_path: Path) -> Iterator[Homeport]:
    """`homeport` as a user runs it, without any setting from this machine's environment."""
    runner = Homeport(tmp_path)
    yield runner
    runner.end()


@pytest.fixture
def nobody() -> str:
    """The URL of a port on which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"
