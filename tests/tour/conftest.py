"""The hubs of the tour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_process import Hub, running_hub
from tests.support.ports import free_port
from tests.support.programs import Homeport
from tests.support.redis_servers import RedisServer, running

QUICK = (
    *("--heartbeat-interval", "0.5", "--heartbeat-timeout", "4"),
    *("--resume-window", "1.5", "--lease-ttl", "4"),
    *("--loss-share", "1"),  # an agent that dies is removed though it was the only one
)
"""Seconds, so short that a reader does not wait long for the death of an agent."""


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), "--redis", "memory://", *QUICK) as hub:
        yield hub


@pytest.fixture
def url(shared_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a hub, which clients find in their environment as well."""
    monkeypatch.setenv("HOMEPORT_URL", shared_hub.url)
    monkeypatch.delenv("HOMEPORT_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return shared_hub.url


@pytest.fixture
def homeport(tmp_path: Path) -> Iterator[Homeport]:
    homeport = Homeport(tmp_path)
    yield homeport
    homeport.end()


@pytest.fixture
def two_hubs(tmp_path: Path) -> Iterator[list[str]]:
    """The URLs of two hubs on one Redis."""
    with (
        running(RedisServer()) as redis,
        running_hub(tmp_path / "1", "--redis", redis.url, "--hub-id", "hub-1") as one,
        running_hub(tmp_path / "2", "--redis", redis.url, "--hub-id", "hub-2") as two,
    ):
        yield [one.url, two.url]


@pytest.fixture
def hub_on_disk(tmp_path: Path) -> Iterator[Hub]:
    """A hub that may be killed and started again, with the embedded store."""
    options = ("--port", str(free_port()), "--data-dir", str(tmp_path / "store"))
    with running_hub(tmp_path, *options, port=False) as hub:
        yield hub
