"""What a program says last: JSON where the log is, else a sentence that says what to do."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_process import Hub
from tests.support.ports import free_port
from tests.support.programs import Homeport
from tests.support.waiting import LIMIT


@pytest.fixture
def homeport(tmp_path: Path) -> Iterator[Homeport]:
    runner = Homeport(tmp_path)
    yield runner
    runner.end()


def last_of(stderr: str) -> dict[str, Any]:
    """The last line; all of them must be JSON with what a reader looks for."""
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert lines
    for line in lines:
        assert {"timestamp", "level", "event"} <= line.keys(), line
    return lines[-1]


JSON = ("--log-format", "json")


@pytest.mark.parametrize(
    ("arguments", "env", "status", "words"),
    [
        ((*JSON, "--port", "99999"), {}, 2, "'--port': expected a whole number"),
        (("--log-format=json", "--nope"), {}, 2, "no such option '--nope'"),
        ((), {"HOMEPORT_LOG_FORMAT": "json", "HOMEPORT_PORT": "x"}, 2, "HOMEPORT_PORT: expected"),
        (("--config", "hub.toml"), {}, 2, "heartbeat in hub.toml: no such setting"),
        ((*JSON, "--redis", "redis://h?x=1"), {}, 2, "--redis: the Redis URL redis://h?x=1 cannot"),
        ((*JSON, "--host", "192.0.2.1"), {}, 1, "cannot listen on 192.0.2.1"),
        ((*JSON, "--data-dir", "/dev/null/x"), {}, 1, "cannot make the data directory"),
        ((*JSON, "--workers", "2", "--host", "192.0.2.1"), {}, 1, "cannot listen on 192.0.2.1"),
        (
            (*JSON, "--redis", "memory://"),
            {"HOMEPORT_DEBUG": "1", "HOMEPORT_HOST": "192.0.2.1"},
            1,
            "cannot listen on 192.0.2.1",
        ),
    ],
)
def test_a_start_that_fails_ends_with_a_line_of_json(  # noqa: PLR0917
    homeport: Homeport,
    tmp_path: Path,
    arguments: tuple[str, ...],
    env: dict[str, str],
    status: int,
    words: str,
) -> None:
    (tmp_path / "hub.toml").write_text('log_format = "json"\nheartbeat = 3\n')
    done = homeport.run("serve", *arguments, **env)
    last = last_of(done.stderr)
    assert (done.returncode, done.stdout) == (status, "")
    assert last["level"] == "critical"
    assert words in last["event"]


def test_in_the_form_for_people_the_last_line_is_a_sentence(homeport: Homeport) -> None:
    done = homeport.run(
        "serve", "--log-format", "console", "--port", "x", HOMEPORT_LOG_FORMAT="json"
    )
    assert done.stderr.startswith("homeport serve: invalid value for '--port'")


def test_a_hub_that_lives_and_ends_writes_json_only(start_hub: Any) -> None:
    hub: Hub = start_hub(*JSON, "--redis", "memory://", env={"HOMEPORT_LOG_FROMAT": "json"})
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0
    assert last_of(hub.log())["event"] == "stopped"
    (warning,) = [
        line for line in map(json.loads, hub.log().splitlines()) if "HOMEPORT_" in line["event"]
    ]
    assert warning["level"] == "warning"
    assert warning["event"].endswith("did you mean HOMEPORT_LOG_FORMAT?")


def test_workers_that_cannot_start_end_with_a_line_of_json(homeport: Homeport) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}"
    done = homeport.run("serve", *JSON, "--workers", "2", "--port", "0", "--redis", nobody)
    assert done.returncode == 1
    assert "did not answer within 10 seconds" in last_of(done.stderr)["event"]


def test_a_command_that_wants_tls_of_a_hub_without_says_what_to_use(
    homeport: Homeport, shared_hub: Hub
) -> None:
    done = homeport.run("agents", "--url", shared_hub.url.replace("http:", "https:"))
    assert done.returncode == 1
    assert "(no TLS is spoken there: use http:// or ws://)" in done.stderr
