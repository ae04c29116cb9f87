"""Using an embedded store for a moment, whether or not a hub runs with it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
import redis

from hub.engine import EmbeddedEngine, EngineError, attached


def client(url: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=unquote(url.removeprefix("unix://")))


async def test_a_server_is_started_for_it_where_none_runs(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    async with attached(data) as url:
        client(url).set("x", "1")
    async with attached(data) as url:
        assert client(url).get("x") == b"1"
    engine = EmbeddedEngine(data)  # nothing is left that a hub would meet
    assert client(await engine.start()).get("x") == b"1"
    await engine.stop()


async def test_the_server_of_a_running_hub_is_used_and_left_alone(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path)
    own = await engine.start()
    async with attached(str(tmp_path)) as url:
        assert url == own
        client(url).set("x", "1")
    assert client(own).get("x") == b"1"
    await engine.stop()


async def test_no_server_is_started_in_the_directory_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    with pytest.raises(EngineError, match="belongs to another user"):
        async with attached(str(tmp_path)):
            pass
    assert os.listdir(tmp_path) == [], "nor a lock that the hub could not open"
