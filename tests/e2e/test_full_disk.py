"""A disk that takes nothing: the hub says so, where, and by the name of its store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.test_starting import assert_sentence
from tests.support.hub_process import Place
from tests.support.programs import Homeport
from tests.support.waiting import wait_until

FULL = "the embedded store refuses writes because it cannot save to its disk: free space there"


def test_a_hub_that_cannot_write_at_its_start_names_the_directory(tmp_path: Path) -> None:
    homeport = Homeport(tmp_path)
    data = tmp_path / "data"
    try:
        # No file may grow, as on a full disk.
        limited = homeport.prefixed("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
        done = limited.run("serve", "--port", "0", "--data-dir", str(data))
    finally:
        homeport.end()
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert_sentence(said)
    assert said.startswith(f"homeport: cannot write to the data directory {data}: ")
    assert said.endswith("give another one with --data-dir.")


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="hp-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.mark.parametrize("embedded", [True, False])
def test_a_disk_that_fills_while_the_hub_runs(
    start_hub: Any, start_server: Any, enter: Any, short_directory: Path, embedded: bool
) -> None:
    if embedded:
        data = short_directory
        hub, socket = start_hub("--data-dir", str(data)), data / "engine.sock"
        words = FULL
    else:
        server = start_server()
        hub, socket, data = start_hub("--redis", server.url), server.path, server.directory
        words = FULL.replace("the embedded store", "Redis")
    place: Place = enter(hub, None)
    wire, _ = place.agent("a")
    # The server is to save, and cannot.
    (data / "dump.rdb").mkdir()
    (data / "dump.rdb" / "in the way").touch()
    client = redis.Redis(unix_socket_path=str(socket))
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    for attempt in range(2):  # the one that finds out, and one that knows
        answer = place.http.post(
            f"{hub.url}/agents/register",
            json={"name": f"b{attempt}", "type": "cost", "host": "h", "port": 1},
        )
        assert answer.status_code == 503
        assert answer.json()["error"].startswith(words), answer.text
        refused = wire.ask("update", version=str(attempt))
        assert refused["code"] == "unavailable"
        assert refused["message"].startswith(words), refused
    ready = place.get("/ready")
    assert ready.status_code == 503
    assert [each for each in ready.json()["reasons"] if each.startswith(words)]
    assert words in hub.log()
    if embedded:
        said = answer.text + str(refused) + ready.text + hub.log()
        assert "Redis" not in said
    (data / "dump.rdb" / "in the way").unlink()
    (data / "dump.rdb").rmdir()
    client.bgsave()
    wait_until(lambda: place.get("/ready").status_code == 200)
    assert place.register()
    client.close()
